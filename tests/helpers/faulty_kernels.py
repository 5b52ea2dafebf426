"""Kernels with one classic fault each, for tests of `check_kernel`, and a correct one."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import fastnn
from fastnn.kernels import activations, affine, conv2d, dropout, losses, normalization, pool2d, updates


def right(function):
    """The function on the vectorized backend; the faults below change its arguments or results."""
    return fastnn.use_backend("vectorized")(function)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def my_conv(x, w, b, stride=1, pad=0):
    return right(conv2d.conv2d_forward)(x, w, b, stride, pad)


# ---- pooling ----


def assigning_max_pool(dout, index, x_shape, size, stride, pad=0):
    (KH, KW), (SH, SW), (PH, PW) = pair(size), pair(stride), pair(pad)
    dx = np.zeros(x_shape, dout.dtype)
    for n, c, oh, ow in np.ndindex(dout.shape):
        winner = int(index[n, c, oh, ow])
        if winner < KH * KW:
            dx[n, c, oh * SH + winner // KW - PH, ow * SW + winner % KW - PW] = dout[n, c, oh, ow]
    return dx


def assigning_avg_pool(dout, x_shape, size, stride, pad=0):
    (N, C, H, W), (KH, KW), (SH, SW), (PH, PW) = x_shape, pair(size), pair(stride), pair(pad)
    dx = np.zeros((N, C, H + 2 * PH, W + 2 * PW), dout.dtype)
    OH, OW = dout.shape[2:]
    for kh in range(KH):
        for kw in range(KW):
            dx[:, :, kh : kh + SH * (OH - 1) + 1 : SH, kw : kw + SW * (OW - 1) + 1 : SW] = dout / (KH * KW)
    return dx[:, :, PH : PH + H, PW : PW + W].copy()


def max_pool_of_the_last_tie(x, size, stride, pad=0):
    out, index = right(pool2d.max_pool2d_forward)(x, size, stride, pad)
    (KH, KW), (SH, SW), (PH, PW) = pair(size), pair(stride), pair(pad)
    for n, c, oh, ow in np.ndindex(out.shape):
        for place in range(KH * KW):
            h, w = oh * SH + place // KW - PH, ow * SW + place % KW - PW
            if 0 <= h < x.shape[2] and 0 <= w < x.shape[3] and x[n, c, h, w] == out[n, c, oh, ow]:
                index[n, c, oh, ow] = place
    return out, index


def max_pool_with_swapped_sides(x, size, stride, pad=0):
    return right(pool2d.max_pool2d_forward)(x, pair(size)[::-1], stride, pair(pad)[::-1])


def max_pool_padded_with_zeros(x, size, stride, pad=0):
    (PH, PW) = pair(pad)
    out, index = right(pool2d.max_pool2d_forward)(x, size, stride, pad)
    return (np.maximum(out, 0) if PH or PW else out), index


def max_pool_that_loses_nan(x, size, stride, pad=0):
    return right(pool2d.max_pool2d_forward)(np.where(np.isnan(x), x.dtype.type(-1e9), x), size, stride, pad)


def max_pool_that_rounds_up(x, size, stride, pad=0):
    """Max pooling whose last window extends beyond the edge."""
    (_, _, H, W), (KH, KW), (SH, SW), (PH, PW) = x.shape, pair(size), pair(stride), pair(pad)
    more = ((0, 0), (0, 0), (0, -(H + 2 * PH - KH) % SH), (0, -(W + 2 * PW - KW) % SW))
    return right(pool2d.max_pool2d_forward)(np.pad(x, more, constant_values=-np.inf), size, stride, pad)


def avg_pool_that_forgets_the_tail(dout, x_shape, size, stride, pad=0):
    (_, _, H, W), (KH, KW), (SH, SW), (PH, PW) = x_shape, pair(size), pair(stride), pair(pad)
    dx = right(pool2d.avg_pool2d_backward)(dout, x_shape, size, stride, pad)
    dx[:, :, H - (H + 2 * PH - KH) % SH + PH :] = 1  # what np.empty leaves
    dx[..., W - (W + 2 * PW - KW) % SW + PW :] = 1
    return dx


# ---- convolution and affine ----


def flipped_conv(x, w, b, stride=1, pad=0):
    return my_conv(x, w[:, :, ::-1, ::-1], b, stride, pad)


def conv_with_flipped_dw(dout, x, w, stride=1, pad=0):
    dx, dw, db = right(conv2d.conv2d_backward)(dout, x, w, stride, pad)
    return dx, dw[:, :, ::-1, ::-1], db


def conv_without_bias(x, w, b, stride=1, pad=0):
    return my_conv(x, w, np.zeros_like(b), stride, pad)


def conv_with_swapped_strides(x, w, b, stride=1, pad=0):
    return my_conv(x, w, b, pair(stride)[::-1], pad)


def conv_with_swapped_dilations(x, w, b, stride=1, pad=0, dilation=1):
    return right(conv2d.conv2d_forward)(x, w, b, stride, pad, pair(dilation)[::-1])


def conv_that_ignores_dilation(x, w, b, stride=1, pad=0, dilation=1):
    return my_conv(x, w, b, stride, pad)


def conv_that_always_returns_dx(dout, x, w, stride=1, pad=0, need_dx=True):
    return right(conv2d.conv2d_backward)(dout, x, w, stride, pad, True)


def affine_in_single_precision(x, w, b):
    return (x.astype(np.float32) @ w.astype(np.float32) + b.astype(np.float32)).astype(x.dtype)


def affine_in_double_precision(x, w, b):
    return x.astype(np.float64) @ w + b


def affine_in_memory_order(x, w, b):
    return right(affine.affine_forward)(x.ravel(order="K").reshape(x.shape), w, b)


_turns = itertools.count()


def racing_affine(x, w, b):
    """Affine layer whose threads read, add and write without a lock, so that sums are lost."""
    out = np.tile(b, (len(x), 1)).astype(x.dtype)
    terms = range(x.shape[1])
    turn = next(_turns)
    have_read = threading.Barrier(max(1, len(terms)))
    may_write = [threading.Event() for _ in range(len(terms) + 1)]
    may_write[0].set()

    def add(d):
        before, place = out.copy(), (d + turn) % len(terms)
        have_read.wait()
        may_write[place].wait()
        with np.errstate(all="ignore"):
            out[...] = before + np.outer(x[:, d], w[d])
        may_write[place + 1].set()

    with ThreadPoolExecutor(max(1, len(terms))) as pool:
        list(pool.map(add, terms))
    return out


_buffer = np.zeros(10**5)
_has_written = threading.Condition()


def affine_in_a_shared_buffer(x, w, b):
    """Affine layer with a global buffer: of two concurrent calls the first returns the result of the second."""
    out = right(affine.affine_forward)(x, w, b)
    with _has_written:
        _buffer[: out.size] = out.ravel()
        _has_written.notify_all()
        if threading.current_thread() is not threading.main_thread():
            _has_written.wait(timeout=0.1)  # for another call
        return _buffer[: out.size].reshape(out.shape).astype(out.dtype)


# ---- element by element, losses, norms, updates ----


def relu_that_overwrites(x):
    return np.maximum(x, 0, out=x)


def relu_that_splits_its_kink(dout, x):
    return dout * (x > 0) + np.where(x == 0, dout / 2, 0).astype(dout.dtype)


def negative_tanh_gradient(dout, out):
    return -right(activations.tanh_backward)(dout, out)


def mse_of_an_empty_batch(x, target):
    N = np.float64(len(x))
    with np.errstate(all="ignore"):
        return float(np.sum((x.astype(np.float64) - target) ** 2) / (2 * N)), ((x - target) / x.dtype.type(N))


def mse_without_the_mean(x, target):
    loss, dx = right(losses.mse_loss)(x, target)
    return loss, dx * x.dtype.type(len(x))


def pool_that_fails_for_empty_batches(x, size, stride, pad=0):
    return right(pool2d.max_pool2d_forward)(x, size, stride, pad) if x.max() < np.inf else 1 / 0


def dropout_without_scaling(x, p, seed):
    _, mask = right(dropout.dropout_forward)(x, p, seed)
    return np.where(mask, x, 0).astype(x.dtype), mask


def batchnorm_of_the_unbiased_variance(x, gamma, beta, epsilon):
    _, mean, var = right(normalization.batchnorm_forward)(x, gamma, beta, epsilon)
    count = x.size // len(var)
    var *= count / max(count - 1, 1)
    return right(normalization.batchnorm_inference)(x, gamma, beta, mean, var, epsilon), mean, var


def adam_without_correction(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay=0.0):
    right(updates.adam_update)(w, dw, m, v, out, 10**7, learning_rate, beta1, beta2, epsilon, weight_decay)


FAULTS = (
    (assigning_max_pool, "max_pool2d_backward", "accumulation", r"contributions to dx replace one another \(=\)"),
    (assigning_avg_pool, "avg_pool2d_backward", "accumulation", r"\(\+=\)"),
    (max_pool_of_the_last_tie, "max_pool2d_forward", "ties", "the first of them has to"),
    (relu_that_splits_its_kink, "relu_backward", "kink", "only elements at 0"),
    (max_pool_with_swapped_sides, "max_pool2d_forward", "sides", "height and width of .* are swapped"),
    (conv_with_swapped_strides, "conv2d_forward", "sides", "height and width of stride are swapped"),
    (conv_with_swapped_dilations, "conv2d_forward", "sides", "height and width of dilation are swapped"),
    (conv_that_ignores_dilation, "conv2d_forward", "dilation", "dilation is ignored, as if it were 1"),
    (max_pool_that_rounds_up, "max_pool2d_forward", "tail", "rounds down"),
    (avg_pool_that_forgets_the_tail, "avg_pool2d_backward", "tail", "rows and columns at the end"),
    (flipped_conv, "conv2d_forward", "flipped", "w is turned by 180 degrees"),
    (conv_with_flipped_dw, "conv2d_backward", "flipped", "the result is turned by 180 degrees"),
    (conv_without_bias, "conv2d_forward", "bias", "the bias b is left out"),
    (conv_that_always_returns_dx, "conv2d_backward", "need_dx", "dx must be None if it is False"),
    (affine_in_single_precision, "affine_forward", "float32", "only the precision of float32"),
    (affine_in_double_precision, "affine_forward", "dtype", "out has the wrong dtype"),
    (affine_in_memory_order, "affine_forward", "layout", "strides of an array are ignored"),
    (relu_that_overwrites, "relu_forward", "overwritten", "the kernel writes into its argument x"),
    (racing_affine, "affine_forward", "race", "threads that add to one element at the same time"),
    (affine_in_a_shared_buffer, "affine_forward", "shared buffer", "let each call make its own"),
    (mse_of_an_empty_batch, "mse_loss", "empty batch", "a batch of no images is not handled"),
    (pool_that_fails_for_empty_batches, "max_pool2d_forward", "empty batch", "a batch of no images is not handled"),
    (mse_without_the_mean, "mse_loss", "factor", "look for a mean, a 1/N"),
    (max_pool_that_loses_nan, "max_pool2d_forward", "nan", "test for it with isnan"),
    (max_pool_padded_with_zeros, "max_pool2d_forward", "border", "minus infinity"),
    (negative_tanh_gradient, "tanh_backward", "sign", "the sign is wrong"),
    (dropout_without_scaling, "dropout_forward", "left out", "p is not divided by"),
    (batchnorm_of_the_unbiased_variance, "batchnorm_forward", "variance", "one less than there are elements"),
    (adam_without_correction, "adam_update", "left out", "t is not used"),
)
