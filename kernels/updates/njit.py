"""`updates` as one pass over memory on all cores, with all parameters in one launch and in the dtype of the arrays.

The kernels update `out` in place after w is copied to it: with `w` and `out` as two arguments that may be one array,
LLVM would find them overlapping and run its scalar loop.
"""

import numpy as np

from ..cpu import threads
from ..cpu.simd import multi_tensor
from ..cpu.simd.multi_tensor import piece, row_of
from .rules import RULES

U = np.uintp  # with signed indices Numba compiles the wrap-around of negative ones, which prevents vectorization


def _update(rule, kernel, w, out, others, *hyperparameters):
    """Run a rule's kernel on all parameters in place in `out`, with one row of constants for each."""
    numbers = list(map(RULES[rule].constants, *hyperparameters))
    in_place = all(one is other for one, other in zip(w, out, strict=True))
    rows = list(zip(out, *others, *([] if in_place else [w]), strict=True))
    for some, table, count in multi_tensor.launches(rows):
        for one, other in zip(w[some], out[some], strict=True):
            if one is not other:
                np.copyto(other, one)
        with np.errstate(all="ignore"):
            kernel(count, table, np.array(numbers[some], rows[some][0][0].dtype))


@threads.serial
def _with_decay(g, weight, decay):
    """Return g + decay * weight, and exactly g if decay = 0, even for an infinite weight."""
    return g + decay * weight if decay > 0 else g


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _sgd(start, stop, table, numbers):
    zero = numbers.dtype.type(0)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        rate, decay = numbers[row, 0], numbers[row, 1]
        for i in range(U(w.size)):
            w[i] -= rate * _with_decay(dw[i], w[i], decay)


def sgd_update(w, dw, out, learning_rate, weight_decay):
    _update("sgd", _sgd, w, out, (dw,), learning_rate, weight_decay)


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _momentum(start, stop, table, numbers):
    zero = numbers.dtype.type(0)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        velocity = piece(table, row, 2, chunk, zero)
        rate, mu, decay = numbers[row, 0], numbers[row, 1], numbers[row, 2]
        for i in range(U(w.size)):
            new = mu * velocity[i] - rate * _with_decay(dw[i], w[i], decay)
            velocity[i] = new
            w[i] += new


def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update("sgd_momentum", _momentum, w, out, (dw, velocity), learning_rate, momentum, weight_decay)


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _nesterov(start, stop, table, numbers):
    zero = numbers.dtype.type(0)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        velocity = piece(table, row, 2, chunk, zero)
        rate, mu, ahead, decay = numbers[row, 0], numbers[row, 1], numbers[row, 2], numbers[row, 3]
        for i in range(U(w.size)):
            old = velocity[i]
            new = mu * old - rate * _with_decay(dw[i], w[i], decay)
            velocity[i] = new
            w[i] += ahead * new - mu * old


def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update("nesterov", _nesterov, w, out, (dw, velocity), learning_rate, momentum, weight_decay)


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _root_mean_square(start, stop, table, numbers):
    """RMSProp; AdaGrad with keep = add = 1."""
    zero = numbers.dtype.type(0)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        cache = piece(table, row, 2, chunk, zero)
        rate, keep, add, epsilon = numbers[row, 0], numbers[row, 1], numbers[row, 2], numbers[row, 3]
        decay = numbers[row, 4]
        for i in range(U(w.size)):
            g = _with_decay(dw[i], w[i], decay)
            new = keep * cache[i] + add * g * g
            cache[i] = new
            w[i] -= rate * g / (np.sqrt(new) + epsilon)


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    _update("rmsprop", _root_mean_square, w, out, (dw, cache), learning_rate, decay_rate, epsilon, weight_decay)


def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    _update("adagrad", _root_mean_square, w, out, (dw, cache), learning_rate, epsilon, weight_decay)


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _adam(start, stop, table, numbers):
    """Adam, which adds the weight decay to the gradient (penalty), and AdamW, which adds it to the step (decay)."""
    zero = numbers.dtype.type(0)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        m, v = piece(table, row, 2, chunk, zero), piece(table, row, 3, chunk, zero)
        rate, epsilon, penalty, decay = numbers[row, 0], numbers[row, 1], numbers[row, 2], numbers[row, 3]
        keep_m, add_m, scale_m = numbers[row, 4], numbers[row, 5], numbers[row, 6]
        keep_v, add_v, scale_v = numbers[row, 7], numbers[row, 8], numbers[row, 9]
        for i in range(U(w.size)):
            g = _with_decay(dw[i], w[i], penalty)
            new_m = keep_m * m[i] + add_m * g
            new_v = keep_v * v[i] + add_v * g * g
            m[i] = new_m
            v[i] = new_v
            step = new_m * scale_m / (np.sqrt(new_v * scale_v) + epsilon)
            w[i] -= rate * _with_decay(step, w[i], decay)


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    _update("adam", _adam, w, out, (dw, m, v), t, learning_rate, beta1, beta2, epsilon, weight_decay)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    _update("adamw", _adam, w, out, (dw, m, v), t, learning_rate, beta1, beta2, epsilon, weight_decay)


@threads.parallel(multi_tensor.GRAIN, parts=1)
def _lion(start, stop, table, numbers):
    zero, one = numbers.dtype.type(0), numbers.dtype.type(1)
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, zero), piece(table, row, 1, chunk, zero)
        m = piece(table, row, 2, chunk, zero)
        rate, keep_step, add_step = numbers[row, 0], numbers[row, 1], numbers[row, 2]
        keep, add, decay = numbers[row, 3], numbers[row, 4], numbers[row, 5]
        for i in range(U(w.size)):
            mean = keep_step * m[i] + add_step * dw[i]
            sign = one if mean > zero else (-one if mean < zero else mean)  # the sign of 0 is 0, of NaN is NaN
            m[i] = keep * m[i] + add * dw[i]
            w[i] -= rate * _with_decay(sign, w[i], decay)


def lion_update(w, dw, m, out, learning_rate, beta1, beta2, weight_decay):
    _update("lion", _lion, w, out, (dw, m), learning_rate, beta1, beta2, weight_decay)


_KERNELS = {
    "sgd": _sgd,
    "sgd_momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _root_mean_square,
    "adagrad": _root_mean_square,
    "adam": _adam,
    "adamw": _adam,
    "lion": _lion,
}


def _repeated(rule, w, state):
    """Return step(dw, numbers), which updates the same arrays again: w and the state arrays of each parameter.

    All arrays, those of dw too, are separate, C-contiguous and of one dtype. numbers: an array with a row of the rule's
    constants for each parameter.
    """
    table, count = multi_tensor.table_of([(one, one, *arrays) for one, *arrays in zip(w, *state, strict=True)])
    kernel, addresses, address = _KERNELS[rule], memoryview(table[:, 3]), multi_tensor.address

    def step(dw, numbers):
        for row, one in enumerate(dw):
            addresses[row] = address(one if one.ndim == 1 else one.reshape(-1))
        kernel(count, table, numbers)

    return step
