"""Modules: named parameters and buffers, modes, custom layers."""

import copy

import numpy as np
import pytest

from fastnn import nn
from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.layers import mse_loss

DOUBLE = {"dtype": np.float64, "seed": 3}


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


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


def test_the_copy_of_params_is_a_plain_dict():
    model = nn.Sequential(nn.Linear(2, 3))
    params = model.params.copy()
    assert type(params) is dict
    assert params["0.weight"] is model.params["0.weight"]


def test_copies_are_independent():
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
    other = copy.deepcopy(model)
    other.params["0.weight"] = np.zeros((2, 3))
    np.testing.assert_array_equal(other(np.ones((1, 2))), 0)
    assert model.params["0.weight"].any()


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
    with nn.eval_mode():
        model(x)
    model(x)
    assert seen == [False, True, True, False, True, False, True]


def test_a_custom_layer(backend):
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


def test_buffers_are_the_arrays_of_the_layers():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(norm, nn.Dropout()))
    assert list(model.buffers) == [
        "1.0.running_mean",
        "1.0.running_var",
        "1.0.num_batches_tracked",
        "1.1.key",
        "1.1.draws",
    ]
    assert model.buffers["1.0.running_mean"] is norm.buffers["running_mean"]
    given = np.full(3, 2.0)
    model.buffers["1.0.running_mean"] = given
    np.testing.assert_array_equal(norm.buffers["running_mean"], given)
    assert norm.buffers["running_mean"].dtype == np.float32
    assert not set(model.params) & set(model.buffers)
    model(np.ones((2, 2)))
    assert model.buffers["1.0.num_batches_tracked"] == model.buffers["1.1.draws"] == 1


def test_all_buffers_at_once():
    def build():
        return nn.Sequential(nn.Linear(2, 3, seed=1), nn.BatchNorm1d(3))

    model, other = build(), build()
    model(np.ones((4, 2)))
    other.buffers = model.buffers
    np.testing.assert_array_equal(other.buffers["1.running_mean"], model.buffers["1.running_mean"])
    assert other.buffers["1.num_batches_tracked"] == 1
    assert other.buffers["1.running_mean"] is not model.buffers["1.running_mean"]
    with pytest.raises(ValueError, match=r"Sequential\.buffers: buffers lacks the key '1\.running_mean'"):
        other.buffers = {}
    with pytest.raises(ValueError, match=r"Sequential\.buffers: '1\.running_var' has shape \(\); expected \(3,\)"):
        other.buffers = {**model.buffers, "1.running_var": 1}
    with pytest.raises(KeyError, match=r"buffers: there is no buffer '1\.runing_var'.*did you mean '1\.running_var'"):
        other.buffers["1.runing_var"] = 1
    with pytest.raises(TypeError, match=r"buffers: '1\.running_var' cannot be removed; expected every buffer to stay"):
        del other.buffers["1.running_var"]
    with pytest.raises(TypeError, match=r"buffers: '1\.running_var' has dtype <U1; expected float32"):
        other.buffers["1.running_var"] = np.array(["a", "b", "c"])


def test_scores_leave_buffers_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    before = {name: value.copy() for name, value in model.buffers.items()}
    X = np.ones((4, 2))
    model.loss(X)
    assert all(np.array_equal(model.buffers[name], value) for name, value in before.items())
    model.loss(X, np.zeros(4, int))
    assert not any(
        np.array_equal(model.buffers[name], value) for name, value in before.items() if not name.endswith("key")
    )


def test_a_custom_layer_with_state(tmp_path):
    class Count(nn.Module):
        def __init__(self):
            super().__init__()
            self.buffers["calls"] = np.zeros((), np.int64)

        def forward(self, x):
            self.buffers["calls"] = self.buffers["calls"] + np.ones((), np.int64)
            return x, None

        def backward(self, dout, cache, need_dx=True):
            return dout, {}

    model = nn.Sequential(Count(), nn.Flatten())
    model(np.ones((1, 2)))
    assert model.state_dict() == model.buffers == {"0.calls": 1}
    model.save(tmp_path / "count.npz")
    other = nn.Sequential(Count(), nn.Flatten())
    other.load(tmp_path / "count.npz")
    assert other.buffers["0.calls"] == 1
