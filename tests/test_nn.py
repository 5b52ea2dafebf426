"""Modules: every layer against numeric gradients and torch, parameters under names, Sequential as a model."""

import copy
import functools
import threading

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from fastnn.layers import mse_loss, svm_loss
from fastnn.nn import sandwiches
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


def convnet(**options):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, **DOUBLE),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3, **DOUBLE),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3, 5, **DOUBLE),
        nn.ReLU(),
        nn.Linear(5, 3, **DOUBLE),
        **options,
    )


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


def test_sandwiches_are_found_and_change_nothing(backend, monkeypatch):
    def steps(model):
        return [type(step).__name__ for _, step in model._steps]

    model, X, y = convnet(reg=0.1), normal(2, 3, 6, 6), np.array([0, 2])
    assert steps(model) == ["Sandwich", "Sandwich", "Flatten", "Sandwich", "Linear"]
    loss, grads = model.loss(X, y)
    monkeypatch.setattr(sandwiches, "SANDWICHES", {})
    plain = convnet(reg=0.1)
    assert steps(plain) == [type(layer).__name__ for layer in plain.layers]
    expected_loss, expected_grads = plain.loss(X, y)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    assert_same(grads, expected_grads, terms=1000)
    assert_same(model.loss(X), plain.loss(X), terms=100)


class Shifted(nn.ReLU):
    def forward(self, x):
        return super().forward(x - 1)


def test_what_is_no_sandwich_is_computed_by_its_layers():
    for layers in ((nn.Conv2d(1, 1, 1), Shifted()), (nn.Conv2d(1, 1, 1), nn.Tanh()), (nn.ReLU(), nn.MaxPool2d(2))):
        assert len(nn.Sequential(*layers)._steps) == 2
    padded = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2, padding=1))
    assert [position for position, _ in padded._steps] == [0, 2]


def test_sandwich_without_bias(backend):
    model = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2), loss=mse_loss)
    X = normal(*IMAGES)
    _, grads = model.loss(X, np.zeros((2, 2, 2, 1)))
    assert list(grads) == ["0.weight"]


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


def test_params_are_the_arrays_of_the_layers():
    inner = nn.Linear(2, 3)
    model = nn.Sequential(nn.Sequential(inner), nn.Linear(3, 2))
    assert model.params["0.0.weight"] is inner.params["weight"]
    given = np.ones((2, 3))
    model.params["0.0.weight"] = given
    np.testing.assert_array_equal(inner.params["weight"], 1)
    assert inner.params["weight"].dtype == np.float32
    model.params["0.0.weight"] += 1
    np.testing.assert_array_equal(inner.params["weight"], 2)
    np.testing.assert_array_equal(given, 1)
    assert len(model.params) == 4
    assert "0.0.weight" in model.params
    assert "2.weight" not in model.params
    assert repr(inner.params) in repr(inner.params)
    assert "'1.bias': float32 (2,)" in repr(model.params)


def test_assigned_arrays_are_copied():
    model = nn.Sequential(nn.Linear(2, 3))
    given = np.zeros((2, 3), np.float32)
    model.params["0.weight"] = given
    model.params["0.weight"] += 1
    np.testing.assert_array_equal(given, 0)


def test_all_params_at_once():
    model, other = nn.Sequential(nn.Linear(2, 3, seed=1)), nn.Sequential(nn.Linear(2, 3, seed=2))
    model.params = other.params
    np.testing.assert_array_equal(model.params["0.weight"], other.params["0.weight"])
    assert model.params["0.weight"] is not other.params["0.weight"]
    before = model.params["0.weight"].copy()
    with pytest.raises(ValueError, match=r"Sequential\.params: '0\.bias' has shape \(2,\); expected \(3,\)"):
        model.params = {"0.weight": np.zeros((2, 3)), "0.bias": np.zeros(2)}
    with pytest.raises(ValueError, match=r"Sequential\.params: params lacks the key '0\.bias'"):
        model.params = {"0.weight": np.zeros((2, 3))}
    with pytest.raises(ValueError, match=r"params\['0\.wieght'\] is unknown.*did you mean '0\.weight'"):
        model.params = {**other.params, "0.wieght": 1}
    with pytest.raises(TypeError, match="is not a dict"):
        model.params = [1]
    np.testing.assert_array_equal(model.params["0.weight"], before)
    layer = nn.Linear(2, 3)
    layer.params = {"weight": np.ones((2, 3)), "bias": np.ones(3)}
    np.testing.assert_array_equal(layer.params["bias"], 1)


