"""`fastnn.kernels.affine`: every backend against the loops, these against hand-computed numbers and identities."""

import numpy as np
import pytest
from conftest import AVAILABLE
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels.affine import affine_backward, affine_forward
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
compared = pytest.mark.parametrize("backend", [name for name in AVAILABLE if name != "naive"], indirect=True)
by_hypothesis = settings(max_examples=50)


def problem(N, D, M, dtype=np.float64, whole=False, seed=0):
    """Return x, w, b, dout of normal numbers, or of small integers, whose sums are exact."""
    rng = np.random.default_rng(seed)
    draw = (lambda shape: rng.integers(-4, 5, shape)) if whole else (lambda shape: rng.normal(size=shape))
    return tuple(draw(shape).astype(dtype) for shape in ((N, D), (D, M), (M,), (N, M)))


def run(x, w, b, dout):
    return (affine_forward(x, w, b), *affine_backward(dout, x, w))


def check(x, w, b, dout):
    """Compare forward and backward on the active backend with the naive loops."""
    N, D, M = *x.shape, w.shape[1]
    out = against_naive(affine_forward, x, w, b, terms=D)
    dx, dw, db = against_naive(affine_backward, dout, x, w, terms=max(N, M))
    for result in (out, dx, dw, db):
        assert result.flags.c_contiguous
        assert result.flags.writeable
    without = affine_backward(dout, x, w, need_dx=False)
    assert without[0] is None
    assert_same(without[1:], (dw, db), terms=N)


# ---- the naive loops against independent results ----


def test_numbers_worked_by_hand(backend):
    x, w, b = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[1.0, 0], [0, -1], [2, 1]]), np.array([10.0, 20])
    np.testing.assert_array_equal(affine_forward(x, w, b), [[1 + 6 + 10, -2 + 3 + 20], [4 + 12 + 10, -5 + 6 + 20]])
    dx, dw, db = affine_backward(np.array([[1.0, 2], [0, -1]]), x, w)
    np.testing.assert_array_equal(dx, [[1, -2, 2 + 2], [0, 1, -1]])
    np.testing.assert_array_equal(dw, [[1, 2 - 4], [2, 4 - 5], [3, 6 - 6]])
    np.testing.assert_array_equal(db, [1, 1])


def test_figures_of_the_course(backend):
    x, w = np.linspace(-0.1, 0.5, 240).reshape(2, 120), np.linspace(-0.2, 0.3, 360).reshape(120, 3)
    out = affine_forward(x, w, np.linspace(-0.3, 0.1, 3))
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    assert rel_error(out, np.array(expected)) < 9.8e-10


def test_gradients_agree_with_numeric_ones(backend):
    x, w, b, dout = problem(4, 7, 5)
    numeric = (
        eval_numerical_gradient_array(lambda x: affine_forward(x, w, b), x.copy(), dout),
        eval_numerical_gradient_array(lambda w: affine_forward(x, w, b), w.copy(), dout),
        eval_numerical_gradient_array(lambda b: affine_forward(x, w, b), b.copy(), dout),
    )
    for actual, expected in zip(affine_backward(dout, x, w), numeric, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-8)


@given(sizes=st.tuples(*[st.integers(1, 20)] * 3), seed=st.integers(0, 999))
@by_hypothesis
def test_backward_is_the_adjoint_of_forward(backend, sizes, seed):
    x, w, b, dout = problem(*sizes, whole=True, seed=seed)
    dx, dw, db = affine_backward(dout, x, w)
    expected = np.vdot(affine_forward(x, w, 0 * b), dout)
    assert np.vdot(x, dx) == expected
    assert np.vdot(w, dw) == expected
    assert np.vdot(b, db) == np.vdot(affine_forward(0 * x, w, b), dout)


