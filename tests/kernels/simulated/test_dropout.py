"""`dropout` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.dropout import check_dropped_elements, check_keeping_everything, check_layouts_and_integers

import fastnn
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import dropout
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.dropout import seeds
from fastnn.kernels.gpu.memory import to_device, to_host
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
SEEDS = [0, 231, 2**32, 2**63 + 5, 2**64 - 1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (4,), (3, 5), (7, 1, 11), (2, 3, 4, 5), (131,)])
def test_against_the_loops(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for p, seed in zip((0.5, 0.01, 0.3, 0.99, 2**-32), SEEDS, strict=True):
        out, mask = against_naive(dropout.dropout_forward, x, p, seed)
        assert (out.shape, mask.shape, mask.dtype) == (shape, shape, bool)
        against_naive(dropout.dropout_backward, x, mask, p)


@pytest.mark.parametrize("backend", ["naive", "vectorized", "njit"])
def test_the_masks_are_those_of_the_other_backends(backend):
    x = np.ones(1021, np.float32)
    for seed in SEEDS:
        _, mask = dropout.dropout_forward(x, 0.4, seed)
        with fastnn.use_backend(backend):
            _, expected = dropout.dropout_forward(x, 0.4, seed)
        assert mask.tobytes() == expected.tobytes()
        assert 300 < mask.sum() < 500


@pytest.mark.parametrize("position", range(4))
def test_an_element_is_kept_where_its_word_is_less_than_p(position):
    word = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)[position]  # from Random123's known answers, for zeros
    x = np.ones(position + 1, np.float32)
    assert dropout.dropout_forward(x, (word + 1) / 2**32, 0)[1][position]
    assert not dropout.dropout_forward(x, word / 2**32, 0)[1][position]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(dtype):
    check_layouts_and_integers((8, 9), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_elements_are_0_whatever_they_were(dtype):
    check_dropped_elements(dtype)


def test_keeping_everything_changes_nothing():
    check_keeping_everything(1007)


@pytest.mark.parametrize("key", SEEDS)
@pytest.mark.parametrize("draws", [0, 1, 2**32 - 1, 2**32, 2**64 - 1])
def test_seeds_of_masks_are_those_of_numpy(key, draws):
    there = seeds.of_mask(*(to_device(np.array(word, np.uint64)) for word in (key, draws)))
    assert arrays.is_on_device(there)
    assert to_host(there)[0] == seeds.of_mask(key, draws)
    assert to_host(there)[0] == np.random.SeedSequence((key, draws)).generate_state(1, np.uint64)[0]


def test_a_seed_may_stay_on_the_gpu():
    x = np.random.default_rng(0).standard_normal((3, 5))
    expected, _ = dropout.dropout_forward(x, 0.5, 2**63 + 5)
    out, _ = dropout.dropout_forward(to_device(x), 0.5, to_device(np.array([2**63 + 5], np.uint64)))
    np.testing.assert_array_equal(to_host(out), expected)
    for wrong in (np.zeros(1, np.int64), np.zeros(2, np.uint64)):
        with pytest.raises(TypeError, match=r"seed is a device array of .*; expected one element of uint64"):
            dropout.dropout_forward(x, 0.5, to_device(wrong))


def test_gradients_are_the_numeric_ones():
    x, dout = np.random.default_rng(3).standard_normal((2, 3, 5))
    _, mask = dropout.dropout_forward(x, 0.6, 8)
    expected = eval_numerical_gradient_array(lambda x: dropout.dropout_forward(x, 0.6, 8)[0], x, dout)
    assert rel_error(dropout.dropout_backward(dout, mask, 0.6), expected) < 1e-8
