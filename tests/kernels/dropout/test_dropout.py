"""`fastnn.kernels.dropout` and the course's dropout: the published words, statistics, gradients, reproducibility."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.dropout import check_dropped_elements, check_keeping_everything, check_layouts_and_integers

import fastnn
from fastnn import layers
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import dropout
from fastnn.kernels.dropout import naive
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
anything = settings(max_examples=25)

# Random123's known answers for philox4x32-10 (its file tests/kat_vectors): counter, key, words.
ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), ANSWERS)
def test_philox_gives_the_published_words(counter, key, expected):
    assert naive._philox(counter, key) == expected
    njit = pytest.importorskip("fastnn.kernels.dropout.njit", reason="the backend njit needs numba")
    assert njit._philox(*np.array([*counter, *key], np.uint64)) == expected


@pytest.mark.parametrize(("seed", "position"), [(0, 0), (0, 4097), (2**32, 3), (2**63, 5), (2**64 - 1, 1030)])
def test_an_element_is_kept_where_its_word_is_less_than_p(backend, seed, position):
    key = seed % 2**32, seed // 2**32
    word = naive._philox((position // 4, 0, 0, 0), key)[position % 4]
    x = np.ones(position + 1, np.float32)
    assert dropout.dropout_forward(x, (word + 1) / 2**32, seed)[1][position]
    assert not dropout.dropout_forward(x, word / 2**32, seed)[1][position]


@anything
@given(
    shape=array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
    p=st.floats(0.01, 1),
    seed=st.integers(0, 2**64 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_agrees_with_the_loops(backend, shape, p, seed, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    out, mask = against_naive(dropout.dropout_forward, x, p, seed)
    assert (out.shape, mask.shape, mask.dtype) == (shape, shape, bool)
    np.testing.assert_array_equal(out != 0, mask)
    against_naive(dropout.dropout_backward, x, mask, p)


@pytest.mark.parametrize("size", [1023, 1024, 1025, 50_003])
def test_long_arrays_are_cut_into_pieces_that_fit(backend, size):
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    out, mask = against_naive(dropout.dropout_forward, x, 0.3, 11)
    against_naive(dropout.dropout_backward, out, mask, 0.3)


def test_the_number_of_threads_changes_nothing():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    x = np.random.default_rng(0).standard_normal(200_001)
    with fastnn.use_backend("njit"):
        results = []
        for count in (1, 3):
            with threads.use_num_threads(count):
                out, mask = dropout.dropout_forward(x, 0.7, 5)
                results.append((out.tobytes(), mask.tobytes(), dropout.dropout_backward(x, mask, 0.7).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(backend, dtype):
    check_layouts_and_integers((12, 14), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_elements_are_0_whatever_they_were(backend, dtype):
    check_dropped_elements(dtype)


def test_numbers_worked_by_hand(backend):
    # the words of block 0 under the key 0, over 2**32: 0.399, 0.880, 0.736, 0.605
    out, mask = dropout.dropout_forward([1.0, 2.0, 3.0, 4.0], 0.75, 0)
    assert mask.tolist() == [True, False, True, True]
    np.testing.assert_allclose(out, [4 / 3, 0, 4, 16 / 3], rtol=1e-15)
    np.testing.assert_allclose(dropout.dropout_backward([3.0, 3.0, 6.0, -3.0], mask, 0.75), [4, 0, 8, -4], rtol=1e-15)


def test_keeping_everything_changes_nothing(backend):
    check_keeping_everything(10_007)


@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("seed", [0, 231, 2**40 + 1])
def test_the_fraction_kept_is_p(p, seed):
    count = 200_000
    with fastnn.use_backend("vectorized"):
        _, mask = dropout.dropout_forward(np.ones(count, np.float32), p, seed)
    sigma = math.sqrt(p * (1 - p) / count)
    assert abs(mask.mean() - p) < 5 * sigma
    for lag in (1, 2, 4, 1024):  # adjacent elements are independent, also across blocks
        assert abs((mask[lag:] & mask[:-lag]).mean() - p * p) < 5 * 2 * math.sqrt(p * p * (1 - p * p) / count)
    for word in range(4):
        assert abs(mask[word::4].mean() - p) < 5 * 2 * sigma


ERRORS = [
    ({"p": 0}, ValueError, "p=0.0 keeps no element; expected the probability to keep"),
    ({"p": 1e-10}, ValueError, "p=1e-10 keeps no element"),
    ({"p": 1.01}, ValueError, "p=1.01 is out of range; expected at least 0 and at most 1"),
    ({"p": -0.5}, ValueError, "p=-0.5 is out of range"),
    ({"p": "0.5"}, TypeError, "p='0.5' is not a number"),
    ({"seed": -1}, ValueError, "seed=-1 is out of range; expected at least 0 and at most 18446744073709551615"),
    ({"seed": 2**64}, ValueError, "seed=18446744073709551616 is out of range"),
    ({"seed": 0.5}, ValueError, "seed=0.5 is not an integer"),
    ({"x": np.ones(3, complex)}, TypeError, "x.dtype = complex128"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, wrong, error, message):
    with pytest.raises(error, match=f"^dropout_forward: {message}"):
        dropout.dropout_forward(**{"x": np.ones(3), "p": 0.5, "seed": 0} | wrong)


def test_errors_of_the_gradient(backend):
    with pytest.raises(TypeError, match=r"^dropout_backward: mask.dtype = int64 is not a mask; expected bool"):
        dropout.dropout_backward(np.ones(3), np.ones(3, np.int64), 0.5)
    with pytest.raises(ValueError, match=r"^dropout_backward: mask.shape = \(1,\) does not fit; expected \(3,\)"):
        dropout.dropout_backward(np.ones(3), np.ones(1, bool), 0.5)
    with pytest.raises(ValueError, match=r"^dropout_backward: p=0.0 keeps no element"):
        dropout.dropout_backward(np.ones(3), np.ones(3, bool), 0.0)


# ---- the layer of the course ----


def test_the_figures_of_the_notebook(backend):
    np.random.seed(231)
    x = np.random.randn(500, 500) + 10
    for p, mean, dropped in ((0.25, 10.014059116977283, 0.749784), (0.4, 9.977917658761159, 0.600796)):
        out, _ = layers.dropout_forward(x, {"mode": "train", "p": p})
        assert out.mean() == pytest.approx(mean, rel=1e-13)
        assert (out == 0).mean() == dropped
        out_test, _ = layers.dropout_forward(x, {"mode": "test", "p": p})
        np.testing.assert_array_equal(out_test, x)


@pytest.mark.parametrize("shape", [(), (0, 3), (4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_mask_is_drawn_from_numpys_global_state(backend, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    np.random.seed(3)
    out, cache = layers.dropout_forward(x, {"mode": "train", "p": 0.6})
    np.random.seed(3)
    kept = np.random.rand(*shape) < 0.6
    assert out.shape == shape
    assert out.dtype == dtype
    np.testing.assert_allclose(out, np.where(kept, x / 0.6, 0), rtol=1e-6 if dtype == np.float32 else 1e-15)
    np.testing.assert_allclose(layers.dropout_backward(x, cache), out)


@pytest.mark.parametrize("mode", ["train", "test"])
def test_a_seed_sets_numpys_global_state(backend, mode):
    """As in the course: draws that follow depend on it."""
    np.random.seed(1)
    layers.dropout_forward(np.ones((2, 3)), {"mode": mode, "p": 0.5, "seed": 123})
    following = np.random.rand()
    np.random.seed(123)
    if mode == "train":
        np.random.rand(2, 3)
    assert np.random.rand() == following


def test_gradient_of_the_layer(backend):
    np.random.seed(231)
    x, dout = np.random.randn(10, 10) + 10, np.random.randn(10, 10)
    dropout_param = {"mode": "train", "p": 0.2, "seed": 123}
    _, cache = layers.dropout_forward(x, dropout_param)
    expected = eval_numerical_gradient_array(lambda x: layers.dropout_forward(x, dropout_param)[0], x, dout)
    assert rel_error(layers.dropout_backward(dout, cache), expected) < 1e-9
    assert dropout_param == {"mode": "train", "p": 0.2, "seed": 123}


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_test_mode_nothing_changes_and_nothing_is_shared(backend, dtype):
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(dtype)
    out, cache = layers.dropout_forward(x, {"mode": "test", "p": 0.3})
    dx = layers.dropout_backward(x, cache)
    for result in (out, dx):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, x)
        assert not np.shares_memory(result, x)


def test_masks_come_from_the_seed_or_from_the_global_state(backend):
    x = np.ones((6, 50))

    def zeros(**param):
        return (layers.dropout_forward(x, {"mode": "train", "p": 0.5, **param})[0] == 0).tobytes()

    assert zeros(seed=4) == zeros(seed=4) != zeros(seed=5)
    np.random.seed(1)
    first, second = zeros(), zeros(seed=None)
    assert first != second
    np.random.seed(1)
    assert (zeros(), zeros()) == (first, second)


def test_a_cache_is_read_on_any_backend(backend):
    x = np.random.default_rng(0).standard_normal((7, 9))
    with fastnn.use_backend("naive"):
        expected, naive_cache = layers.dropout_forward(x, {"mode": "train", "p": 0.6, "seed": 8})
    out, cache = layers.dropout_forward(x, {"mode": "train", "p": 0.6, "seed": 8})
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    np.testing.assert_array_equal(layers.dropout_backward(x, cache), layers.dropout_backward(x, naive_cache))


@pytest.mark.parametrize(
    ("dropout_param", "error", "message"),
    [
        ({"mode": "train"}, ValueError, "dropout_param lacks the key 'p'"),
        ({"p": 0.5}, ValueError, "dropout_param lacks the key 'mode'"),
        ({"p": 0.5, "mode": "tset"}, ValueError, "mode='tset' is unknown.*did you mean 'test'"),
        (
            {"p": 0.5, "mode": "train", "sede": 1},
            ValueError,
            r"dropout_param\['sede'\] is unknown.*did you mean 'seed'",
        ),
        ({"p": 0, "mode": "test"}, ValueError, "p=0.0 keeps no element"),
        ({"p": 0.5, "mode": "train", "seed": -1}, ValueError, "seed=-1 is out of range"),
        ({"p": 0.5, "mode": "train", "seed": 2**32}, ValueError, "seed=4294967296 is out of range"),
        (0.5, TypeError, "dropout_param=0.5 is not a dict"),
    ],
)
def test_faulty_dropout_param(backend, dropout_param, error, message):
    with pytest.raises(error, match=f"^dropout_forward: {message}"):
        layers.dropout_forward(np.ones(3), dropout_param)
