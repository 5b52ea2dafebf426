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


@threads.serial
def _with_decay(g, weight, decay):
    """g + decay * weight, and just g for decay = 0, also where the weight is infinite."""
    return g + decay * weight if decay > 0 else g


@threads.parallel(GRAIN)
def _sgd(start, stop, w, dw, learning_rate, weight_decay):
    rate, decay = w.dtype.type(learning_rate), w.dtype.type(weight_decay)
    for i in range(U(start), U(stop)):
        w[i] -= rate * _with_decay(dw[i], w[i], decay)


def sgd_update(w, dw, out, learning_rate, weight_decay):
    _update(_sgd, w, out, dw, numbers=(learning_rate, weight_decay))


@threads.parallel(GRAIN)
def _momentum(start, stop, w, dw, velocity, learning_rate, momentum, weight_decay):
    rate, mu, decay = w.dtype.type(learning_rate), w.dtype.type(momentum), w.dtype.type(weight_decay)
    for i in range(U(start), U(stop)):
        new = mu * velocity[i] - rate * _with_decay(dw[i], w[i], decay)
        velocity[i] = new
        w[i] += new


def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update(_momentum, w, out, dw, velocity, numbers=(learning_rate, momentum, weight_decay))


@threads.parallel(GRAIN)
def _nesterov(start, stop, w, dw, velocity, learning_rate, momentum, weight_decay):
    rate, mu, ahead = w.dtype.type(learning_rate), w.dtype.type(momentum), w.dtype.type(1 + momentum)
    decay = w.dtype.type(weight_decay)
    for i in range(U(start), U(stop)):
        old = velocity[i]
        new = mu * old - rate * _with_decay(dw[i], w[i], decay)
        velocity[i] = new
        w[i] += ahead * new - mu * old


def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update(_nesterov, w, out, dw, velocity, numbers=(learning_rate, momentum, weight_decay))


@threads.parallel(GRAIN)
def _root_mean_square(start, stop, w, dw, cache, learning_rate, keep, add, epsilon, weight_decay):
    """RMSProp, and AdaGrad with keep = add = 1."""
    dtype = w.dtype.type
    rate, old_part, new_part, tiny = dtype(learning_rate), dtype(keep), dtype(add), dtype(epsilon)
    decay = dtype(weight_decay)
    for i in range(U(start), U(stop)):
        g = _with_decay(dw[i], w[i], decay)
        new = old_part * cache[i] + new_part * g * g
        cache[i] = new
        w[i] -= rate * g / (np.sqrt(new) + tiny)


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    numbers = learning_rate, decay_rate, 1 - decay_rate, epsilon, weight_decay
    _update(_root_mean_square, w, out, dw, cache, numbers=numbers)


def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    _update(_root_mean_square, w, out, dw, cache, numbers=(learning_rate, 1.0, 1.0, epsilon, weight_decay))


@threads.parallel(GRAIN)
def _adam(start, stop, w, dw, m, v, learning_rate, beta1, beta2, epsilon, corrections, penalty, weight_decay):
    """Adam with a penalty on the weights, and AdamW, which decays them apart from the gradient."""
    dtype = w.dtype.type
    keep_m, add_m, keep_v, add_v = dtype(beta1), dtype(1 - beta1), dtype(beta2), dtype(1 - beta2)
    scale_m, scale_v = dtype(1 / corrections[0]), dtype(1 / corrections[1])
    rate, tiny, penalised, decay = dtype(learning_rate), dtype(epsilon), dtype(penalty), dtype(weight_decay)
    for i in range(U(start), U(stop)):
        g = _with_decay(dw[i], w[i], penalised)
        new_m = keep_m * m[i] + add_m * g
        new_v = keep_v * v[i] + add_v * g * g
        m[i] = new_m
        v[i] = new_v
        step = new_m * scale_m / (np.sqrt(new_v * scale_v) + tiny)
        w[i] -= rate * _with_decay(step, w[i], decay)


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    numbers = learning_rate, beta1, beta2, epsilon, (1 - beta1**t, 1 - beta2**t), weight_decay, 0.0
    _update(_adam, w, out, dw, m, v, numbers=numbers)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    numbers = learning_rate, beta1, beta2, epsilon, (1 - beta1**t, 1 - beta2**t), 0.0, weight_decay
    _update(_adam, w, out, dw, m, v, numbers=numbers)
