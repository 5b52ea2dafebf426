"""Matrix products on the simulated GPU: every kernel, any shape, sums in parts, TF32."""

import numpy as np
import pytest
from numba import cuda, float32

from fastnn.kernels.gpu import convolution, cost, products, tile_shapes
from fastnn.kernels.gpu.launch import Kernel
from fastnn.kernels.gpu.memory import on_device, to_device, to_host
from fastnn.kernels.gpu.products import Matrix, columns_of, multiply, rows_of, steps
from fastnn.kernels.gpu.tiles import ALONE, LINES, TERMS
from fastnn.kernels.gpu.vector_loads import (
    commit,
    copy4,
    line_of,
    load4,
    load4_from,
    load_from,
    store,
    store4,
    wait_but_one,
)
from fastnn.kernels.gpu.warp import load_matrices

from .launching import launch

COPIED = 12
SHAPES = [(1, 1, 1), (4, 4, 4), (5, 3, 7), (9, 2, 40), (2, 11, 0), (1, 17, 33), (16, 16, 16), (17, 18, 19)]


@pytest.fixture(autouse=True)
def _on_tiles(monkeypatch):
    monkeypatch.setattr(products, "CHOSEN", products.on_tiles)


def matrix(array):
    return Matrix(array, steps(array.shape[0], array.shape[1]), steps(array.shape[1]))


@on_device
def multiplied(a, b, out, bias, bias_of, floor):
    multiply(matrix(a), Matrix(b, steps(b.shape[1]), steps(*b.shape)), matrix(out), bias, bias_of, floor)
    return out


def product(a, b, bias=None, bias_of=(0, 0), floor=-np.inf):
    return multiplied(a, b, np.full((a.shape[0], b.shape[1]), 7, a.dtype), bias, bias_of, floor)


@pytest.mark.parametrize("way", [products.one_by_one, products.on_tiles])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_with_bias_and_floor(monkeypatch, way, dtype, shape):
    monkeypatch.setattr(products, "CHOSEN", way)
    (M, N, K), rng = shape, np.random.default_rng(0)
    a, b, bias = (rng.standard_normal(size).astype(dtype) for size in ((M, K), (K, N), N))
    expected = a.astype(float) @ b + bias
    tolerance = 30 * np.finfo(dtype).eps * (1 + np.abs(a).astype(float) @ np.abs(b))
    assert np.all(np.abs(product(a, b, bias=bias, bias_of=(0, 1)) - expected) <= tolerance)
    assert np.all(np.abs(product(a, b, bias=bias, bias_of=(0, 1), floor=0) - np.maximum(expected, 0)) <= tolerance)
    assert np.all(np.abs(product(a, b) - (expected - bias)) <= tolerance)


WAYS = {"float32": (np.float32, "0"), "float64": (np.float64, "0"), "TF32": (np.float32, "1")}
IN_FOURS = [(4, 4, 4), (8, 20, 4), (66, 68, 20), (68, 4, 52), (17, 67, 16), (20, 9, 12)]  # some sides are, some not


