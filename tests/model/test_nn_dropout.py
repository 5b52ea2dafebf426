"""Dropout: masks depend only on seed and count; fixed masks, modes, saved state."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels, nn
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error

ONES = np.ones((50, 40), np.float32)


def masks(layer, count=3):
    return [layer(ONES) != 0 for _ in range(count)]


def test_elements_are_dropped_or_scaled(backend):
    layer = nn.Dropout(0.2, seed=1)
    out, cache = layer.forward(ONES)
    assert set(np.unique(out)) == {0, np.float32(1 / 0.8)}
    assert (out == 0).mean() == pytest.approx(0.2, abs=0.03)
    dx, grads = layer.backward(ONES, cache)
    np.testing.assert_array_equal(dx, out)
    assert grads == {}
    assert layer.backward(ONES, cache, need_dx=False) == (None, {})


def test_masks_vary_from_call_to_call_unless_fixed(backend):
    first, second, third = masks(nn.Dropout(seed=1))
    assert (first != second).mean() == pytest.approx(0.5, abs=0.05)
    assert (second != third).mean() == pytest.approx(0.5, abs=0.05)
    first, second, third = masks(nn.Dropout(seed=1, fixed=True))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_seed_gives_the_same_masks_on_every_backend(backend, fixed):
    actual = masks(nn.Dropout(0.3, seed=7, fixed=fixed))
    with fastnn.use_backend("naive"):
        expected = masks(nn.Dropout(0.3, seed=7, fixed=fixed))
    np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(actual, masks(nn.Dropout(0.3, seed=8, fixed=fixed)))


def test_masks_do_not_change_between_versions():
    layer = nn.Dropout(seed=0)
    assert int(layer.buffers["key"]) == int.from_bytes(np.random.default_rng(0).bytes(8), "little")
    key = int(layer.buffers["key"])
    expected = []
    for draws in range(2):
        seed = int(np.random.SeedSequence((key, draws)).generate_state(1, np.uint64)[0])
        expected.append(fastnn.kernels.dropout.dropout_forward(ONES, 0.5, seed)[1])
    np.testing.assert_array_equal(masks(layer, 2), expected)


def test_where_the_key_comes_from():
    np.random.seed(3)
    first = nn.Dropout().buffers["key"]
    second = nn.Dropout().buffers["key"]
    np.random.seed(3)
    assert first == nn.Dropout().buffers["key"] != second
    generator = np.random.default_rng(5)
    assert nn.Dropout(seed=generator).buffers["key"] != nn.Dropout(seed=generator).buffers["key"]
    assert first.dtype == np.uint64
    assert first.shape == ()


def test_eval_mode_changes_nothing_and_draws_nothing(backend):
    layer = nn.Dropout(seed=1).eval()
    out, cache = layer.forward(ONES)
    np.testing.assert_array_equal(out, ONES)
    np.testing.assert_array_equal(layer.backward(ONES, cache)[0], ONES)
    assert layer.buffers["draws"] == 0
    layer.train()(ONES)
    assert layer.buffers["draws"] == 1
    np.testing.assert_array_equal(nn.Dropout(0)(ONES), ONES)


def test_restored_buffers_give_the_masks_that_would_have_come(backend):
    layer, other = nn.Dropout(seed=1), nn.Dropout(seed=2)
    masks(layer)
    other.buffers = layer.buffers
    np.testing.assert_array_equal(masks(other), masks(layer))


def test_gradient_of_a_fixed_mask(backend):
    layer = nn.Dropout(0.4, seed=1, fixed=True)
    x, dout = np.random.default_rng(0).standard_normal((2, 3, 4))
    _, cache = layer.forward(x)
    assert rel_error(eval_numerical_gradient_array(layer, x, dout), layer.backward(dout, cache)[0]) < 1e-8


def test_repr_and_faulty_arguments():
    assert repr(nn.Dropout()) == "Dropout(0.5)"
    assert repr(nn.Dropout(0.2, fixed=True)) == "Dropout(0.2, fixed=True)"
    for p in (1, -0.1):
        with pytest.raises(ValueError, match=f"Dropout: p={p} is out of range; expected at least 0 and less than 1"):
            nn.Dropout(p)
    with pytest.raises(TypeError, match="generator: seed='a' is not a seed"):
        nn.Dropout(seed="a")


def test_a_fixed_mask_is_that_of_the_kernel(backend):
    x = np.ones((7, 5), np.float32)
    expected, _ = kernels.dropout.dropout_forward(x, 0.6, 123)
    actual, _ = nn.Dropout(0.4, seed=123, fixed=True).forward(x)
    np.testing.assert_array_equal(actual, expected)


def test_a_key_has_64_bits():
    with pytest.raises(ValueError, match=r"Dropout: seed=18446744073709551616 is out of range"):
        nn.Dropout(seed=2**64, fixed=True)
