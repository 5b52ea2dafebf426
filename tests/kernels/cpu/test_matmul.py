"""Matrix products of the njit backend: all remainders of the tile, all ways to cut the work, any number of threads."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.kernels import affine, fused
from fastnn.kernels.cpu import threads

pytestmark = pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed")

DTYPES = [np.float32, np.float64]


@pytest.fixture(autouse=True)
def on_njit():
    with fastnn.use_backend("njit"):
        yield


def whole(N, D, M, dtype, seed=0):
    """Return x, w, b, dout of small integers, whose sums are exact in any order."""
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(-4, 5, shape).astype(dtype) for shape in ((N, D), (D, M), (M,), (N, M)))


@np.errstate(invalid="ignore")  # NumPy's BLAS may multiply what lies beside small matrices; it uses none of that
def check(x, w, b, dout):
    out = x @ w + b
    np.testing.assert_array_equal(affine.affine_forward(x, w, b), out, strict=True)
    np.testing.assert_array_equal(fused.affine_relu_forward(x, w, b), np.maximum(out, 0), strict=True)
    expected = dout @ w.T, x.T @ dout, dout.sum(axis=0)
    for actual, value in zip(affine.affine_backward(dout, x, w), expected, strict=True):
        np.testing.assert_array_equal(actual, value, strict=True)
    passed = np.where(out > 0, dout, np.zeros_like(dout))
    expected = passed @ w.T, x.T @ passed, passed.sum(axis=0)
    for actual, value in zip(fused.affine_relu_backward(dout, x, w, np.maximum(out, 0)), expected, strict=True):
        np.testing.assert_array_equal(actual, value, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_rows_and_vectors(dtype):
    from fastnn.kernels.cpu.simd import cpu_info

    rows, vectors, lanes = cpu_info.panel_tile(np.dtype(dtype))
    columns = [vector * lanes + more for vector in range(vectors + 1) for more in (-1, 0, 1)][1:]
    for N, M in itertools.product(range(1, 2 * rows + 1), columns):
        if M:
            check(*whole(N, 5, M, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_at_the_edges_of_the_weights(dtype):
    for D, M in itertools.product((1, 7, 8, 15, 16, 17, 31, 33, 63, 65), repeat=2):
        check(*whole(3, D, M, dtype))


SIZES = {
    "rows": (700, 300, 20),
    "columns": (64, 300, 500),
    "chunks": (70, 2600, 33),
    "all": (260, 1100, 400),
    "of the sum of dw": (1100, 300, 70),
    "few rows of many": (3, 5000, 130),
    "dot products": (8, 9000, 130),
    "few columns": (90, 3000, 10),
    "rows that share lines of a cache": (60, 4096, 150),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cut", SIZES)
def test_work_cut_into_tasks(cut, dtype):
    check(*whole(*SIZES[cut], dtype))


def test_these_sizes_reach_every_cut():
    from fastnn.kernels.cpu.simd import matmul, size_model

    grids = [
        matmul._grid(*shape, np.dtype(dtype), size_model.model())
        for dtype in DTYPES
        for N, D, M in SIZES.values()
        for shape in ((N, M, D), (D, M, N), (N, D, M))
    ]
    assert [max(parts) > 1 for parts in zip(*grids, strict=True)] == [True] * 3
    assert min(map(np.prod, grids)) == 1
    assert any(chunks > 1 and rows > 1 for rows, _, chunks in grids)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cut", SIZES)
def test_no_bit_depends_on_the_number_of_threads(cut, dtype):
    N, D, M = SIZES[cut]
    rng = np.random.default_rng(0)
    x, w, b, dout = (rng.normal(size=shape).astype(dtype) for shape in ((N, D), (D, M), (M,), (N, M)))
    results = []
    for count in (1, 2, 4):
        with threads.use_num_threads(count):
            out = fused.affine_relu_forward(x, w, b)
            results.append((out, *fused.affine_relu_backward(dout, x, w, out)))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_many_float32_rows_are_summed_accurately():
    dout = np.full((1 << 16, 1), 0.1, np.float32)
    _, _, db = affine.affine_backward(dout, np.zeros_like(dout), np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(db, [6553.6], rtol=1e-6)


@pytest.mark.parametrize("sizes", [(20, 1500, 9), (5, 3, 9), (5, 0, 9)])
def test_relu_lets_nan_pass(sizes):
    x, w, b, _ = whole(*sizes, np.float64)
    b[4] = np.nan
    out = fused.affine_relu_forward(x, w, b)
    np.testing.assert_array_equal(out, np.maximum(x @ w + b, 0))
    assert np.isnan(out[:, 4]).all()


def test_numpy_reference_with_compilation_disabled():
    code = """
import numpy as np
from test_matmul import check, whole
for dtype in (np.float32, np.float64):
    for sizes in ((3, 5, 10), (9, 33, 50), (17, 40, 100), (2, 300, 7)):
        check(*whole(*sizes, dtype))
"""
    folder, tests = Path(__file__).parent, Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (folder, tests)))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "FASTNN_BACKEND": "njit", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