def test_faulty_assignments():
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(KeyError, match=r"there is no parameter '0\.wieght'.*did you mean '0\.weight'"):
        model.params["0.wieght"] = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"params: '0\.bias' has shape \(\); expected \(3,\)"):
        model.params["0.bias"] = 0
    with pytest.raises(TypeError, match=r"params: '0\.bias' cannot be removed"):
        del model.params["0.bias"]


def test_copies_are_independent():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    other = copy.deepcopy(model)
    other.params["0.weight"] = np.zeros((2, 3))
    np.testing.assert_array_equal(other(np.ones((1, 2))), 0)
    assert model.params["0.weight"].any()


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
    model = nn.Sequential(nn.Linear(700, 150, seed=1), reg=0.5)
    w = model.params["0.weight"].astype(np.float64)
    loss, grads = model.loss(np.zeros((1, 700)), np.array([0]))
    assert loss == pytest.approx(np.log(150) + 0.25 * (w**2).sum(), rel=1e-6)
    np.testing.assert_allclose(grads["0.weight"], 0.5 * w, rtol=1e-6)


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


def test_modes():
    class Probe(nn.Module):
        def forward(self, x):
            seen.append(self.training)
            return x, None

        def backward(self, dout, cache, need_dx=True):
            return dout, {}

    seen = []
    model = nn.Sequential(nn.Sequential(Probe()), loss=mse_loss)
    x = np.zeros((1, 2))
    model.loss(x)
    model.loss(x, x)
    model(x)
    assert model.eval() is model
    model(x)
    model.train()(x)
    with nn.evaluating():
        model(x)
    model(x)
    assert seen == [False, True, True, False, True, False, True]


def test_a_layer_of_ones_own(backend):
    class Scale(nn.Module):
        regularized = ("factor",)

        def __init__(self):
            super().__init__(factor=np.full(1, 2.0))

        def forward(self, x):
            return x * self.params["factor"], x

        def backward(self, dout, cache, need_dx=True):
            return dout * self.params["factor"], {"factor": np.array([(dout * cache).sum()])}

    model, X, y = nn.Sequential(nn.Linear(3, 2, **DOUBLE), Scale(), reg=0.1), normal(4, 3), np.array([0, 1, 1, 0])
    _, grads = model.loss(X, y)
    for name, value in model.params.items():
        expected = eval_numerical_gradient(lambda _: model.loss(X, y)[0], value, verbose=False)
        assert rel_error(expected, grads[name]) < 1e-7
    assert repr(model.layers[1]) == "Scale()"


def test_methods_that_a_layer_must_define():
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Nothing: forward is missing"):
        Nothing()(1)
    with pytest.raises(NotImplementedError, match="Nothing: backward is missing"):
        Nothing().backward(1, None)


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
        (nn.Flatten(), (), r"Flatten\(\): x=-?0\.0 is a number"),
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
        (lambda: nn.Conv2d(3, 2, 1.5), ValueError, r"Conv2d: kernel_size=1\.5 is not whole"),
        (lambda: nn.Conv2d(3, 2, 3, padding=-1), ValueError, "Conv2d: padding=-1 is out of range"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "MaxPool2d: stride=0 is out of range"),
        (lambda: nn.Linear(2, 2, dtype=np.int64), TypeError, "Linear: dtype=.*int64.* cannot be trained with"),
        (lambda: nn.PReLU(dtype="float16"), TypeError, "PReLU: dtype='float16' cannot be trained with"),
        (lambda: nn.Linear(2, 2, seed="a"), TypeError, "generator: seed='a' is no seed"),
        (lambda: nn.Linear(2, 2, seed=-1), ValueError, "generator: seed=-1 is out of range"),
        (
            lambda: nn.Linear(2, 2, init="kaiming"),
            ValueError,
            r"Linear: init='kaiming' is unknown.*did you mean 'kaiming_",
        ),
        (lambda: nn.Maxout(0), ValueError, "Maxout: pieces=0 is out of range"),
        (lambda: nn.ELU("a"), TypeError, "ELU: alpha='a' is not a number"),
        (lambda: nn.LeakyReLU(float("nan")), ValueError, "LeakyReLU: negative_slope=nan is not finite"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU),
            TypeError,
            "Sequential: layer 1 is <class.*expected a Module",
        ),
        (lambda: nn.Sequential(reg=-1), ValueError, "Sequential: reg=-1 is out of range"),
    ],
)
def test_faulty_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_with_parameters_occurs_once():
    layer, activation = nn.Linear(2, 2), nn.ReLU()
    nn.Sequential(layer, activation, activation)
    with pytest.raises(ValueError, match=r"Sequential: layer 2 is layer 0 again, Linear\(2, 2\)"):
        nn.Sequential(layer, activation, layer)


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
        (
            nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 1))),
            "Sequential(\n  (0) Flatten()\n  (1) Sequential(\n    (0) Linear(2, 1)\n  )\n)",
        ),
    ],
)
def test_repr(layer, expected):
    assert repr(layer) == expected


