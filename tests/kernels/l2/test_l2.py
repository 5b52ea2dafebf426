"""`fastnn.kernels.l2`: weight penalty and gradient norm, of one array and of many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.l2 import (
    check_a_shared_gradient,
    check_against_the_loops,
    check_many_at_once,
    check_numbers_worked_by_hand,
    check_the_gradient,
    draw,
)

import fastnn
from fastnn.kernels import l2

DTYPES = [np.float32, np.float64]
MANY = [(3, 4), (), (0, 2), (4096,), (5000, 2), (1,)]
anything = settings(max_examples=15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", MANY, ids=str)
def test_every_backend_agrees_with_the_loops(backend, dtype, shape):
    check_against_the_loops(shape, dtype)


@anything
@given(
    shapes=st.lists(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40), max_size=5),
    dtypes=st.sampled_from([DTYPES[:1], DTYPES[1:], DTYPES]),
    seed=st.integers(0, 2**32 - 1),
)
def test_many_at_once_equal_one_by_one(backend, shapes, dtypes, seed):
    check_many_at_once(shapes, dtypes, seed)


def test_numbers_worked_by_hand(backend):
    check_numbers_worked_by_hand()


def test_the_gradient_is_that_of_the_penalty(backend):
    check_the_gradient((3, 5))


def test_zero_strength_changes_nothing(backend):
    dw = np.ones(3)
    assert l2.weight_penalty(np.array([np.inf, np.nan, 1]), dw, 0) == 0
    assert dw.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("value", "expected"), [(np.nan, np.nan), (np.inf, np.inf), (-1e200, np.inf)])
def test_nan_and_infinity_propagate_without_warnings(backend, value, expected):
    w, dw = np.array([1.0, value, 2.0]), np.zeros(3)
    np.testing.assert_equal(l2.global_norm(w), expected)
    np.testing.assert_equal(l2.weight_penalty(w, dw, 1e200 if value == -1e200 else 0.5), expected)
    assert (dw[0] > 0) & (dw[2] > 0)
    np.testing.assert_equal(abs(dw[1]), np.inf if value < 0 else value)


def test_a_shared_gradient_gets_every_penalty(backend):
    check_a_shared_gradient(5000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sum_does_not_depend_on_the_threads(dtype):
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    w, results = draw([(100, 1000), (7,), (300, 300)], dtype), []
    for count in (1, 2, 4):
        dw = draw([array.shape for array in w], dtype, seed=1)
        with threads.use_num_threads(count), fastnn.use_backend("njit"):
            results.append((l2.weight_penalty(w, dw, 0.1), l2.global_norm(dw), [a.tobytes() for a in dw]))
    assert results[0] == results[1] == results[2]


def test_any_layout_and_dtype_is_read(backend):
    (w,) = draw([(4, 6)], np.float32)
    expected = l2.global_norm(w)
    for seen in (np.asfortranarray(w), np.repeat(w, 2, axis=1)[:, ::2], w.tolist()):
        assert l2.global_norm(seen) == pytest.approx(expected, rel=1e-13)
    assert l2.global_norm([[3, 0], [0, 4]]) == 5
    actual, expected = np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32)
    assert l2.weight_penalty(np.asfortranarray(w), actual, 0.5) == l2.weight_penalty(w, expected, 0.5)
    np.testing.assert_array_equal(actual, expected)


ERRORS = [
    (lambda w, dw: (w, dw[:1]), ValueError, r"len\(dw\) = 1 does not fit; expected 2, one for each parameter"),
    (lambda w, dw: (w[:1], dw), ValueError, r"len\(dw\) = 2 does not fit; expected 1"),
    (lambda w, dw: (w, [dw[0], dw[1][:2].copy()]), ValueError, r"dw\[1\].shape = \(2,\) does not fit; expected \(3,\)"),
    (lambda w, dw: (w, [dw[0], w[1]]), ValueError, r"w\[1\] and dw\[1\] share memory"),
    (lambda w, dw: (w, [dw[0], dw[1].astype("f4")]), TypeError, r"dw\[1\].dtype = float32 cannot be updated in place"),
    (lambda w, dw: (w[0], dw[0].astype(np.float32)), TypeError, "dw.dtype = float32 cannot be updated in place"),
    (lambda w, dw: (w, [dw[0], [1, 2, 3]]), TypeError, r"dw\[1\]=\[1, 2, 3\] cannot be updated in place"),
    (lambda w, dw: ([w[0], None], dw), TypeError, r"w\[1\].dtype = object"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), ERRORS)
def test_where_one_array_does_not_fit_nothing_is_written(backend, wrong, error, message):
    w, dw = draw([(4,), (3,)]), [np.zeros(4), np.zeros(3)]
    with pytest.raises(error, match=f"^weight_penalty: {message}"):
        l2.weight_penalty(*wrong(w, dw), 0.1)
    assert not any(array.any() for array in dw)


def test_gradients_that_have_no_norm(backend):
    with pytest.raises(TypeError, match=r"^global_norm: dw\[1\].dtype = complex128"):
        l2.global_norm([np.ones(2), np.ones(2, complex)])
