"""Initial weights: variance, fans, random generator."""

import functools

import numpy as np
import pytest

from fastnn import nn


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
