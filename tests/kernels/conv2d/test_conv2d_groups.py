"""Tests of convolution with interleaved images, with filters split among tasks, and without copies of the images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.kernels import use_backend
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.kernels.cpu import threads
from fastnn.kernels.cpu.simd import cpu_info, geometry
from fastnn.kernels.dispatch import windows
from fastnn.kernels.fused import (
    conv2d_relu_backward,
    conv2d_relu_forward,
    conv2d_relu_pool_backward,
    conv2d_relu_pool_forward,
)
from fastnn.testing import against_naive

pytest.importorskip("numba")
FLOAT32 = np.dtype(np.float32)


def problem(x_shape, w_shape, stride, pad, dtype, seed=0):
    generator = np.random.default_rng(seed)
    x, w, b = (generator.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    with use_backend("vectorized"):
        out = conv2d_forward(x, w, b, stride, pad)
    return x, w, b, generator.normal(size=out.shape).astype(dtype)


NARROW = [
    # x, w, stride, pad: groups of 2, 4, 8 and 16 images, full and partial, and every way of filling planes
    ((16, 2, 8, 8), (3, 2, 3, 3), 1, 1),
    ((21, 3, 8, 8), (3, 3, 3, 3), 1, 1),
    ((35, 2, 4, 4), (5, 2, 3, 3), 1, 1),
    ((67, 2, 6, 14), (3, 2, 5, 5), 1, 0),
    ((131, 1, 3, 5), (2, 1, 3, 3), 1, 1),
    ((35, 2, 7, 8), (3, 2, 3, 3), 2, 1),
    ((70, 2, 9, 9), (3, 2, 4, 4), 3, 2),
    ((40, 2, 5, 4), (3, 2, 1, 1), 2, 0),
    ((130, 1, 2, 1), (1, 1, 1, 1), 1, 0),
]


@pytest.fixture(autouse=True)
def njit():
    with use_backend("njit"):
        yield


def test_narrow_images_are_interleaved():
    """The geometries of this file give every size of a group, with full and partial groups."""
    chosen = set()
    for x, w, stride, pad in NARROW:
        together = geometry.images_together(
            geometry.Shape(*x[1:], w[0], *w[2:], stride, stride, pad, pad), x[0], FLOAT32
        )
        chosen.add((together, x[0] % together == 0))
    if cpu_info.lanes(FLOAT32) == 16:
        assert {together for together, _ in chosen} >= {2, 4, 8, 16}
    assert len({whole for together, whole in chosen if together > 1}) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry_of", NARROW)
def test_narrow_images(geometry_of, dtype):
    x, w, b, dout = problem(*geometry_of, dtype)
    stride, pad = geometry_of[2:]
    against_naive(conv2d_forward, x, w, b, stride, pad, terms=w[0].size)
    against_naive(conv2d_backward, dout, x, w, stride, pad, terms=dout.size)
    with use_backend("naive"):
        out = conv2d_relu_forward(x, w, b, stride, pad)
    against_naive(conv2d_relu_backward, dout, x, w, out, stride, pad, True, terms=dout.size)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("geometry_of", [line for line in NARROW if line[3] == 1 and line[2] == 1 and line[0][2] > 3])
def test_narrow_images_pooled(geometry_of, size):
    x, w, b, _ = problem(*geometry_of, "float64")
    stride, pad = geometry_of[2:]
    out, index = against_naive(conv2d_relu_pool_forward, x, w, b, stride, pad, size, 2, terms=w[0].size)
    dout = np.random.default_rng(1).normal(size=out.shape)
    arguments = (dout, x, w, index, stride, pad, size, 2, True)
    against_naive(conv2d_relu_pool_backward, *arguments, terms=x.size)


@settings(max_examples=40)
@given(
    images=st.integers(1, 70),
    size=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    filters=st.integers(1, 9),
)
def test_any_narrow_images(images, size, kernel, stride, pad, filters):
    if any(length + 2 * pad < taps for length, taps in zip(size, kernel, strict=True)):
        return
    x, w, b, dout = problem((images, 2, *size), (filters, 2, *kernel), stride, pad, "float32")
    with use_backend("vectorized"):
        wide = [array.astype(np.float64) for array in (x, w, b, dout)]
        expected = (conv2d_forward(*wide[:3], stride, pad), *conv2d_backward(wide[3], *wide[:2], stride, pad))
    actual = (conv2d_forward(x, w, b, stride, pad), *conv2d_backward(dout, x, w, stride, pad))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * max(1.0, np.abs(other).max(initial=0)))


@pytest.mark.parametrize("images", [1, 2, 3])
def test_few_images_are_split_by_filters(images):
    """Results are bitwise equal whether a thread computes all filters of an image or some."""
    x, w, b, dout = problem((images, 12, 16, 16), (37, 12, 3, 3), 1, 1, "float32")
    results = []
    for count in (1, 2, 4):
        with threads.use_num_threads(count):
            results.append((conv2d_forward(x, w, b, 1, 1), *conv2d_backward(dout, x, w, 1, 1)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    against_naive(conv2d_forward, x, w, b, 1, 1, terms=w[0].size)
    against_naive(conv2d_backward, dout, x, w, 1, 1, terms=dout.size)


@pytest.mark.parametrize("filters", range(1, 18))
def test_every_number_of_filters_and_channels(filters):
    """Every shape of a tile, with and without an overlapping last block."""
    for x_shape, w_shape in (
        ((2, 2, 5, 17), (filters, 2, 3, 3)),
        ((2, filters, 4, 16), (2, filters, 3, 3)),
        ((2, 33, 3, 16), (filters, 33, 2, 2)),
    ):
        x, w, b, dout = problem(x_shape, w_shape, 1, 1, "float64", seed=filters)
        against_naive(conv2d_forward, x, w, b, 1, 1, terms=w[0].size)
        against_naive(conv2d_backward, dout, x, w, 1, 1, terms=dout.size)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_are_read_without_a_copy(kernel, dtype):
    """Without padding and stride, with rows of whole vectors, neither x nor dout is copied into planes."""
    size = 2 * cpu_info.lanes(np.dtype(dtype))
    x, w, b, dout = problem((3, 4, 5, size + kernel - 1), (7, 4, kernel, kernel), 1, 0, dtype)
    shape = geometry.shape_of(x, w, windows.checked("f", x.shape, w.shape[2:], 1, 0))
    assert geometry.forward(shape, x.dtype, 1).planes.in_place
    assert geometry.backward(shape, x.dtype, False, 1).gradients.in_place
    assert geometry.backward(shape, x.dtype, True, 1).gradients.in_place == (kernel == 1)
    against_naive(conv2d_forward, x, w, b, 1, 0, terms=w[0].size)
    for need_dx in (False, True):
        against_naive(conv2d_backward, dout, x, w, 1, 0, need_dx, terms=dout.size)
