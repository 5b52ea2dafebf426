"""Sequential as a layer and as a model: gradients, penalty, losses, names, dtypes, threads."""

import threading

import numpy as np
import pytest
from operation_checks.nn import DOUBLE, convnet, normal

import fastnn
from fastnn import nn
from fastnn.gradient_check import eval_numerical_gradient
from fastnn.layers import mse_loss, svm_loss
from fastnn.testing import assert_same


def test_network_passes_the_gradient_check(backend):
    model, X, y = convnet(reg=0.3), normal(2, 3, 6, 6), np.array([0, 2])
    for array in model.params.values():
        array += 0.1
    loss, grads = model.loss(X, y)
    assert isinstance(loss, float)
    assert list(grads) == list(model.params)
    for name, value in model.params.items():
        some = slice(None, None, 5)
        expected = eval_numerical_gradient(lambda _: model.loss(X, y)[0], value.reshape(-1)[some], verbose=False)
        np.testing.assert_allclose(grads[name].reshape(-1)[some], expected, rtol=1e-6, atol=1e-9)


def test_first_layer_with_parameters_skips_dx(monkeypatch):
    needed = []
    monkeypatch.setattr(
        nn.Conv2d, "backward", lambda self, dout, cache, need_dx=True: needed.append(need_dx) or (dout, {})
    )
    layers = [nn.Tanh(), nn.Conv2d(1, 1, 1, bias=False), nn.Tanh(), nn.Conv2d(1, 1, 1, bias=False)]
    model = nn.Sequential(*layers, loss=mse_loss)
    monkeypatch.setattr(nn.Sequential, "params", {})
    model.loss(normal(1, 1, 2, 2), np.zeros((1, 1, 2, 2)))
    model.backward(normal(1, 1, 2, 2), model.forward(normal(1, 1, 2, 2))[1])
    assert needed == [True, False, True, True]


def test_backward_gives_dx_only_where_it_is_needed(backend):
    model, x = convnet(), normal(2, 3, 6, 6)
    out, cache = model.forward(x)
    dx, grads = model.backward(out, cache)
    assert dx.shape == x.shape
    skipped, same = model.backward(out, cache, need_dx=False)
    assert skipped is None
    assert_same(same, grads)


def test_layers_without_parameters_make_a_model_too(backend):
    model = nn.Sequential(nn.Tanh(), loss=mse_loss, reg=1.0)
    loss, grads = model.loss(np.zeros((2, 3)), np.ones((2, 3)))
    assert loss == pytest.approx(1.5)
    assert grads == {}


def test_names_are_those_of_torch_and_nest():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")

    def build(library):
        return library.Sequential(
            library.Conv2d(1, 2, 3),
            library.ReLU(),
            library.Sequential(library.Flatten(), library.PReLU(), library.Linear(2, 3)),
            library.Linear(3, 2),
        )

    assert list(build(nn).params) == [name for name, _ in build(torch.nn).named_parameters()]


def test_names_may_be_given():
    names = ("W1", "b1", "W2", "b2")
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), names=names)
    assert tuple(model.params) == names
    assert tuple(model.regularized) == ("W1", "W2")
    assert set(model.loss(np.zeros((1, 2)), np.array([1]))[1]) == set(names)
    with pytest.raises(ValueError, match=r"Sequential: names=\['a'\] do not fit; expected 2 different names"):
        nn.Sequential(nn.Linear(2, 3), names=["a"])
    with pytest.raises(ValueError, match="expected 2 different names"):
        nn.Sequential(nn.Linear(2, 3), names=["a", "a"])


def test_penalty_lies_on_weights_only(backend):
    model = nn.Sequential(nn.Linear(2, 3, **DOUBLE), nn.PReLU(dtype=np.float64), nn.Linear(3, 2, **DOUBLE))
    X, y = normal(4, 2), np.array([0, 1, 1, 0])
    plain_loss, plain = model.loss(X, y)
    model.reg = 0.4
    loss, grads = model.loss(X, y)
    weights = {name: model.params[name] for name in ("0.weight", "2.weight")}
    assert loss - plain_loss == pytest.approx(0.2 * sum((w**2).sum() for w in weights.values()))
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient - plain[name], 0.4 * weights[name] if name in weights else 0, atol=1e-12)


