"""Reference implementation of `updates`: one weight at a time, in Python floats."""

import math

from ..dispatch.multi_tensor import one_by_one


def _elements(*arrays):
    """Iterate over (index, elements of all arrays at that index)."""
    return enumerate(zip(*(array.reshape(-1).tolist() for array in arrays), strict=True))


def _with_decay(g, weight, weight_decay):
    return g + weight_decay * weight if weight_decay else g


@one_by_one
def sgd_update(w, dw, out, learning_rate, weight_decay):
    for i, (weight, g) in _elements(w, dw):
        out.flat[i] = weight - learning_rate * _with_decay(g, weight, weight_decay)


@one_by_one
def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    for i, (weight, g, old) in _elements(w, dw, velocity):
        new = momentum * old - learning_rate * _with_decay(g, weight, weight_decay)
        velocity.flat[i] = new
        out.flat[i] = weight + new


@one_by_one
def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    for i, (weight, g, old) in _elements(w, dw, velocity):
        new = momentum * old - learning_rate * _with_decay(g, weight, weight_decay)
        velocity.flat[i] = new
        out.flat[i] = weight - momentum * old + (1 + momentum) * new


@one_by_one
def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    for i, (weight, g, old) in _elements(w, dw, cache):
        g = _with_decay(g, weight, weight_decay)
        new = decay_rate * old + (1 - decay_rate) * g * g
        cache.flat[i] = new
        out.flat[i] = weight - learning_rate * g / (math.sqrt(new) + epsilon)


@one_by_one
def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    for i, (weight, g, old) in _elements(w, dw, cache):
        g = _with_decay(g, weight, weight_decay)
        new = old + g * g
        cache.flat[i] = new
        out.flat[i] = weight - learning_rate * g / (math.sqrt(new) + epsilon)


@one_by_one
def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    for i, (weight, g, old_m, old_v) in _elements(w, dw, m, v):
        g = _with_decay(g, weight, weight_decay)
        m.flat[i], v.flat[i], step = _adam_step(g, old_m, old_v, t, beta1, beta2, epsilon)
        out.flat[i] = weight - learning_rate * step


@one_by_one
def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    for i, (weight, g, old_m, old_v) in _elements(w, dw, m, v):
        m.flat[i], v.flat[i], step = _adam_step(g, old_m, old_v, t, beta1, beta2, epsilon)
        out.flat[i] = weight - learning_rate * _with_decay(step, weight, weight_decay)


@one_by_one
def lion_update(w, dw, m, out, learning_rate, beta1, beta2, weight_decay):
    for i, (weight, g, old) in _elements(w, dw, m):
        mean = beta1 * old + (1 - beta1) * g
        sign = 1.0 if mean > 0 else -1.0 if mean < 0 else mean  # the sign of 0 is 0, of NaN is NaN
        m.flat[i] = beta2 * old + (1 - beta2) * g
        out.flat[i] = weight - learning_rate * _with_decay(sign, weight, weight_decay)


def _adam_step(g, old_m, old_v, t, beta1, beta2, epsilon):
    """Return the new moments, and the step without the learning rate."""
    m = beta1 * old_m + (1 - beta1) * g
    v = beta2 * old_v + (1 - beta2) * g * g
    return m, v, m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + epsilon)
