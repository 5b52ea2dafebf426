"""`updates` as one pass over memory on all cores; numbers in the dtype of the arrays, so the loops vectorise.

The kernels know no `out`, they update what is there already: with `w` and `out` as two names of one array LLVM would
find them overlapping and take its scalar loop, 8 times as slow.
"""

import numpy as np

from .. import threads

GRAIN = 1 << 15  # elements that are worth a second thread
U = np.uintp  # a signed index might count from the end, which keeps a loop from vectorising


def _update(kernel, w, out, *others, numbers):
    """Run a kernel on flat arrays, in place in `out`."""
    if out is not w:
        np.copyto(out, w)
    kernel(out.size, *(array.reshape(-1) for array in (out, *others)), *numbers)


@threads.parallel(GRAIN)
def _sgd(start, stop, w, dw, learning_rate):
    rate = w.dtype.type(learning_rate)
    for i in range(U(start), U(stop)):
        w[i] -= rate * dw[i]


def sgd_update(w, dw, out, learning_rate):
    _update(_sgd, w, out, dw, numbers=(learning_rate,))


@threads.parallel(GRAIN)
def _momentum(start, stop, w, dw, velocity, learning_rate, momentum):
    rate, mu = w.dtype.type(learning_rate), w.dtype.type(momentum)
    for i in range(U(start), U(stop)):
        new = mu * velocity[i] - rate * dw[i]
        velocity[i] = new
        w[i] += new


def momentum_update(w, dw, velocity, out, learning_rate, momentum):
    _update(_momentum, w, out, dw, velocity, numbers=(learning_rate, momentum))


@threads.parallel(GRAIN)
def _nesterov(start, stop, w, dw, velocity, learning_rate, momentum):
    rate, mu, ahead = w.dtype.type(learning_rate), w.dtype.type(momentum), w.dtype.type(1 + momentum)
    for i in range(U(start), U(stop)):
        old = velocity[i]
        new = mu * old - rate * dw[i]
        velocity[i] = new
        w[i] += ahead * new - mu * old


def nesterov_update(w, dw, velocity, out, learning_rate, momentum):
    _update(_nesterov, w, out, dw, velocity, numbers=(learning_rate, momentum))


@threads.parallel(GRAIN)
def _root_mean_square(start, stop, w, dw, cache, learning_rate, keep, add, epsilon):
    """RMSProp, and AdaGrad with keep = add = 1."""
    dtype = w.dtype.type
    rate, old_part, new_part, tiny = dtype(learning_rate), dtype(keep), dtype(add), dtype(epsilon)
    for i in range(U(start), U(stop)):
        g = dw[i]
        new = old_part * cache[i] + new_part * g * g
        cache[i] = new
        w[i] -= rate * g / (np.sqrt(new) + tiny)


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon):
    _update(_root_mean_square, w, out, dw, cache, numbers=(learning_rate, decay_rate, 1 - decay_rate, epsilon))


def adagrad_update(w, dw, cache, out, learning_rate, epsilon):
    _update(_root_mean_square, w, out, dw, cache, numbers=(learning_rate, 1.0, 1.0, epsilon))


@threads.parallel(GRAIN)
def _adam(start, stop, w, dw, m, v, learning_rate, beta1, beta2, epsilon, correction1, correction2, weight_decay):
    dtype = w.dtype.type
    keep_m, add_m, keep_v, add_v = dtype(beta1), dtype(1 - beta1), dtype(beta2), dtype(1 - beta2)
    scale_m, scale_v = dtype(1 / correction1), dtype(1 / correction2)
    rate, decay, tiny = dtype(learning_rate), dtype(weight_decay), dtype(epsilon)
    for i in range(U(start), U(stop)):
        g = dw[i]
        new_m = keep_m * m[i] + add_m * g
        new_v = keep_v * v[i] + add_v * g * g
        m[i] = new_m
        v[i] = new_v
        step = new_m * scale_m / (np.sqrt(new_v * scale_v) + tiny)
        w[i] -= rate * (step + decay * w[i])


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon):
    adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, 0.0)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    numbers = (learning_rate, beta1, beta2, epsilon, 1 - beta1**t, 1 - beta2**t, weight_decay)
    _update(_adam, w, out, dw, m, v, numbers=numbers)
