"""The checks of layers that UCLA's notebooks call; each prints differences that should be small."""

from collections.abc import Callable

import numpy as np

from fastnn import layer_utils, layers
from fastnn.classifiers.fc_net import TwoLayerNet
from fastnn.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error

__all__ = [
    "affine_backward_test",
    "affine_forward_test",
    "affine_relu_test",
    "fc_net_test",
    "rel_error",
    "relu_backward_test",
    "relu_forward_test",
]


def affine_forward_test() -> None:
    """Compare affine_forward with a sum over all pixels."""
    x = np.linspace(-0.1, 0.5, 2 * 120).reshape(2, 4, 5, 6)
    w, b = np.linspace(-0.2, 0.3, 120 * 3).reshape(120, 3), np.linspace(-0.3, 0.1, 3)
    expected = np.einsum("nd,dm->nm", x.reshape(2, -1), w) + b
    _print("affine_forward", difference=rel_error(layers.affine_forward(x, w, b)[0], expected))


def affine_backward_test() -> None:
    """Compare affine_backward with numeric gradients."""
    x, w, b, dout = (np.random.randn(*shape) for shape in ((10, 2, 3), (6, 5), (5,), (10, 5)))
    _gradients("affine_backward", layers.affine_forward, layers.affine_backward, {"x": x, "w": w, "b": b}, dout)


def relu_forward_test() -> None:
    """Compare relu_forward with the maximum of x and 0."""
    x = np.linspace(-0.5, 0.5, num=12).reshape(3, 4)
    _print("relu_forward", difference=rel_error(layers.relu_forward(x)[0], np.maximum(x, 0)))


def relu_backward_test() -> None:
    """Compare relu_backward with numeric gradients."""
    x, dout = np.random.randn(10, 10), np.random.randn(10, 10)
    _gradients("relu_backward", layers.relu_forward, lambda *given: (layers.relu_backward(*given),), {"x": x}, dout)


def affine_relu_test() -> None:
    """Compare affine_relu_backward with numeric gradients."""
    x, w, b, dout = (np.random.randn(*shape) for shape in ((2, 3, 4), (12, 10), (10,), (2, 10)))
    functions = layer_utils.affine_relu_forward, layer_utils.affine_relu_backward
    _gradients("affine_relu_forward and affine_relu_backward", *functions, {"x": x, "w": w, "b": b}, dout)


def fc_net_test() -> None:
    """Compare the gradients of a two-layer net with numeric ones."""
    X, y = np.random.randn(3, 5), np.random.randint(7, size=3)
    model = TwoLayerNet(input_dim=5, hidden_dim=50, num_classes=7, weight_scale=1e-2)
    for reg in (0.0, 0.7):
        model.reg = reg
        print(f"Running numeric gradient check with reg = {reg}")
        _, grads = model.loss(X, y)
        for name in sorted(grads):
            numeric = eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params[name], verbose=False)
            print(f"{name} relative error: {rel_error(numeric, grads[name])}")


def _gradients(
    function: str, forward: Callable, backward: Callable, arguments: dict[str, np.ndarray], dout: np.ndarray
) -> None:
    found = backward(dout, forward(*arguments.values())[1])
    errors = {}
    for (name, value), gradient in zip(arguments.items(), found, strict=True):
        numeric = eval_numerical_gradient_array(lambda _: forward(*arguments.values())[0], value, dout)
        errors[f"d{name} error"] = rel_error(numeric, gradient)
    _print(function, **errors)


def _print(function: str, **errors: float) -> None:
    print(f"{function}: relative errors should be below 1e-8")
    for name, error in errors.items():
        print(f"{name}: {error}")