def test_forward_is_linear_in_each_argument(backend):
    (x, w, b, _), (x2, w2, b2, _) = (problem(5, 9, 4, whole=True, seed=seed) for seed in (0, 1))
    whole = affine_forward(x, w, b)
    np.testing.assert_array_equal(affine_forward(x + 2 * x2, w, b), whole + 2 * affine_forward(x2, w, 0 * b))
    np.testing.assert_array_equal(affine_forward(x, w + 2 * w2, b), whole + 2 * affine_forward(x, w2, 0 * b))
    np.testing.assert_array_equal(affine_forward(x, w, b + b2), whole + b2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(backend, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b, dout = problem(11, 70, 13, dtype)
    given_to_torch = [torch.tensor(value, requires_grad=True) for value in (x, w, b)]
    expected = torch.addmm(given_to_torch[2], *given_to_torch[:2])
    expected.backward(torch.tensor(dout))
    gradients = [value.grad.numpy() for value in given_to_torch]
    assert_same(run(x, w, b, dout), [expected.detach().numpy(), *gradients], terms=70)


# ---- every backend against the naive loops ----


@compared
@given(
    sizes=st.tuples(st.integers(0, 20), st.integers(0, 40), st.integers(0, 40)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 999),
)
@by_hypothesis
def test_any_size(backend, sizes, dtype, seed):
    check(*problem(*sizes, dtype, seed=seed))


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("N", [0, 1, 2, 3, 4, 5, 17])
def test_every_tail_of_a_tile(backend, N, dtype):
    for D, M in ((0, 3), (3, 0), (1, 1), (1, 63), (63, 1), (2, 64), (3, 65), (257, 5), (7, 31), (5, 129)):
        check(*problem(N, D, M, dtype))
        arguments = problem(N, D, M, dtype, whole=True)
        actual = run(*arguments)
        with fastnn.use_backend("naive"):
            expected = run(*arguments)
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(50, 3072, 100), (129, 300, 131), (1, 1000, 513), (300, 3, 10), (2, 5, 1000)])
def test_larger_sizes_against_vectorized(backend, sizes, dtype):
    arguments = problem(*sizes, dtype)
    actual = run(*arguments)
    with fastnn.use_backend("vectorized"):
        expected = run(*arguments)
    assert_same(actual, expected, terms=max(sizes))


def test_no_features_give_the_bias(backend):
    out = affine_forward(np.ones((2, 0)), np.ones((0, 3)), np.array([1.0, 2, 3]))
    np.testing.assert_array_equal(out, [[1, 2, 3], [1, 2, 3]])


@compared
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", range(4))
def test_nan_and_infinity_propagate_as_in_the_formula(backend, where, dtype, special):
    for sizes in ((5, 7, 9), (3, 40, 70)):
        for place in (0, -1):
            arguments = problem(*sizes, dtype)
            arguments[where].flat[place] = special
            check(*arguments)


LAYOUTS = {
    "transposed": lambda a: a.T.copy().T,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "one column of many": lambda a: np.stack([a, a], axis=-1)[..., 0],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(backend, layout, dtype):
    for sizes in ((4, 9, 6), (1, 9, 6), (4, 1, 6), (4, 9, 1)):
        plain = problem(*sizes, dtype)
        given = [LAYOUTS[layout](value) for value in plain]
        for actual, expected in zip(run(*given), run(*plain), strict=True):
            assert_same(actual, expected, terms=9)
            assert actual.dtype == expected.dtype
        for one, other in zip(given, plain, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [(("i8", "?", "i2"), "f8"), (("u1", "f4", "i8"), "f4"), (("f4", "f8", "f4"), "f8"), (("f4", "f4", "f8"), "f8")],
)
def test_mixed_dtypes(backend, kinds, expected):
    x, w, b, _ = problem(4, 5, 3, np.uint8, whole=True)
    arrays = [(value % 2).astype(kind) for value, kind in zip((x, w, b), kinds, strict=True)]
    out = affine_forward(*arrays)
    assert out.dtype == np.dtype(expected)
    np.testing.assert_array_equal(out, affine_forward(*[array.astype(float) for array in arrays]))


def test_results_share_no_memory_with_the_inputs(backend):
    x, w, b, dout = problem(1, 1, 1)
    results = run(x, w, b, dout)
    for result in results:
        assert not any(np.shares_memory(result, value) for value in (x, w, b, dout))
