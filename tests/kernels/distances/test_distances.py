"""`fastnn.kernels.distances`: every backend against the loops, these against hand-computed numbers and PyTorch."""

import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.distances import check, check_cancellation, check_special_values, draw

from fastnn import use_backend
from fastnn.kernels.distances import nearest_neighbors, squared_distances
from fastnn.testing import assert_same

DTYPES = [np.float32, np.float64]
uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
# uncompiled kernels compute with NumPy scalars, which warn, unlike compiled code
pytestmark = pytest.mark.filterwarnings(*(["ignore:overflow", "ignore:invalid value"] if uncompiled else []))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows and columns on the backend njit, so that small inputs span several."""
    module = pytest.importorskip("fastnn.kernels.distances.njit", reason="the backend njit needs numba")
    monkeypatch.setattr(module, "ROWS", 5)
    monkeypatch.setattr(module, "COLUMNS", 7)


@settings(max_examples=30)
@given(
    N=st.integers(0, 20),
    D=st.integers(0, 40),
    M=st.integers(0, 30),
    seed=st.integers(0, 2**32 - 1),
    whole=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_agrees_with_the_loops(backend, N, D, M, seed, whole, dtype):
    check(*draw(N, D, M, dtype, seed, whole))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(17, 3, 23), (5, 300, 7), (11, 1, 8), (6, 517, 15)])
def test_sizes_around_those_of_blocks_and_tiles(backend, shape, dtype, whole):
    check(*draw(*shape, dtype, whole=whole))


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(backend, dtype):
    x, y = draw(12, 14, 20, dtype)
    check(np.asfortranarray(x)[::-2], y[::3])
    check(x[:, ::-2], np.asfortranarray(y)[::-1, ::2])
    whole = np.arange(12, dtype=np.uint8).reshape(4, 3) * 20
    distances = squared_distances(whole, whole[::-1])
    assert distances.dtype == np.float64
    assert distances[0].tolist() == [243 * 400, 108 * 400, 27 * 400, 0]  # 3 * 9**2, 3 * 6**2, 3 * 3**2
    assert nearest_neighbors(whole, whole[::-1].astype(dtype), 4)[1].tolist() == [2, 1, 3, 0]


def test_numbers_worked_by_hand(backend):
    x, y = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 4.0], [0.0, 1.0], [-1.0, 0.0]])
    assert squared_distances(x, y).tolist() == [[25, 1, 1], [0, 18, 32]]
    assert nearest_neighbors(x, y, 3).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert nearest_neighbors(x, y, 1).tolist() == [[1], [0]]


def test_nothing_in_a_row_and_no_rows(backend):
    assert squared_distances(np.ones((2, 0)), np.ones((3, 0))).tolist() == [[0, 0, 0]] * 2
    assert nearest_neighbors(np.ones((2, 0)), np.ones((3, 0)), 2).tolist() == [[0, 1]] * 2
    assert squared_distances(np.ones((0, 2)), np.ones((3, 2))).shape == (0, 3)
    assert squared_distances(np.ones((2, 2)), np.ones((0, 2))).shape == (2, 0)
    assert nearest_neighbors(np.ones((0, 2)), np.ones((3, 2)), 2).shape == (0, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cancellation(backend, dtype):
    check_cancellation(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_infinity_overflow_and_underflow(backend, dtype):
    check_special_values(dtype)


@pytest.mark.usefixtures("small_blocks")
def test_ties_go_to_the_smaller_index_and_nan_comes_last(backend):
    y = np.array([[1.0], [np.nan], [-1.0], [np.inf], [0.0], [1.0], [-np.inf], [np.nan], [0.0], [2.0]])
    for dtype in DTYPES:
        assert nearest_neighbors([[0.0]], y.astype(dtype), 10).tolist() == [[4, 8, 0, 2, 5, 9, 3, 6, 1, 7]]
        assert nearest_neighbors([[0.0]], y.astype(dtype), 4).tolist() == [[4, 8, 0, 2]]
        assert nearest_neighbors([[np.nan]], y.astype(dtype), 3).tolist() == [[0, 1, 2]]


@pytest.mark.usefixtures("small_blocks")
def test_equal_rows_are_ties_wherever_they_are(backend):
    """The products of equal rows may differ in the last bit, in different tiles; float64 decides."""
    generator = np.random.default_rng(0)
    for dtype in DTYPES:
        y = np.repeat(generator.standard_normal((4, 37)), 8, axis=0)[generator.permutation(32)].astype(dtype)
        x = generator.standard_normal((9, 37)).astype(dtype)
        found = nearest_neighbors(x, y, 32).reshape(9, 4, 8)
        assert (np.diff(found, axis=2) > 0).all()
        assert (y[found] == y[found[:, :, :1]]).all()


def test_float64_decides_what_float32_cannot(backend):
    x, y = np.zeros((1, 3)), np.ones((5, 3))
    y[:, 2] += 1e-12 * np.array([2, 0, 3, 1, 4])
    assert nearest_neighbors(x, y, 5).tolist() == [[1, 3, 0, 2, 4]]
    assert nearest_neighbors(x + 1e9, y + 1e9, 1).tolist() == [[0]]  # equal rows there


@pytest.mark.usefixtures("small_blocks")
def test_results_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    x, y = draw(203, 70, 301, np.float32)
    results = []
    with use_backend("njit"):
        for count in (1, 3):
            with threads.use_num_threads(count):
                results.append((squared_distances(x, y), nearest_neighbors(x, y, 20)))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_nearest_never_holds_all_distances():
    pytest.importorskip("fastnn.kernels.distances.njit", reason="the backend njit needs numba")
    N, M = 3000, 6000
    x, y = draw(N, 2, M, np.float32)
    with use_backend("njit"):
        nearest_neighbors(x, y, 2)
        tracemalloc.start()
        try:
            nearest_neighbors(x, y, 2)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < N * M * 4 / 3


def test_results_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    x, y = draw(20, 30, 40, np.float64, seed=5)
    distances = torch.cdist(torch.tensor(x), torch.tensor(y))
    assert_same(squared_distances(x, y), distances.square().numpy(), terms=300)
    assert nearest_neighbors(x, y, 7).tolist() == distances.topk(7, largest=False).indices.tolist()


ROWS = np.ones((3, 4))
ERRORS = [
    ((ROWS, np.ones((3, 5))), ValueError, r"y.shape = \(3, 5\) has length 5 on axis 1"),
    ((np.ones(3), ROWS), ValueError, r"x.shape = \(3,\) has 1 axes; expected \(N, D\)"),
    ((ROWS, ROWS * 1j), TypeError, "y.dtype = complex128"),
]
WRONG_K = [(0, ValueError), (4, ValueError), (1.5, ValueError), ("a", TypeError), (None, TypeError)]


@pytest.mark.parametrize(("arguments", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, arguments, error, message):
    with pytest.raises(error, match=f"^squared_distances: .*{message}"):
        squared_distances(*arguments)
    with pytest.raises(error, match=f"^nearest_neighbors: .*{message}"):
        nearest_neighbors(*arguments, 1)


@pytest.mark.parametrize(("k", "error"), WRONG_K)
def test_k_is_a_number_of_rows_of_y(backend, k, error):
    with pytest.raises(error, match=f"^nearest_neighbors: k={k!r} .*; expected .*; "):
        nearest_neighbors(ROWS, ROWS, k)
    with pytest.raises(ValueError, match=r"^nearest_neighbors: k=1 is out of range; expected at least 1 and at most 0"):
        nearest_neighbors(ROWS, ROWS[:0], 1)
