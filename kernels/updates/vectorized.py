"""`updates` as NumPy array expressions; the weights are written last, since `out` may be `w`."""

import numpy as np

from ..dispatch.multi_tensor import one_by_one


def _with_decay(g, w, weight_decay):
    return g + weight_decay * w if weight_decay else g


@one_by_one
def sgd_update(w, dw, out, learning_rate, weight_decay):
    np.subtract(w, learning_rate * _with_decay(dw, w, weight_decay), out=out)


@one_by_one
def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    velocity *= momentum
    velocity -= learning_rate * _with_decay(dw, w, weight_decay)
    np.add(w, velocity, out=out)


@one_by_one
def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    step = -momentum * velocity
    velocity *= momentum
    velocity -= learning_rate * _with_decay(dw, w, weight_decay)
    step += (1 + momentum) * velocity
    np.add(w, step, out=out)


@one_by_one
def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    g = _with_decay(dw, w, weight_decay)
    cache *= decay_rate
    cache += (1 - decay_rate) * g * g
    np.subtract(w, learning_rate * g / (np.sqrt(cache) + epsilon), out=out)


@one_by_one
def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    g = _with_decay(dw, w, weight_decay)
    cache += g * g
    np.subtract(w, learning_rate * g / (np.sqrt(cache) + epsilon), out=out)


@one_by_one
def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    g = _with_decay(dw, w, weight_decay)
    np.subtract(w, learning_rate * _adam_step(g, m, v, t, beta1, beta2, epsilon), out=out)


@one_by_one
def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    step = _adam_step(dw, m, v, t, beta1, beta2, epsilon)
    np.subtract(w, learning_rate * _with_decay(step, w, weight_decay), out=out)


@one_by_one
def lion_update(w, dw, m, out, learning_rate, beta1, beta2, weight_decay):
    sign = np.sign(beta1 * m + (1 - beta1) * dw)
    m *= beta2
    m += (1 - beta2) * dw
    np.subtract(w, learning_rate * _with_decay(sign, w, weight_decay), out=out)


def _adam_step(g, m, v, t, beta1, beta2, epsilon):
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    return (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