@pytest.mark.parametrize(("dtype", "tf32"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("shape", IN_FOURS, ids=str)
def test_factors_with_aligned_groups_of_four(monkeypatch, dtype, tf32, shape):
    """Along lines or across them, to the last line and term; with integers, so that results are exact."""
    monkeypatch.setenv(products.TF32, tf32)
    (M, N, K), rng = shape, np.random.default_rng(0)
    a, b = (rng.integers(-9, 10, size).astype(dtype) for size in ((M, K), (K, N)))
    expected, across, turned = a @ b, np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    a, b, across, turned = map(to_device, (a, b, across, turned))
    lefts = rows_of(a, M, K), columns_of(across, K, M), matrix(a)
    rights = columns_of(b, K, N), rows_of(turned, N, K), Matrix(b, steps(N), steps(K, N))
    for left, right in zip(lefts, rights, strict=True):
        out = to_device(np.full((M, N), 7, dtype))
        multiply(left, right, matrix(out))
        np.testing.assert_array_equal(to_host(out), expected)


TILES = {tile.name: tile for tile in (*tile_shapes.FLOAT32, *tile_shapes.FLOAT64, *tile_shapes.TF32)}


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
@pytest.mark.parametrize("strips", [1, 2, 100])
def test_every_tile_with_whole_and_cut_sums(monkeypatch, tile, strips):
    """Matrices that it does and does not fill, in all arrangements; with integers, so that results are exact."""
    dtype = np.float64 if tile.name.startswith("float64") else np.float32
    monkeypatch.setattr(products, "plan_of", lambda *_: cost.Plan(tile, strips * tile.depth))
    rng = np.random.default_rng(0)
    for M, N, K in (
        (1, 1, 1),
        (tile.tall, tile.wide, tile.depth),
        (tile.tall + 4, tile.wide + 4, 2 * tile.depth + 4),
        (7, 9, 3),
    ):
        a, b = (rng.integers(-9, 10, size).astype(dtype) for size in ((M, K), (K, N)))
        bias, turned = rng.integers(-9, 10, N).astype(dtype), to_device(np.ascontiguousarray(b.T))
        across = to_device(np.ascontiguousarray(a.T))
        a_there, b_there = to_device(a), to_device(b)
        lefts = rows_of(a_there, M, K), columns_of(across, K, M), matrix(a_there)
        rights = columns_of(b_there, K, N), rows_of(turned, N, K), Matrix(b_there, steps(N), steps(K, N))
        for left, right in zip(lefts, (*rights[1:], rights[0]), strict=True):
            out = to_device(np.full((M, N), 7, dtype))
            multiply(left, right, matrix(out), to_device(bias), (0, 1), 0)
            np.testing.assert_array_equal(to_host(out), np.maximum(a @ b + bias, 0))


@pytest.mark.parametrize("tile", TILES.values(), ids=TILES)
def test_lines_behind_the_last_one_and_terms_behind_the_end_change_nothing(monkeypatch, tile):
    """Infinity and NaN in the memory next to a matrix: 0 times infinity would be NaN."""
    dtype = np.float64 if tile.name.startswith("float64") else np.float32
    monkeypatch.setattr(products, "plan_of", lambda *_: cost.Plan(tile, 100 * tile.depth))
    whole = np.full((6, 7), np.inf, dtype)
    whole[:3, :5] = np.arange(15).reshape(3, 5)
    there, out = to_device(whole), to_device(np.zeros((3, 3), dtype))
    left = Matrix(there, steps(6, 7), steps(7))
    multiply(
        left._replace(outer=steps(3, 7), terms=steps(5)), left._replace(outer=steps(3, 7), terms=steps(5)), matrix(out)
    )
    np.testing.assert_array_equal(to_host(out), whole[:3, :5] @ whole[:3, :5].T)


def test_bits_do_not_depend_on_the_number_of_multiprocessors(monkeypatch):
    """Another tile may be chosen, but the same parts."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 90)).astype(np.float32), rng.standard_normal((90, 70)).astype(np.float32)
    results, plans = [], []
    for count in (1, 4, 132):
        monkeypatch.setattr(products, "multiprocessors", lambda count=count: count)
        results.append(product(a, b))
        plans.append(products.plan_of(20, 70, 90, np.dtype(np.float32)))
    assert len({plan.chunk for plan in plans}) == 1 and len({plan.tile for plan in plans}) > 1
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_which_matrices_have_aligned_groups_of_four():
    x = np.zeros((8, 12), np.float32)
    assert rows_of(x, 8, 12).fours == TERMS and columns_of(x, 8, 12).fours == LINES
    assert rows_of(x, 16, 6).fours == columns_of(x, 16, 6).fours == matrix(x).fours == ALONE


@pytest.mark.parametrize("place", [2, -4, 8])
def test_transfers_of_128_bits_have_to_be_aligned(place):
    memory = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match=f"load4, store4: element {place} of 10 is not aligned to 16 bytes"):
        load4(memory, place)
    with pytest.raises(ValueError, match=f"load4, store4: element {place} of 10 is not aligned to 16 bytes"):
        store4(memory, place, (1, 2, 3, 4))


def test_copies_and_matrices_have_to_be_aligned():
    memory = np.zeros(12, np.float32)
    for place, start, count in ((2, 0, 4), (0, 6, 3), (0, 0, 5)):
        with pytest.raises(ValueError, match=f"copy: from {start} to {place}, {count} of 4 numbers, is not aligned"):
            copy4(memory, place, memory, line_of(memory, 0), start, count)
    with pytest.raises(ValueError, match="load_matrices: element 6 is not aligned to 16 bytes"):
        load_matrices(memory, 6)


def test_numbers_behind_the_address_of_a_line():
    memory = np.arange(12, dtype=np.float32)
    line = line_of(memory, 3)
    assert load_from(memory, line, 4) == 7
    assert load4_from(memory, line, 5) == (8, 9, 10, 11)
    with pytest.raises(ValueError, match="load4, store4: element 7 of 12 is not aligned to 16 bytes"):
        load4_from(memory, line, 4)
    store(memory, 2, 50)
    assert memory[2] == 50
    with pytest.raises(ValueError, match="store: element -1 is not in the array"):
        store(memory, -1, 0)


def _copied_in_time(x, out):
    strip = cuda.shared.array(COPIED, float32)
    for four in range(3):
        copy4(strip, 4 * four, x, line_of(x, 0), 4 * four, 4 - four)
        commit()
    wait_but_one()
    for place in range(12):
        out[place] = strip[place]


def test_an_asynchronous_copy_is_complete_after_the_wait():
    out = np.zeros(12, np.float32)
    launch(Kernel(_copied_in_time, 1), 1, np.arange(1, 13, dtype=np.float32), out)
    np.testing.assert_array_equal(out, [1, 2, 3, 4, 5, 6, 7, 0, *[np.nan] * 4])


@pytest.mark.parametrize("shape", SHAPES)
def test_tensor_cores_round_factors_to_ten_bits(monkeypatch, shape):
    monkeypatch.setenv(products.TF32, "1")
    (M, N, K), rng = shape, np.random.default_rng(0)
    a, b = (rng.standard_normal(size).astype(np.float32) for size in ((M, K), (K, N)))
    error = np.abs(product(a, b) - a.astype(float) @ b)
    assert np.all(error <= 1e-3 * np.abs(a).astype(float) @ np.abs(b) + 1e-30)
    assert K < 4 or error.max() > 1e-6  # float32 would be closer
    whole_a, whole_b = (rng.integers(-9, 10, size).astype(np.float32) for size in ((M, K), (K, N)))
    np.testing.assert_array_equal(product(whole_a, whole_b), whole_a @ whole_b)


@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_nan_and_infinity_pass_tensor_cores_and_floors(monkeypatch):
    a, b = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1]], np.float32), np.ones((2, 1), np.float32)
    for way in ("0", "1"):
        monkeypatch.setenv(products.TF32, way)
        np.testing.assert_array_equal(product(a, b, floor=0), [[np.nan], [np.inf], [0]])


def test_a_wrong_value_of_fastnn_tf32(monkeypatch):
    monkeypatch.setenv(products.TF32, "yes")
    with pytest.raises(ValueError, match="FASTNN_TF32: 'yes' is unknown; expected 0 or 1; set one of these"):
        product(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))


def test_offsets_of_more_than_32_bits():
    """They would wrap silently; nothing as large is allocated here."""
    expected = "expected fewer than 2\\*\\*31, also in padded images; split the batch into 2 parts or more"
    with pytest.raises(
        ValueError, match=f"an array of {2**31 + 2**15 + 1} elements is too large for a GPU; {expected}"
    ):
        products.steps(2**16 + 2, 2**15)
    for table in (
        lambda: convolution._grid(40, 1, 1, 2**26, (1, 1), 1),
        lambda: convolution._taps(33, 1, 1, 2**13, 2**13, (1, 1)),
        lambda: convolution._images(33, 2**10, 2**16),
    ):
        with pytest.raises(ValueError, match=expected):
            table()
    large = np.broadcast_to(np.float32(1), (2**15, 2**16 + 1))
    some = Matrix(large, np.zeros(1, np.int32), np.zeros(1, np.int32))
    for operands in ((some, matrix(np.ones((1, 1))), matrix(np.ones((1, 1)))), (matrix(np.ones((1, 1))), some, some)):
        with pytest.raises(ValueError, match=expected):
            multiply(*operands)
    x = np.broadcast_to(np.float32(1), (2**9, 1, 2**11 - 2, 2**11 - 2))
    with pytest.raises(ValueError, match=expected):
        convolution._spread(x, (1, 1), (1, 1), (2**11, 2**11))
