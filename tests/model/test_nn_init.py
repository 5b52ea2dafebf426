"""Initial weights: variance, fans, random generator."""

import functools

import numpy as np
import pytest

from fastnn import autograd, nn


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


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


def test_layers_start_as_in_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    for ours, theirs in (
        (nn.Linear(300, 200, seed=0), torch.nn.Linear(300, 200)),
        (nn.Conv2d(12, 200, (5, 3), seed=1), torch.nn.Conv2d(12, 200, (5, 3))),
        (nn.Conv2d(12, 200, 5, bias=False, dtype=np.float64), torch.nn.Conv2d(12, 200, 5, bias=False)),
    ):
        assert list(ours.params) == [name for name, _ in theirs.named_parameters()]
        for value, tensor in zip(ours.params.values(), theirs.parameters(), strict=True):
            assert np.abs(value).max() == pytest.approx(tensor.detach().abs().max().item(), rel=0.03)
            assert value.std() == pytest.approx(tensor.detach().numpy().std(), rel=0.2)
            assert abs(value.mean()) < 0.15 * value.std()
    assert not nn.Linear(3, 2, init="kaiming_normal").params["bias"].any()


def test_layers_draw_from_the_global_state_unless_seeded():
    np.random.seed(7)
    expected = np.random.normal(0, np.sqrt(2 / 3), (3, 2)).astype(np.float32)
    np.random.seed(7)
    np.testing.assert_allclose(nn.Linear(3, 2, init="kaiming_normal").params["weight"], expected, rtol=1e-6)
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


FILLED = {
    "kaiming_normal_": ({}, 2 / 200),
    "kaiming_uniform_": ({"nonlinearity": "linear"}, 1 / 200),
    "xavier_normal_": ({"gain": 2.0}, 8 / 500),
    "xavier_uniform_": ({}, 2 / 500),
    "normal_": ({"mean": 3.0, "std": 0.5}, 0.25),
    "uniform_": ({"a": 1.0, "b": 4.0}, 9 / 12),
    "constant_": ({"val": 2.5}, 0),
    "zeros_": ({}, 0),
    "ones_": ({}, 0),
}


@pytest.mark.parametrize("name", FILLED)
def test_initialisers_in_place(name):
    options, variance = FILLED[name]
    drawn = {"generator": 3} if variance else {}
    layer, tensor = nn.Linear(200, 300), autograd.zeros(300, 200)
    array, version = layer.params["weight"], layer.weight._version
    for w in (layer.weight, tensor):
        assert getattr(nn.init, name)(w, **options, **drawn) is w
        assert w.data.var() == pytest.approx(variance, rel=0.03)
    assert layer.params["weight"] is array
    assert layer.weight._version > version
    if name.startswith(("kaiming", "xavier")):
        np.testing.assert_array_equal(layer.params["weight"], tensor.data.T)
        assert getattr(nn.init, name)(nn.Conv2d(8, 40, 5).weight, **drawn).data.std() > 0


@pytest.mark.parametrize("name", FILLED)
def test_initialisers_in_place_and_those_of_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    options, _ = FILLED[name]
    for shape in ((400, 300), (60, 50, 5, 5)):
        ours = getattr(nn.init, name)(autograd.zeros(shape), **options).data
        theirs = getattr(torch.nn.init, name)(torch.zeros(shape), **options).numpy()
        assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.02)


def test_initialisers_in_place_take_tensors_of_floats():
    with pytest.raises(TypeError, match=r"zeros_: tensor=.*cannot be filled; .*pass such as layer.weight"):
        nn.init.zeros_(np.ones(3))
    with pytest.raises(TypeError, match=r"constant_: tensor=.*expected a Tensor of float32 or float64"):
        nn.init.constant_(autograd.arange(3), 2)
    with pytest.raises(ValueError, match="nonlinearity='tanh' is unknown"):
        nn.init.kaiming_normal_(nn.Linear(3, 2).weight, nonlinearity="tanh")
