"""`updates` on a GPU, plainly: each thread updates one weight and its state, a launch for each parameter.

A thread reads its weight before it writes it, so `out` may be `w`. Numbers come to the kernels in the dtype of the
weights; what depends on them alone, such as the corrections of Adam, is computed once, before the launch.
"""

import math

import numpy as np
from numba import cuda

from ..gpu.launch import device, kernel
from ..gpu.memory import writing
from ..parameters import one_by_one


@one_by_one
@writing("out")
def sgd_update(w, dw, out, learning_rate, weight_decay):
    _sgd(w.size, w.size, *_numbers(w, learning_rate, weight_decay), w, dw, out)


@one_by_one
@writing("velocity", "out")
def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    numbers = _numbers(w, learning_rate, momentum, weight_decay)
    _momentum(w.size, w.size, *numbers, w, dw, velocity, out)


@one_by_one
@writing("velocity", "out")
def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    numbers = _numbers(w, learning_rate, momentum, 1 + momentum, weight_decay)
    _nesterov(w.size, w.size, *numbers, w, dw, velocity, out)


@one_by_one
@writing("cache", "out")
def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    numbers = _numbers(w, learning_rate, decay_rate, 1 - decay_rate, epsilon, weight_decay)
    _root_mean_square(w.size, w.size, *numbers, w, dw, cache, out)


@one_by_one
@writing("cache", "out")
def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    numbers = _numbers(w, learning_rate, 1, 1, epsilon, weight_decay)
    _root_mean_square(w.size, w.size, *numbers, w, dw, cache, out)


@one_by_one
@writing("m", "v", "out")
def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    numbers = _numbers(w, learning_rate, epsilon, weight_decay, 0, *_moments(t, beta1, beta2))
    _adam(w.size, w.size, *numbers, w, dw, m, v, out)


@one_by_one
@writing("m", "v", "out")
def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    numbers = _numbers(w, learning_rate, epsilon, 0, weight_decay, *_moments(t, beta1, beta2))
    _adam(w.size, w.size, *numbers, w, dw, m, v, out)


def _numbers(w, *numbers):
    """The numbers in the dtype of the weights, infinite where they are too large for it."""
    with np.errstate(over="ignore"):
        return [w.dtype.type(number) for number in numbers]


def _moments(t, beta1, beta2):
    """For each moment the factors of the old one and of the new gradient, and the correction."""
    return beta1, 1 - beta1, 1 / (1 - beta1**t), beta2, 1 - beta2, 1 / (1 - beta2**t)


@device
def _with_decay(g, weight, decay):
    """g + decay * weight, and just g for decay = 0, also where the weight is infinite."""
    return g + decay * weight if decay else g


@kernel
def _sgd(count, rate, decay, w, dw, out):
    """out = w - rate * g"""
    i = cuda.grid(1)
    if i < count:
        out[i] = w[i] - rate * _with_decay(dw[i], w[i], decay)


@kernel
def _momentum(count, rate, mu, decay, w, dw, velocity, out):
    """velocity = mu * velocity - rate * g, then out = w + velocity"""
    i = cuda.grid(1)
    if i < count:
        new = mu * velocity[i] - rate * _with_decay(dw[i], w[i], decay)
        velocity[i] = new
        out[i] = w[i] + new


@kernel
def _nesterov(count, rate, mu, ahead, decay, w, dw, velocity, out):
    """new = mu * velocity - rate * g, then out = w - mu * velocity + ahead * new, where ahead = 1 + mu"""
    i = cuda.grid(1)
    if i < count:
        old = velocity[i]
        new = mu * old - rate * _with_decay(dw[i], w[i], decay)
        velocity[i] = new
        out[i] = w[i] - mu * old + ahead * new


@kernel
def _root_mean_square(count, rate, keep, add, epsilon, decay, w, dw, cache, out):
    """cache = keep * cache + add * g**2, then out = w - rate * g / (sqrt(cache) + epsilon); AdaGrad: keep = add = 1"""
    i = cuda.grid(1)
    if i < count:
        g = _with_decay(dw[i], w[i], decay)
        new = keep * cache[i] + add * g * g
        cache[i] = new
        out[i] = w[i] - rate * g / (math.sqrt(new) + epsilon)


@kernel
def _adam(count, rate, epsilon, penalty, decay, keep_m, add_m, scale_m, keep_v, add_v, scale_v, w, dw, m, v, out):
    """m = keep_m * m + add_m * g, v = keep_v * v + add_v * g**2, then out = w - rate * step, where

        step = m * scale_m / (sqrt(v * scale_v) + epsilon) + decay * w

    Adam has a penalty on the weights, which is part of g, AdamW a decay of them.
    """
    i = cuda.grid(1)
    if i < count:
        g = _with_decay(dw[i], w[i], penalty)
        new_m = keep_m * m[i] + add_m * g
        new_v = keep_v * v[i] + add_v * g * g
        m[i] = new_m
        v[i] = new_v
        step = new_m * scale_m / (math.sqrt(new_v * scale_v) + epsilon)
        out[i] = w[i] - rate * _with_decay(step, w[i], decay)