def test_penalty_of_many_weights():
    model = nn.Sequential(nn.Linear(700, 150, seed=1, init="kaiming_normal"), reg=0.5)
    w = model.params["0.weight"].astype(np.float64)
    loss, grads = model.loss(np.zeros((1, 700)), np.array([0]))
    assert loss == pytest.approx(np.log(150) + 0.25 * (w**2).sum(), rel=1e-6)
    np.testing.assert_allclose(grads["0.weight"], 0.5 * w, rtol=1e-6)


def test_penalty_on_gradients_in_any_layout(backend):
    class Transposed(nn.Linear):
        def backward(self, dout, cache, need_dx=True):
            dx, grads = super().backward(dout, cache, need_dx)
            return dx, grads | {"weight": np.asfortranarray(grads["weight"], np.float64)}

    X, y = normal(4, 3), np.array([0, 1, 1, 0])
    expected, actual = (nn.Sequential(kind(3, 2, seed=1), reg=0.4).loss(X, y) for kind in (nn.Linear, Transposed))
    assert_same(actual, expected)


@pytest.mark.parametrize("loss", [svm_loss, mse_loss])
def test_other_losses(backend, loss):
    model = nn.Sequential(nn.Linear(3, 4, **DOUBLE), loss=loss)
    X, y = normal(5, 3), (np.arange(5) % 4 if loss is svm_loss else normal(5, 4, seed=1))
    actual, grads = model.loss(X, y)
    expected, dscores = loss(model.loss(X), y)
    assert actual == expected
    np.testing.assert_allclose(grads["0.bias"], dscores.sum(axis=0))


def test_x_takes_the_dtype_of_the_parameters(backend):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    for X in (np.ones((3, 2, 2)), np.ones((3, 2, 2), np.uint8), np.ones((3, 4), np.int64).tolist()):
        assert model.loss(X).dtype == np.float32
        assert model(X).dtype == np.float32
        _, grads = model.loss(X, np.array([0, 1, 0]))
        assert grads["1.weight"].dtype == np.float32


def test_faulty_arguments():
    with pytest.raises(TypeError, match=r"Sequential: layer 1 is <class.*expected a Module"):
        nn.Sequential(nn.Linear(2, 2), nn.ReLU)
    with pytest.raises(ValueError, match="Sequential: reg=-1 is out of range"):
        nn.Sequential(reg=-1)


def test_repr_is_a_table():
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Residual(nn.BatchNorm2d(32), shortcut=nn.Sequential(nn.Conv2d(32, 32, 1, bias=False))),
        nn.Flatten(),
        nn.Linear(2048, 10),
    )
    assert repr(model).splitlines() == [
        "Sequential(",
        "  (0) Conv2d(3, 32, 3, padding=1)          weight (32, 3, 3, 3), bias (32,)       896",
        "  (1) ReLU()",
        "  (2) Residual(",
        "    (0) BatchNorm2d(32)                    weight (32,), bias (32,)                64",
        "    (shortcut) Sequential(",
        "      (0) Conv2d(32, 32, 1, bias=False)    weight (32, 32, 1, 1)                1,024",
        "    )",
        "  )",
        "  (3) Flatten()",
        "  (4) Linear(2048, 10)                     weight (2048, 10), bias (10,)       20,490",
        ")  22,474 parameters",
    ]
    assert repr(nn.Sequential()) == "Sequential(\n)  0 parameters"
    assert repr(nn.DenseBlock(nn.ReLU())) == "DenseBlock(\n  (0) ReLU()\n)  0 parameters"


def test_threads_share_a_model(backend):
    model = convnet()
    inputs = [normal(2, 3, 6, 6, seed=seed) for seed in range(4)]
    y = np.array([0, 2])
    expected = [model.loss(X, y) for X in inputs]
    actual = [None] * len(inputs)

    def work(position, name):
        with fastnn.use_backend(name):
            for _ in range(3):
                model.loss(inputs[position])
                actual[position] = model.loss(inputs[position], y)

    threads = [threading.Thread(target=work, args=(position, backend)) for position in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(actual, expected)


def test_a_layer_with_parameters_occurs_once():
    layer, activation = nn.Linear(2, 2), nn.ReLU()
    nn.Sequential(layer, activation, activation)
    with pytest.raises(ValueError, match=r"Sequential: layer 2 is layer 0 again, Linear\(2, 2\)"):
        nn.Sequential(layer, activation, layer)
