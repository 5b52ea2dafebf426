"""`updates` with NumPy: whole arrays at a time, the weights written last since `out` may be `w`."""

import numpy as np


def sgd_update(w, dw, out, learning_rate):
    np.subtract(w, learning_rate * dw, out=out)


def momentum_update(w, dw, velocity, out, learning_rate, momentum):
    velocity *= momentum
    velocity -= learning_rate * dw
    np.add(w, velocity, out=out)


def nesterov_update(w, dw, velocity, out, learning_rate, momentum):
    step = -momentum * velocity
    velocity *= momentum
    velocity -= learning_rate * dw
    step += (1 + momentum) * velocity
    np.add(w, step, out=out)


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon):
    cache *= decay_rate
    cache += (1 - decay_rate) * dw * dw
    np.subtract(w, learning_rate * dw / (np.sqrt(cache) + epsilon), out=out)


def adagrad_update(w, dw, cache, out, learning_rate, epsilon):
    cache += dw * dw
    np.subtract(w, learning_rate * dw / (np.sqrt(cache) + epsilon), out=out)


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon):
    np.subtract(w, learning_rate * _adam_step(dw, m, v, t, beta1, beta2, epsilon), out=out)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    step = _adam_step(dw, m, v, t, beta1, beta2, epsilon)
    step += weight_decay * w
    np.subtract(w, learning_rate * step, out=out)


def _adam_step(dw, m, v, t, beta1, beta2, epsilon):
    m *= beta1
    m += (1 - beta1) * dw
    v *= beta2
    v += (1 - beta2) * dw * dw
    return (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
