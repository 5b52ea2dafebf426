"""The specification of `updates`: one weight after the other, in Python floats."""

import math


def _elements(*arrays):
    """The index and the elements at each position."""
    return enumerate(zip(*(array.reshape(-1).tolist() for array in arrays), strict=True))


def sgd_update(w, dw, out, learning_rate):
    for i, (weight, g) in _elements(w, dw):
        out.flat[i] = weight - learning_rate * g


def momentum_update(w, dw, velocity, out, learning_rate, momentum):
    for i, (weight, g, old) in _elements(w, dw, velocity):
        new = momentum * old - learning_rate * g
        velocity.flat[i] = new
        out.flat[i] = weight + new


def nesterov_update(w, dw, velocity, out, learning_rate, momentum):
    for i, (weight, g, old) in _elements(w, dw, velocity):
        new = momentum * old - learning_rate * g
        velocity.flat[i] = new
        out.flat[i] = weight - momentum * old + (1 + momentum) * new


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon):
    for i, (weight, g, old) in _elements(w, dw, cache):
        new = decay_rate * old + (1 - decay_rate) * g * g
        cache.flat[i] = new
        out.flat[i] = weight - learning_rate * g / (math.sqrt(new) + epsilon)


def adagrad_update(w, dw, cache, out, learning_rate, epsilon):
    for i, (weight, g, old) in _elements(w, dw, cache):
        new = old + g * g
        cache.flat[i] = new
        out.flat[i] = weight - learning_rate * g / (math.sqrt(new) + epsilon)


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon):
    adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay=0.0)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    for i, (weight, g, old_m, old_v) in _elements(w, dw, m, v):
        new_m = beta1 * old_m + (1 - beta1) * g
        new_v = beta2 * old_v + (1 - beta2) * g * g
        m.flat[i], v.flat[i] = new_m, new_v
        m_hat, v_hat = new_m / (1 - beta1**t), new_v / (1 - beta2**t)
        step = m_hat / (math.sqrt(v_hat) + epsilon)
        out.flat[i] = weight - learning_rate * (step + weight_decay * weight)
