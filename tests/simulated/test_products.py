"""Products on the simulated GPU: every way of computing them, ragged shapes, sums in parts, TF32."""

import numpy as np
import pytest

from fastnn.kernels.gpu import products
from fastnn.kernels.gpu.memory import on_device
from fastnn.kernels.gpu.products import Matrix, multiply, steps

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


@pytest.mark.parametrize("way", [products.plainly, products.on_tiles])
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


def test_a_wrong_switch(monkeypatch):
    monkeypatch.setenv(products.TF32, "yes")
    with pytest.raises(ValueError, match="FASTNN_TF32: 'yes' is unknown; expected 0 or 1; set one of these"):
        product(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
