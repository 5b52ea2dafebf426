"""Tests of strides, padding and windows that exceed memory or 64 bits, and of padding that no window reads."""

import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.fused import (
    conv2d_batchnorm_relu_backward,
    conv2d_batchnorm_relu_forward,
    conv2d_batchnorm_relu_inference,
    conv2d_batchnorm_relu_pool_forward,
    conv2d_relu_backward,
    conv2d_relu_forward,
    conv2d_relu_pool_forward,
)
from fastnn.kernels.pool2d import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    global_avg_pool2d_backward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from fastnn.testing import against_naive

X, W, B = np.ones((2, 1, 3, 3)), np.ones((2, 1, 1, 1)), np.ones(2)
ONE, NORM = np.ones((2, 2, 1, 1)), (np.ones(2), np.ones(2), 1e-5)
CONVOLUTIONS = {
    "conv2d_forward": lambda stride, pad: conv2d_forward(X, W, B, stride, pad),
    "conv2d_backward": lambda stride, pad: conv2d_backward(ONE, X, W, stride, pad),
    "conv2d_relu_forward": lambda stride, pad: conv2d_relu_forward(X, W, B, stride, pad),
    "conv2d_relu_backward": lambda stride, pad: conv2d_relu_backward(ONE, X, W, ONE, stride, pad),
    "conv2d_relu_pool_forward": lambda stride, pad: conv2d_relu_pool_forward(X, W, B, stride, pad, 1, 1),
    "conv2d_batchnorm_relu_forward": lambda stride, pad: conv2d_batchnorm_relu_forward(X, W, B, *NORM, stride, pad),
    "conv2d_batchnorm_relu_backward": lambda stride, pad: conv2d_batchnorm_relu_backward(
        ONE, X, W, ONE, B, B, B, 1e-5, ONE, stride, pad
    ),
    "conv2d_batchnorm_relu_inference": lambda stride, pad: conv2d_batchnorm_relu_inference(
        X, W, B, B, B, B, B, 1e-5, stride, pad
    ),
    "conv2d_batchnorm_relu_pool_forward": lambda stride, pad: conv2d_batchnorm_relu_pool_forward(
        X, W, B, *NORM, stride, pad, 1, 1
    ),
}
INDEX = np.zeros((2, 1, 1, 1), np.uint8)
DOUT = np.ones((2, 1, 1, 1))
POOLINGS = {
    "max_pool2d_forward": lambda size, stride, pad: max_pool2d_forward(X, size, stride, pad),
    "max_pool2d_backward": lambda size, stride, pad: max_pool2d_backward(DOUT, INDEX, X.shape, size, stride, pad),
    "avg_pool2d_forward": lambda size, stride, pad: avg_pool2d_forward(X, size, stride, pad),
    "avg_pool2d_backward": lambda size, stride, pad: avg_pool2d_backward(DOUT, X.shape, size, stride, pad),
    "pooling after a convolution": lambda size, stride, pad: conv2d_relu_pool_forward(X, W, B, 1, pad, size, stride),
}
HUGE = [2**31, 2**40, 2**62, 2**63, 2**64, 2**100]
TOO_LARGE = r"^\w+: \w+=.* asks for an array of \d+ numbers; expected at most \d+, as many as .*; choose a smaller one$"


@pytest.mark.parametrize("huge", [*HUGE, (2**63, 1), (1, 2**40)])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_padding_of_convolutions(backend, name, huge):
    with pytest.raises(ValueError, match=TOO_LARGE):
        CONVOLUTIONS[name](1, huge)


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_strides_past_the_image(backend, name, huge):
    """There is one window, as for any stride larger than the image."""
    for actual, expected in zip(CONVOLUTIONS[name](huge, 0), CONVOLUTIONS[name](3, 0), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("name", POOLINGS)
def test_strides_of_poolings(backend, name, huge):
    for actual, expected in zip(POOLINGS[name](2, huge, 0), POOLINGS[name](2, 3, 0), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("name", POOLINGS)
def test_windows_of_poolings(backend, name, huge):
    """Windows larger than the image, without and with enough padding."""
    with pytest.raises(ValueError, match="the window does not fit"):
        POOLINGS[name](huge, 1, 0)
    with pytest.raises(ValueError, match=TOO_LARGE):
        POOLINGS[name](huge, 1, huge // 2)


@pytest.mark.parametrize("huge", HUGE[1:])
def test_shapes_of_images(backend, huge):
    with pytest.raises(ValueError, match=TOO_LARGE):
        global_avg_pool2d_backward(DOUT[:, :, 0, 0], (2, 1, huge, 1))
    with pytest.raises(ValueError, match=TOO_LARGE):
        max_pool2d_backward(DOUT, INDEX, (2, 1, 1, huge), 1, huge)


def test_padded_images_must_fit_in_memory(backend, monkeypatch):
    """The limit is the memory of this machine."""
    assert arrays.memory() > 2**20
    monkeypatch.setattr(arrays, "memory", lambda: 4 * 2 * 1 * 9 * 9)
    conv2d_forward(X, W, B, 1, 3)
    with pytest.raises(ValueError, match=r"^conv2d_forward: pad=\(4, 3\) asks for an array of 198 numbers; expected"):
        conv2d_forward(X, W, B, 1, (4, 3))


# ---- padding between windows ----


@pytest.mark.parametrize("stride", [(5, 4), (4, 1), (1, 7), 9, (4, 4)])
@pytest.mark.parametrize("pad", [(6, 5), 9, (12, 1), (0, 8)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 4)])
def test_padding_between_windows(backend, kernel, stride, pad):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=shape) for shape in ((3, 2, 6, 7), (4, 2, *kernel), 4))
    out = against_naive(conv2d_forward, x, w, b, stride, pad, terms=w[0].size)
    against_naive(conv2d_relu_forward, x, w, b, stride, pad, terms=w[0].size)
    dout = rng.normal(size=out.shape)
    against_naive(conv2d_backward, dout, x, w, stride, pad, terms=dout.size)
    against_naive(conv2d_backward, dout, x, w, stride, pad, False, terms=dout.size)
    against_naive(conv2d_relu_backward, dout, x, w, out, stride, pad, terms=dout.size)


@pytest.mark.parametrize("backend", ["vectorized", "njit"])
def test_padding_that_no_window_reads_is_not_allocated(backend):
    """The padded image would take 512 MiB."""
    x, w, b = np.full((1, 1, 1, 1), 3.0), np.full((1, 1, 1, 1), 2.0), np.ones(1)
    with fastnn.use_backend(backend):
        conv2d_backward(conv2d_forward(x, w, b, 4, 4), x, w, 4, 4)  # compiled
        tracemalloc.start()
        out = conv2d_forward(x, w, b, 2**12, 2**12)
        dx, dw, db = conv2d_backward(np.ones_like(out), x, w, 2**12, 2**12)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(out, [[[[1, 1, 1], [1, 7, 1], [1, 1, 1]]]])
    assert (dx, dw, db) == (2, 3, 9)
    assert peak < 2**20
