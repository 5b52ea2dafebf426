"""EECS 498/598's layers, losses, update rules and networks, judged by PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the course computes on tensors of torch")

from torch.nn import functional as F  # noqa: E402

from fastnn.courses.eecs598 import a3_helper, adapters, grad, reset_seed  # noqa: E402
from fastnn.courses.eecs598 import convolutional_networks as conv  # noqa: E402
from fastnn.courses.eecs598 import fully_connected_networks as fc  # noqa: E402

DTYPES = {torch.float32: 3e-5, torch.float64: 1e-12}
CONV, POOL = {"stride": 2, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
SAME = {"stride": 1, "pad": 1}

X, W, B = (5, 2, 3), (6, 4), (4,)
IMAGES, FILTERS, BIAS = (3, 2, 6, 6), (4, 2, 3, 3), (4,)


def training():
    return {"mode": "train"}


def norm(x, gamma, beta):
    return F.batch_norm(x, None, None, gamma, beta, training=True)


def linear(x, w, b):
    return x.flatten(1) @ w + b


def pool(x):
    return F.max_pool2d(x, 2)


LAYERS = [  # layer, shapes of its tensors, its options, the same by torch
    (fc.Linear, [X, W, B], lambda: (), linear),
    (fc.ReLU, [X], lambda: (), F.relu),
    (fc.Linear_ReLU, [X, W, B], lambda: (), lambda *a: F.relu(linear(*a))),
    (conv.Conv, [IMAGES, FILTERS, BIAS], lambda: (CONV,), lambda *a: F.conv2d(*a, stride=2, padding=1)),
    (conv.FastConv, [IMAGES, FILTERS, BIAS], lambda: (CONV,), lambda *a: F.conv2d(*a, stride=2, padding=1)),
    (conv.MaxPool, [IMAGES], lambda: (POOL,), pool),
    (conv.FastMaxPool, [IMAGES], lambda: (POOL,), pool),
    (conv.BatchNorm, [(7, 4), B, B], lambda: (training(),), norm),
    (conv.SpatialBatchNorm, [IMAGES, (2,), (2,)], lambda: (training(),), norm),
    (conv.Conv_ReLU, [IMAGES, FILTERS, BIAS], lambda: (SAME,), lambda *a: F.relu(F.conv2d(*a, padding=1))),
    (
        conv.Conv_ReLU_Pool,
        [IMAGES, FILTERS, BIAS],
        lambda: (SAME, POOL),
        lambda *a: pool(F.relu(F.conv2d(*a, padding=1))),
    ),
    (
        conv.Linear_BatchNorm_ReLU,
        [X, W, B, B, B],
        lambda: (training(),),
        lambda x, w, b, gamma, beta: F.relu(norm(linear(x, w, b), gamma, beta)),
    ),
    (
        conv.Conv_BatchNorm_ReLU,
        [IMAGES, FILTERS, BIAS, B, B],
        lambda: (SAME, training()),
        lambda x, w, b, gamma, beta: F.relu(norm(F.conv2d(x, w, b, padding=1), gamma, beta)),
    ),
    (
        conv.Conv_BatchNorm_ReLU_Pool,
        [IMAGES, FILTERS, BIAS, B, B],
        lambda: (SAME, training(), POOL),
        lambda x, w, b, gamma, beta: pool(F.relu(norm(F.conv2d(x, w, b, padding=1), gamma, beta))),
    ),
]


def assert_close(actual, expected, tolerance):
    assert isinstance(actual, torch.Tensor)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("layer", "shapes", "options", "reference"), LAYERS, ids=[row[0].__name__ for row in LAYERS])
def test_layers(backend, layer, shapes, options, reference, dtype):
    torch.manual_seed(3)
    given = [torch.randn(shape, dtype=dtype) for shape in shapes]
    kept = [tensor.clone() for tensor in given]
    judged = [tensor.clone().requires_grad_() for tensor in given]
    expected = reference(*judged)
    dout = torch.randn(expected.shape, dtype=dtype)
    expected.backward(dout)

    out, cache = layer.forward(*given, *options())
    gradients = layer.backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert_close(out, expected, DTYPES[dtype])
    for gradient, tensor in zip(gradients, judged, strict=True):
        assert_close(gradient, tensor.grad, 10 * DTYPES[dtype])
    assert all(torch.equal(one, before) for one, before in zip(given, kept, strict=True))


def test_layers_have_names_and_static_methods():
    assert conv.Conv_ReLU.__name__ == "Conv_ReLU"
    assert conv.Conv_ReLU.__module__ == "fastnn.courses.eecs598.convolutional_networks"
    assert isinstance(vars(conv.Conv_ReLU)["forward"], staticmethod)


def test_loops_run_on_the_host(monkeypatch):
    """Tensors on a GPU, for which these stand, are copied to the CPU; results return to their device."""
    monkeypatch.setattr(adapters, "_is_on_gpu", lambda tensor: True)
    moves, to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: (moves.append(device), to(tensor, device))[1])
    x, w, b = torch.randn(IMAGES), torch.randn(FILTERS), torch.randn(BIAS)
    out, cache = conv.Conv.forward(x, w, b, CONV)
    dx, dw, db = conv.Conv.backward(torch.ones_like(out), cache)
    assert [gradient.shape for gradient in (dx, dw, db)] == [x.shape, w.shape, b.shape]
    assert len(moves) >= 14  # forward: three there, with the cache four back; backward: four there, three back


def test_batch_norm_keeps_running_averages_as_tensors():
    """They begin at 0, and the variance is the biased one, as in the course."""
    torch.manual_seed(0)
    x, bn_param = torch.randn(50, 3, dtype=torch.float64), {"mode": "train", "momentum": 0.75}
    conv.BatchNorm.forward(x, torch.ones(3).double(), torch.zeros(3).double(), bn_param)
    assert_close(bn_param["running_mean"], 0.25 * x.mean(dim=0), 1e-12)
    assert_close(bn_param["running_var"], 0.25 * x.var(dim=0, unbiased=False), 1e-12)
    bn_param["mode"] = "test"
    out, _ = conv.BatchNorm.forward(x, torch.ones(3).double(), torch.zeros(3).double(), bn_param)
    expected = F.batch_norm(x, bn_param["running_mean"], bn_param["running_var"], eps=1e-5)
    assert_close(out, expected, 1e-12)


def test_both_backward_passes_of_batch_norm_agree():
    torch.manual_seed(0)
    x, gamma, dout = torch.randn(8, 3).double(), torch.randn(3).double(), torch.randn(8, 3).double()
    _, cache = conv.BatchNorm.forward(x, gamma, gamma, {"mode": "train"})
    for one, other in zip(conv.BatchNorm.backward(dout, cache), conv.BatchNorm.backward_alt(dout, cache), strict=True):
        assert_close(one, other, 1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_losses(dtype):
    torch.manual_seed(1)
    x, y = torch.randn(9, 5, dtype=dtype), torch.randint(5, (9,))
    for loss_func, judge in (
        (a3_helper.softmax_loss, F.cross_entropy),
        (a3_helper.svm_loss, lambda x, y: 5 * F.multi_margin_loss(x, y)),
    ):
        judged = x.clone().requires_grad_()
        expected = judge(judged, y)
        expected.backward()
        loss, dx = loss_func(x, y)
        assert loss.ndim == 0
        assert abs(loss.item() - expected.item()) < DTYPES[dtype]
        assert_close(dx, judged.grad, DTYPES[dtype])


@pytest.mark.parametrize("p", [0.25, 0.4, 0.7])
def test_dropout_drops_with_probability_p(p):
    reset_seed(0)
    x = torch.randn(500, 500, dtype=torch.float64) + 10
    out, cache = fc.Dropout.forward(x, {"mode": "train", "p": p})
    assert abs((out == 0).double().mean().item() - p) < 0.005
    assert abs(out.mean() / x.mean() - 1) < 0.01
    assert_close(out[out != 0], (x / (1 - p))[out != 0], 1e-12)
    assert_close(fc.Dropout.backward(torch.ones_like(x), cache), (out != 0).double() / (1 - p), 1e-12)
    test, cache = fc.Dropout.forward(x, {"mode": "test", "p": p})
    assert torch.equal(test, x)
    assert torch.equal(fc.Dropout.backward(x, cache), x)


def test_dropout_draws_from_torch():
    x, param = torch.ones(4, 50), {"mode": "train", "p": 0.5}
    reset_seed(7)
    first, second = fc.Dropout.forward(x, param)[0], fc.Dropout.forward(x, param)[0]
    reset_seed(7)
    assert torch.equal(fc.Dropout.forward(x, param)[0], first)
    assert not torch.equal(first, second)
    seeded = [fc.Dropout.forward(x, {**param, "seed": 3})[0] for _ in range(2)]
    assert torch.equal(*seeded)


@pytest.mark.parametrize(
    ("rule", "judge"),
    [
        (fc.sgd, lambda w: torch.optim.SGD(w, lr=0.01)),
        (fc.rmsprop, lambda w: torch.optim.RMSprop(w, lr=0.01, alpha=0.99)),
        (fc.adam, lambda w: torch.optim.Adam(w, lr=0.01)),
    ],
    ids=["sgd", "rmsprop", "adam"],
)
def test_update_rules(rule, judge):
    torch.manual_seed(0)
    w = torch.randn(3, 4, dtype=torch.float64)
    judged = w.clone().requires_grad_()
    optimiser, config = judge([judged]), {"learning_rate": 0.01}
    for _ in range(3):
        judged.grad = dw = torch.randn(3, 4, dtype=torch.float64)
        optimiser.step()
        w, config = rule(w, dw, config)
    assert_close(w, judged, 1e-12)


def test_momentum_is_stored_as_a_tensor():
    w, dw, v = (torch.full((2, 3), value, dtype=torch.float64) for value in (1.0, 2.0, 3.0))
    config = {"learning_rate": 0.1, "velocity": v}
    next_w, _ = fc.sgd_momentum(w, dw, config)
    assert_close(config["velocity"], torch.full_like(w, 0.9 * 3 - 0.1 * 2), 1e-12)
    assert_close(next_w, w + config["velocity"], 1e-12)


# ---- networks ----


def deep(x, params, batchnorm):
    for number, pooled in ((1, True), (2, False)):
        x = F.conv2d(x, params[f"W{number}"], params[f"b{number}"], padding=1)
        x = norm(x, params[f"gamma{number}"], params[f"beta{number}"]) if batchnorm else x
        x = pool(F.relu(x)) if pooled else F.relu(x)
    return linear(x, params["W3"], params["b3"])


def three(x, params):
    x = pool(F.relu(F.conv2d(x, params["W1"], params["b1"], padding=1)))
    return linear(F.relu(linear(x, params["W2"], params["b2"])), params["W3"], params["b3"])


def connected(x, params):
    for number in range(1, len(params) // 2):
        x = F.relu(linear(x, params[f"W{number}"], params[f"b{number}"]))
    return linear(x, params[f"W{len(params) // 2}"], params[f"b{len(params) // 2}"])


def settings(dtype, **others):
    return {"num_classes": 4, "weight_scale": 0.3, "reg": 0.7, "dtype": dtype, **others}


NETWORKS = {  # a network for a dtype, the shape of an input, the same by torch, the factor of the penalty
    "TwoLayerNet": (lambda dtype: fc.TwoLayerNet(6, 5, **settings(dtype)), (6,), connected, 1),
    "FullyConnectedNet": (lambda dtype: fc.FullyConnectedNet([5, 3], 6, **settings(dtype)), (6,), connected, 0.5),
    "ThreeLayerConvNet": (
        lambda dtype: conv.ThreeLayerConvNet((2, 4, 6), 3, 3, 5, **settings(dtype)), (2, 4, 6), three, 1
    ),
    "DeepConvNet": (
        lambda dtype: conv.DeepConvNet((2, 4, 6), (3, 4), (0,), **settings(dtype)),
        (2, 4, 6), lambda x, params: deep(x, params, False), 1,
    ),
    "DeepConvNet with batch norm": (
        lambda dtype: conv.DeepConvNet((2, 4, 6), (3, 4), (0,), True, **settings(dtype, weight_scale="kaiming")),
        (2, 4, 6), lambda x, params: deep(x, params, True), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, dtype):
    make, shape, reference, factor = NETWORKS[name]
    reset_seed(0)
    model = make(dtype)
    X, y = torch.randn(8, *shape, dtype=torch.float64), torch.randint(4, (8,))  # inputs are converted
    judged = {key: value.clone().requires_grad_() for key, value in model.params.items()}
    penalty = sum((value**2).sum() for key, value in judged.items() if key[0] == "W")
    scores = reference(X.to(dtype), judged)
    expected = F.cross_entropy(scores, y) + factor * 0.7 * penalty
    expected.backward()
    loss, grads = model.loss(X, y)
    assert abs(loss.item() - expected.item()) < 10 * DTYPES[dtype]
    assert grads.keys() == model.params.keys()
    for key, gradient in grads.items():
        assert_close(gradient, judged[key].grad, 10 * DTYPES[dtype])
    if "batch norm" not in name:
        assert_close(model.loss(X), scores, 10 * DTYPES[dtype])


@pytest.mark.parametrize("dropout", [0.25, 0.5])
def test_gradients_with_dropout(dropout):
    reset_seed(0)
    X, y = torch.randn(2, 5, dtype=torch.float64), torch.randint(10, (2,))
    model = fc.FullyConnectedNet([7, 6], 5, weight_scale=0.5, dropout=dropout, seed=0, dtype=torch.float64)
    _, grads = model.loss(X, y)
    for name, gradient in grads.items():
        numeric = grad.compute_numeric_gradient(lambda _: model.loss(X, y)[0], model.params[name])
        assert grad.rel_error(numeric, gradient) < 1e-5, name
    assert torch.equal(model.loss(X), model.loss(X))  # no dropout without labels


def test_the_figures_of_the_notebook():
    """The two-layer net's check of assignment 3."""
    model = fc.TwoLayerNet(5, 50, 7, dtype=torch.float64)
    for name, start, stop, shape in (
        ("W1", -0.7, 0.3, (5, 50)),
        ("b1", -0.1, 0.9, (50,)),
        ("W2", -0.3, 0.4, (50, 7)),
        ("b2", -0.9, 0.1, (7,)),
    ):
        size = int(np.prod(shape))
        model.params[name] = torch.linspace(start, stop, size, dtype=torch.float64).reshape(shape)
    X = torch.linspace(-5.5, 4.5, 15, dtype=torch.float64).reshape(5, 3).t()
    y = torch.tensor([0, 5, 1])
    assert abs(model.loss(X, y)[0] - 3.4702243556) < 1e-10
    model.reg = 1.0
    assert abs(model.loss(X, y)[0] - 49.719461034881775) < 1e-10


