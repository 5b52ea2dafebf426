"""The njit kernels on arrays between guard pages: reading or writing out of bounds crashes the process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import AVAILABLE

pytestmark = [
    pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="pages are protected with Linux's mprotect"),
]


def child(place):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "faulthandler", __file__, place],
        cwd=Path(__file__).parent,
        env={**os.environ, "FASTNN_BACKEND": "njit", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("place", ["end", "start"])
def test_nothing_beyond_the_ends_is_touched_and_nothing_is_left_unwritten(place):
    done = child(place)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]


def test_the_guards_work():
    done = child("beyond the end")
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr


# ---- code of the child process ----


class Guards:
    """A fake numpy for the kernels: new arrays are filled with NaN and lie between guard pages."""

    def __init__(self, at_end):
        import ctypes
        import mmap

        self._ctypes, self._mmap, self._at_end, self._held = ctypes, mmap, at_end, []
        self._protect = ctypes.CDLL(None).mprotect

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=float):
        dtype, page = np.dtype(dtype), self._mmap.PAGESIZE
        size = int(np.prod(shape)) * dtype.itemsize
        inside = max(1, -(-size // page)) * page
        area = self._mmap.mmap(-1, inside + 2 * page)
        self._held.append(area)
        address = self._ctypes.addressof(self._ctypes.c_char.from_buffer(area))
        for guard in (address, address + page + inside):
            if self._protect(self._ctypes.c_void_p(guard), self._ctypes.c_size_t(page), 0):
                raise OSError("mprotect failed")
        memory = np.frombuffer(area, np.uint8, size, page + (inside - size if self._at_end else 0))
        memory[:] = 255
        return memory.view(dtype).reshape(shape)

    def empty_like(self, array):
        return self.empty(array.shape, array.dtype)

    def zeros(self, shape, dtype=float):
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def zeros_like(self, array):
        return self.zeros(array.shape, array.dtype)

    def copy(self, array):
        guarded = self.empty_like(array)
        guarded[...] = array
        return guarded

    def forget(self):
        self._held.clear()


def finite(*results):
    for result in results:
        assert result is None or np.isfinite(result).all()


def convolve(guards, dtype, x_shape, w_shape, stride, pad, dilation=1):
    from fastnn.kernels import conv2d, fused

    rng = np.random.default_rng(0)
    x, w, b = (guards.copy(rng.normal(size=shape).astype(dtype)) for shape in (x_shape, w_shape, w_shape[:1]))
    out = guards.copy(conv2d.conv2d_forward(x, w, b, stride, pad, dilation))
    finite(out, *conv2d.conv2d_backward(out, x, w, stride, pad, dilation=dilation))
    finite(*conv2d.conv2d_backward(out, x, w, stride, pad, False, dilation))
    finite(fused.conv2d_relu_forward(x, w, b, stride, pad, dilation))
    finite(*fused.conv2d_relu_backward(out, x, w, out, stride, pad, True, dilation))
    for pooling in ((2, 2), (3, 2), ((1, 2), (2, 1))):
        if (np.broadcast_to(pooling[0], 2) <= out.shape[2:]).all():
            places = stride, pad, *pooling
            pooled, index = map(guards.copy, fused.conv2d_relu_pool_forward(x, w, b, *places, dilation))
            finite(pooled, *fused.conv2d_relu_pool_backward(pooled, x, w, index, *places, True, dilation))


def pool(guards, dtype, shape):
    from fastnn.kernels import pool2d

    x = guards.copy(np.random.default_rng(0).normal(size=shape).astype(dtype))
    for window in ((2, 2), (3, 2, 1), ((1, 2), (2, 1))):
        if (np.broadcast_to(window[0], 2) <= shape[2:]).all():
            out, index = map(guards.copy, pool2d.max_pool2d_forward(x, *window))
            finite(out, pool2d.max_pool2d_backward(out, index, shape, *window))
            out = guards.copy(pool2d.avg_pool2d_forward(x, *window))
            finite(out, pool2d.avg_pool2d_backward(out, shape, *window))
    out = guards.copy(pool2d.global_avg_pool2d_forward(x))
    finite(out, pool2d.global_avg_pool2d_backward(out, shape))


def multiply(guards, dtype, N, D, M):
    from fastnn.kernels import affine, fused

    rng = np.random.default_rng(0)
    shapes = (N, D), (D, M), (M,), (N, M)
    x, w, b, dout = (guards.copy(rng.normal(size=shape).astype(dtype)) for shape in shapes)
    finite(affine.affine_forward(x, w, b), *affine.affine_backward(dout, x, w))
    out = guards.copy(fused.affine_relu_forward(x, w, b))
    finite(out, *fused.affine_relu_backward(dout, x, w, out))


def change(guards, dtype, shape):
    from fastnn.kernels import augment, dropout

    generator = np.random.default_rng(0)
    x = guards.copy(generator.normal(size=shape).astype(dtype))
    out, mask = map(guards.copy, dropout.dropout_forward(x, 0.5, 1))
    finite(out, dropout.dropout_backward(x, mask, 0.5))
    reach = max(shape) + 1
    for flip in (False, True):
        numbers = generator.integers(-reach, reach + 1, (5, shape[0]))
        top, left, hole_top, hole_left, size = map(guards.copy, numbers)
        flips = guards.copy(np.full(shape[0], flip))
        finite(augment.augment_images(x, top, left, flips, hole_top, hole_left, abs(size)))


def classify(guards, dtype, N, D, K):
    from fastnn.kernels import linear_losses

    rng = np.random.default_rng(0)
    W, X = (guards.copy(rng.normal(size=shape).astype(dtype)) for shape in ((D, K), (N, D)))
    for loss in (linear_losses.linear_svm_loss, linear_losses.linear_softmax_loss):
        finite(*loss(W, X, rng.integers(K, size=N), 0.1))


def normalise(guards, dtype, shape):
    from fastnn.kernels import fused, normalization

    rng = np.random.default_rng(0)
    x, dout = (guards.copy(rng.normal(size=shape).astype(dtype)) for _ in range(2))
    gamma, beta = (guards.copy(rng.normal(size=shape[1]).astype(dtype)) for _ in range(2))
    out, mean, var = map(guards.copy, normalization.batchnorm_forward(x, gamma, beta, 1))
    finite(out, normalization.batchnorm_inference(x, gamma, beta, mean, var, 1))
    finite(*normalization.batchnorm_backward(dout, x, gamma, mean, var, 1))
    finite(*normalization.batchnorm_inference_backward(dout, x, gamma, mean, var, 1))
    out, *statistics = map(guards.copy, normalization.groupnorm_forward(x, gamma, beta, 1, 1))
    finite(out, *normalization.groupnorm_backward(dout, x, gamma, 1, *statistics, 1))
    w, b = guards.zeros((shape[1], shape[1], 1, 1), dtype), guards.zeros(shape[1], dtype)
    statistics = fused.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, 1)
    finite(*fused.conv2d_batchnorm_relu_backward(dout, x, w, *statistics[1:2], gamma, *statistics[2:], 1, x))
    if min(shape[2:]) > 1:
        pooled, index, *statistics = fused.conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, 1, 1, 0, 2, 2)
        pre_norm, mean, var = map(guards.copy, statistics)
        given_back = guards.copy(pooled), x, w, pre_norm, gamma, mean, var, 1, guards.copy(index), 1, 0, 2, 2
        finite(*fused.conv2d_batchnorm_relu_pool_backward(*given_back))


def learn(guards, dtype, shapes):
    from fastnn.kernels import l2, updates
    from fastnn.kernels.updates import rules

    rng = np.random.default_rng(0)
    w, dw, m, v = ([guards.copy(abs(rng.normal(size=shape)).astype(dtype)) for shape in shapes] for _ in range(4))
    l2.weight_penalty(w, dw, 0.1)
    finite(l2.global_norm(dw))
    for rule in rules.RULES.values():
        state = [v if name in rule.not_negative else m for name in rule.state]
        numbers = [1 if name == "t" else rule.defaults[name] for name in rule.hyperparameters]
        getattr(updates, rule.kernel)(w, dw, *state, w, *numbers)
    finite(*w, *m, *v)


def geometries():
    for F, C, rows, stride in ((1, 3, 1, 1), (3, 1, 4, 1), (4, 5, 3, 2), (5, 4, 2, 1), (7, 1, 2, 3)):
        for width in (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65):
            for pad in ((0, 0), (1, 2)):
                yield (3, C, rows + 2, (width - 1) * stride + 3), (F, C, 3, 3), (1, stride), pad
    for width in (1, 3, 8, 16, 17, 33):
        for stride in (1, 2, 3):
            for pad, (down, across) in (((0, 0), (2, 3)), ((1, 2), (3, 2)), ((5, 4), (5, 4))):
                x_shape = 3, 2, 2 * down + 3, (width - 1) * stride + 2 * across + 1
                yield x_shape, (5, 2, 3, 3), (stride, stride), pad, (down, across)


def main(place):
    from fastnn.kernels.augment import njit as augmenting
    from fastnn.kernels.cpu.simd import convolution, gradients, groups, matmul, normalize
    from fastnn.kernels.dropout import njit as dropping
    from fastnn.kernels.linear_losses import njit as linear
    from fastnn.kernels.pool2d import njit as pooling

    guards = Guards(place == "end")
    for guarded in (False, True):  # compile first, with the real numpy
        if guarded:
            for module in (convolution, gradients, groups, matmul, normalize, pooling, augmenting, dropping, linear):
                module.np = guards
        for dtype in (np.float32, np.float64):
            for geometry in list(geometries()) if guarded else list(geometries())[::40]:
                convolve(guards, dtype, *geometry)
                pool(guards, dtype, geometry[0])
                change(guards, dtype, geometry[0])
                guards.forget()
            for size in (1, 15, 17, 4095, 4096, 4097, 8193):
                learn(guards, dtype, [(size,), (0, 3), (size, 2), ()])
                guards.forget()
            for N, C, H, W in (
                (1, 3, 1, 1),
                (2, 1, 5, 3),
                (5, 7, 4, 4),
                (17, 3, 9, 15),
                (3, 2, 27, 23),
                (4, 130, 2, 1),
                (40, 3, 2, 2),
                (3, 5, 6, 8),
                (2, 3, 16, 16),
            ):
                normalise(guards, dtype, (N, C, H, W))
                pool(guards, dtype, (N, C, H, W))
                guards.forget()
            for N in (1, 2, 3, 4, 5, 17):
                for D, M in ((1, 1), (3, 5), (1, 63), (63, 1), (2, 64), (3, 65), (257, 5), (5, 129)):
                    multiply(guards, dtype, N, D, M)
                    classify(guards, dtype, 7 * N, D, M)
                    guards.forget()
            for sizes in ((70, 2600, 33), (33, 70, 2600), (260, 1100, 70)):  # enough work for several tasks
                multiply(guards, dtype, *sizes)
                guards.forget()


if __name__ == "__main__":
    if sys.argv[1] == "beyond the end":
        guarded_array = Guards(at_end=True).empty((3, 5))
        np.lib.stride_tricks.as_strided(guarded_array, (3, 6)).sum()
    main(sys.argv[1])
