"""Layers: numeric gradients, torch parity, invalid inputs and arguments, repr."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.testing import assert_same

DOUBLE = {"dtype": np.float64, "seed": 3}
IMAGES = (2, 3, 6, 5)
LAYERS = {
    "Linear": (lambda: nn.Linear(6, 4, **DOUBLE), (3, 2, 3)),
    "Linear without bias": (lambda: nn.Linear(6, 4, bias=False, **DOUBLE), (3, 6)),
    "Conv2d": (lambda: nn.Conv2d(3, 2, (3, 2), stride=(2, 1), padding=(1, 0), **DOUBLE), IMAGES),
    "Conv2d without bias": (lambda: nn.Conv2d(3, 2, 3, bias=False, **DOUBLE), IMAGES),
    "ReLU": (nn.ReLU, IMAGES),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), IMAGES),
    "PReLU": (lambda: nn.PReLU(dtype=np.float64), IMAGES),
    "PReLU by channel": (lambda: nn.PReLU(3, init=0.1, dtype=np.float64), IMAGES),
    "ELU": (lambda: nn.ELU(0.5), IMAGES),
    "Sigmoid": (nn.Sigmoid, IMAGES),
    "Tanh": (nn.Tanh, IMAGES),
    "GELU": (nn.GELU, IMAGES),
    "Maxout": (lambda: nn.Maxout(3), IMAGES),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, stride=2, padding=1), IMAGES),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3), stride=1, padding=(1, 0)), IMAGES),
    "GlobalAvgPool2d": (nn.GlobalAvgPool2d, IMAGES),
    "Flatten": (nn.Flatten, IMAGES),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4, dtype=np.float64), (5, 4)),
    "BatchNorm1d of sequences": (lambda: nn.BatchNorm1d(3, dtype=np.float64), (2, 3, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, dtype=np.float64), IMAGES),
    "BatchNorm2d in eval mode": (lambda: nn.BatchNorm2d(3, dtype=np.float64).eval(), IMAGES),
    "LayerNorm": (lambda: nn.LayerNorm(4, dtype=np.float64), (5, 4)),
    "LayerNorm of images": (lambda: nn.LayerNorm((6, 5), bias=False, dtype=np.float64), IMAGES),
    "GroupNorm": (lambda: nn.GroupNorm(3, 6, dtype=np.float64), (2, 6, 3, 2)),
    "Dropout": (lambda: nn.Dropout(0.4, seed=2, fixed=True), IMAGES),
    "Dropout in eval mode": (lambda: nn.Dropout(0.4).eval(), IMAGES),
    "Sequential": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(90, 3, **DOUBLE), nn.Tanh()), IMAGES),
}


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_agree_with_numeric_ones(backend, name):
    make, shape = LAYERS[name]
    layer, x = make(), normal(*shape)
    out, cache = layer.forward(x)
    dout = normal(*out.shape, seed=8)
    dx, grads = layer.backward(dout, cache)
    assert list(grads) == list(layer.params)
    np.testing.assert_array_equal(out, layer(x))
    expected = eval_numerical_gradient_array(layer, x, dout)
    assert rel_error(expected, dx) < 1e-7
    for key, value in layer.params.items():
        expected = eval_numerical_gradient_array(lambda _: layer(x), value, dout)
        assert rel_error(expected, grads[key]) < 1e-7
    assert layer.backward(dout, cache, need_dx=False)[0] is None or name.startswith("PReLU")


@pytest.mark.parametrize(("name", "arguments"), [
    ("Conv2d", (3, 4, (3, 2), (2, 1), (1, 0))),
    ("MaxPool2d", (3, 2, 1)),
    ("AvgPool2d", ((2, 3), 1, (1, 0))),
    ("MaxPool2d", (2,)),
    ("ReLU", ()),
    ("LeakyReLU", (0.3,)),
    ("PReLU", (3, 0.1)),
    ("ELU", (0.7,)),
    ("Sigmoid", ()),
    ("Tanh", ()),
    ("GELU", ()),
    ("Flatten", ()),
])  # fmt: skip
def test_layers_agree_with_their_torch_namesakes(backend, name, arguments):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    x = normal(*IMAGES, dtype=np.float32)
    if name == "Conv2d":
        ours.params = {key: value.detach().numpy() for key, value in theirs.named_parameters()}
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor)
    actual, cache = ours.forward(x)
    assert_same(actual, expected.detach().numpy(), terms=18)
    dout = normal(*actual.shape, dtype=np.float32, seed=2)
    expected.backward(torch.tensor(dout))
    dx, grads = ours.backward(dout, cache)
    assert_same(dx, tensor.grad.numpy(), terms=100)
    for key, value in theirs.named_parameters():
        assert_same(grads[key], value.grad.numpy(), terms=1000)


def test_linear_is_torch_linear_transposed(backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    theirs = torch.nn.Linear(5, 3)
    ours = nn.Linear(5, 3)
    ours.params = {"weight": theirs.weight.detach().numpy().T, "bias": theirs.bias.detach().numpy()}
    x = normal(4, 5, dtype=np.float32)
    assert_same(ours(x), theirs(torch.tensor(x)).detach().numpy(), terms=5)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Linear(3, 2), (4, 5), r"Linear\(3, 2\): x\.shape = \(4, 5\) does not fit; expected \(N, 3\)"),
        (nn.Linear(3, 2), (3,), r"Linear\(3, 2\): x\.shape = \(3,\) does not fit"),
        (nn.Conv2d(3, 2, 3), (4, 1, 5, 5), r"Conv2d\(3, 2, 3\): x\.shape = .*expected \(N, 3, H, W\)"),
        (nn.Conv2d(3, 2, 3), (4, 5), r"Conv2d\(3, 2, 3\): x\.shape = \(4, 5\)"),
        (nn.MaxPool2d(2), (4, 5), r"MaxPool2d\(2\): x\.shape = \(4, 5\) does not fit; expected \(N, C, H, W\)"),
        (nn.GlobalAvgPool2d(), (4, 5), r"GlobalAvgPool2d\(\): x\.shape"),
        (nn.PReLU(3), (4, 2), r"PReLU\(3\): x\.shape = \(4, 2\) does not fit; expected \(N, 3, \.\.\.\)"),
        (nn.Flatten(), (), r"Flatten: x=-?0\.0 is not a batch"),
    ],
)
def test_inputs_that_do_not_fit(backend, layer, shape, message):
    x = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=message):
        layer.forward(x)
    with pytest.raises(ValueError, match=message) as caught:
        nn.Sequential(nn.Tanh(), layer, nn.ReLU()).loss(x, np.zeros(4, int))
    assert f"raised by layer 1, {layer!r}" in caught.value.__notes__[0]
    assert f"given x of shape {shape}" in caught.value.__notes__[0]


def test_a_window_that_does_not_fit_names_its_layer(backend):
    with pytest.raises(ValueError, match="the window does not fit") as caught:
        nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(4))(np.zeros((1, 1, 4, 4)))
    assert "raised by layer 1, MaxPool2d(4)" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features=0 is out of range"),
        (lambda: nn.Conv2d(3, 2, 1.5), ValueError, r"Conv2d: kernel_size=1\.5 is not an integer"),
        (lambda: nn.Conv2d(3, 2, 3, padding=-1), ValueError, "Conv2d: padding=-1 is out of range"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "MaxPool2d: stride=0 is out of range"),
        (lambda: nn.Linear(2, 2, dtype=np.int64), TypeError, "Linear: dtype=.*int64.* is not supported here"),
        (lambda: nn.PReLU(dtype="float16"), TypeError, "PReLU: dtype='float16' is not supported here"),
        (lambda: nn.Linear(2, 2, seed="a"), TypeError, "generator: seed='a' is not a seed"),
        (lambda: nn.Linear(2, 2, seed=-1), ValueError, "generator: seed=-1 is out of range"),
        (
            lambda: nn.Linear(2, 2, init="kaiming"),
            ValueError,
            r"Linear: init='kaiming' is unknown.*did you mean 'kaiming_",
        ),
        (lambda: nn.Maxout(0), ValueError, "Maxout: pieces=0 is out of range"),
        (lambda: nn.ELU("a"), TypeError, "ELU: alpha='a' is not a number"),
        (lambda: nn.LeakyReLU(float("nan")), ValueError, "LeakyReLU: negative_slope=nan is not finite"),
    ],
)
def test_faulty_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(3, 2, bias=False), "Linear(3, 2, bias=False)"),
        (nn.Conv2d(3, 2, (3, 5), stride=2, padding=(1, 2)), "Conv2d(3, 2, (3, 5), stride=2, padding=(1, 2))"),
        (nn.Conv2d(3, 2, 3.0, bias=False), "Conv2d(3, 2, 3, bias=False)"),
        (nn.MaxPool2d(2), "MaxPool2d(2)"),
        (nn.AvgPool2d(3, 2, 1), "AvgPool2d(3, stride=2, padding=1)"),
        (nn.ReLU(), "ReLU()"),
        (nn.LeakyReLU(), "LeakyReLU(0.01)"),
        (nn.PReLU(4), "PReLU(4)"),
        (nn.ELU(2), "ELU(2.0)"),
        (nn.Maxout(2), "Maxout(2)"),
    ],
)
def test_repr(layer, expected):
    assert repr(layer) == expected