@pytest.mark.parametrize("K", [None, 3])
@pytest.mark.parametrize(("relu", "gain"), [(True, 2), (False, 1)])
def test_kaiming_initializer(K, relu, gain):
    reset_seed(0)
    weights = conv.kaiming_initializer(40, 50, K, relu, dtype=torch.float64)
    assert weights.shape == ((40, 50) if K is None else (50, 40, 3, 3))
    assert abs(weights.var().item() * 40 * (K or 1) ** 2 / gain - 1) < 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_saved_and_loaded(name, tmp_path, capsys):
    make, shape, *_ = NETWORKS[name]
    reset_seed(0)
    model, other = make(torch.float64), make(torch.float32)
    X, y = torch.randn(6, *shape, dtype=torch.float64), torch.randint(4, (6,))
    model.loss(X, y)  # fills running averages
    model.save(tmp_path / "net.pth")
    other.load(tmp_path / "net.pth", dtype=torch.float64, device="cpu")
    assert torch.equal(other.loss(X), model.loss(X))
    other.load(tmp_path / "net.pth", dtype=torch.float32)
    assert other.loss(X).dtype == torch.float32
    path = tmp_path / "net.pth"
    assert capsys.readouterr().out.splitlines()[:2] == [f"Saved in {path}", f"load checkpoint file: {path}"]