def test_initial_weights_have_their_variance():
    for initialiser, variance in (
        (nn.init.kaiming_normal, 2 / 200),
        (nn.init.kaiming_uniform, 2 / 200),
        (functools.partial(nn.init.kaiming_normal, mode="fan_out", slope=1.0), 1 / 300),
        (nn.init.xavier_normal, 2 / 500),
        (functools.partial(nn.init.xavier_uniform, gain=2.0), 8 / 500),
        (functools.partial(nn.init.normal, std=0.3), 0.09),
    ):
        w = initialiser((200, 300), seed=1)
        assert w.dtype == np.float32
        assert w.var() == pytest.approx(variance, rel=0.03)
        assert abs(w.mean()) < 0.02 * np.sqrt(variance)
    bound = np.sqrt(3) * np.sqrt(2 / 200)
    assert np.abs(nn.init.kaiming_uniform((200, 300), seed=1)).max() <= bound * (1 + 1e-6)


def test_fans_of_filters_and_faulty_shapes():
    assert nn.init.fans("f", (8, 3, 5, 2)) == (30, 80)
    assert nn.init.fans("f", (8, 3)) == (8, 3)
    with pytest.raises(ValueError, match=r"kaiming_normal: shape=\(3,\) has no fans"):
        nn.init.kaiming_normal((3,))
    with pytest.raises(ValueError, match=r"kaiming_uniform: mode='fan_on' is unknown.*did you mean 'fan_in'"):
        nn.init.kaiming_uniform((3, 2), mode="fan_on")


def test_layers_draw_from_the_global_state_unless_seeded():
    np.random.seed(7)
    expected = np.random.normal(0, np.sqrt(2 / 3), (3, 2)).astype(np.float32)
    np.random.seed(7)
    np.testing.assert_allclose(nn.Linear(3, 2).params["weight"], expected, rtol=1e-6)
    np.random.seed(7)
    first = nn.Linear(3, 2, seed=5).params["weight"]
    np.random.seed(8)
    np.testing.assert_array_equal(nn.Linear(3, 2, seed=5).params["weight"], first)
    other = nn.Linear(3, 2, seed=5, init=nn.init.xavier_normal).params["weight"]
    np.testing.assert_array_equal(nn.Linear(3, 2, seed=5, init="xavier_normal").params["weight"], other)
    assert not np.array_equal(other, first)
    generator = np.random.default_rng(5)
    np.testing.assert_array_equal(nn.Linear(3, 2, seed=generator).params["weight"], first)
    assert not np.array_equal(nn.Linear(3, 2, seed=generator).params["weight"], first)


@pytest.mark.parametrize("name", ["net.npy", "net.npz", "net", "net.h5"])
def test_saved_parameters_come_back(tmp_path, name):
    model = convnet()
    model.save(tmp_path / name)
    other = convnet()
    for value in other.params.values():
        value[...] = 7
    other.load(tmp_path / name)
    for key, expected in model.params.items():
        np.testing.assert_array_equal(other.params[key], expected)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_that_do_not_fit(tmp_path):
    nn.Sequential(nn.Linear(2, 3)).save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"'0\.weight' has shape \(2, 3\); expected \(2, 4\)"):
        nn.Sequential(nn.Linear(2, 4)).load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"params lacks the key '1\.weight'"):
        nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).load(tmp_path / "net.npz")
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(FileNotFoundError):
        model.load(tmp_path / "missing.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "pickles.npz", a=np.array([{}], object))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("array.npy", "pickle.npy", "pickles.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"load: name=.*{name}.* holds no named arrays"):
            model.load(tmp_path / name)
    fastnn.checkpoint.save(tmp_path / "other.h5", {"a": 1})
    with pytest.raises(ValueError, match=r"load: name=.*other\.h5.* holds \['a'\]; expected 'params'"):
        model.load(tmp_path / "other.h5")
