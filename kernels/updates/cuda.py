"""`updates` on a GPU, all parameters in one launch: each thread updates a few weights of one parameter and their state.

A thread reads its weight before it writes it, so `out` may be `w`. Hyperparameters are passed in device memory in the
dtype of the weights, one row for each parameter; constants that depend only on them, such as the bias correction of
Adam, are computed once before the launch.
"""

import math

from ..gpu.launch import BLOCK, cuda, device, kernel
from ..gpu.multi_tensor import own_chunk, update
from .rules import RULES


def sgd_update(w, dw, out, learning_rate, weight_decay):
    _update("sgd", _sgd, (w, dw, out), learning_rate, weight_decay)


def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update("sgd_momentum", _momentum, (w, dw, velocity, out), learning_rate, momentum, weight_decay)


def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay):
    _update("nesterov", _nesterov, (w, dw, velocity, out), learning_rate, momentum, weight_decay)


def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay):
    _update("rmsprop", _root_mean_square, (w, dw, cache, out), learning_rate, decay_rate, epsilon, weight_decay)


def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay):
    _update("adagrad", _root_mean_square, (w, dw, cache, out), learning_rate, epsilon, weight_decay)


def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    _update("adam", _adam, (w, dw, m, v, out), t, learning_rate, beta1, beta2, epsilon, weight_decay)


def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    _update("adamw", _adam, (w, dw, m, v, out), t, learning_rate, beta1, beta2, epsilon, weight_decay)


def lion_update(w, dw, m, out, learning_rate, beta1, beta2, weight_decay):
    _update("lion", _lion, (w, dw, m, out), learning_rate, beta1, beta2, weight_decay)


def _update(rule, kernel, arrays, *hyperparameters):
    """Run a rule's kernel on all parameters, with one row of constants for each."""
    update(kernel, arrays, 1 + len(RULES[rule].state), list(map(RULES[rule].constants, *hyperparameters)))


@device
def _with_decay(g, weight, decay):
    """Return g + decay * weight, and exactly g if decay = 0, even for an infinite weight."""
    return g + decay * weight if decay else g


@kernel
def _sgd(memory, chunks, table, numbers):
    """out = w - rate * g"""
    row, begin, end = own_chunk(chunks, table, 3)
    rate, decay = numbers[2 * row], numbers[2 * row + 1]
    w, dw, out = table[4 * row + 1], table[4 * row + 2], table[4 * row + 3]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        memory[out + i] = memory[w + i] - rate * _with_decay(memory[dw + i], memory[w + i], decay)


@kernel
def _momentum(memory, chunks, table, numbers):
    """velocity = mu * velocity - rate * g, then out = w + velocity"""
    row, begin, end = own_chunk(chunks, table, 4)
    rate, mu, decay = numbers[3 * row], numbers[3 * row + 1], numbers[3 * row + 2]
    w, dw, velocity, out = table[5 * row + 1], table[5 * row + 2], table[5 * row + 3], table[5 * row + 4]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        weight = memory[w + i]
        new = mu * memory[velocity + i] - rate * _with_decay(memory[dw + i], weight, decay)
        memory[velocity + i] = new
        memory[out + i] = weight + new


@kernel
def _nesterov(memory, chunks, table, numbers):
    """new = mu * velocity - rate * g, then out = w - mu * velocity + ahead * new, where ahead = 1 + mu"""
    row, begin, end = own_chunk(chunks, table, 4)
    rate, mu, ahead, decay = numbers[4 * row], numbers[4 * row + 1], numbers[4 * row + 2], numbers[4 * row + 3]
    w, dw, velocity, out = table[5 * row + 1], table[5 * row + 2], table[5 * row + 3], table[5 * row + 4]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        weight, old = memory[w + i], memory[velocity + i]
        new = mu * old - rate * _with_decay(memory[dw + i], weight, decay)
        memory[velocity + i] = new
        memory[out + i] = weight - mu * old + ahead * new


@kernel
def _root_mean_square(memory, chunks, table, numbers):
    """cache = keep * cache + add * g**2, then out = w - rate * g / (sqrt(cache) + epsilon); AdaGrad: keep = add = 1"""
    row, begin, end = own_chunk(chunks, table, 4)
    rate, keep, add = numbers[5 * row], numbers[5 * row + 1], numbers[5 * row + 2]
    epsilon, decay = numbers[5 * row + 3], numbers[5 * row + 4]
    w, dw, cache, out = table[5 * row + 1], table[5 * row + 2], table[5 * row + 3], table[5 * row + 4]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        weight = memory[w + i]
        g = _with_decay(memory[dw + i], weight, decay)
        new = keep * memory[cache + i] + add * g * g
        memory[cache + i] = new
        memory[out + i] = weight - rate * g / (math.sqrt(new) + epsilon)


@kernel
def _adam(memory, chunks, table, numbers):
    """m = keep_m * m + add_m * g, v = keep_v * v + add_v * g**2, then out = w - rate * step, where

        step = m * scale_m / (sqrt(v * scale_v) + epsilon) + decay * w

    Adam adds the weight decay to g (penalty), AdamW to the step (decay).
    """
    row, begin, end = own_chunk(chunks, table, 5)
    at, entry = 10 * row, 6 * row
    rate, epsilon, penalty, decay = numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]
    keep_m, add_m, scale_m = numbers[at + 4], numbers[at + 5], numbers[at + 6]
    keep_v, add_v, scale_v = numbers[at + 7], numbers[at + 8], numbers[at + 9]
    w, dw, m, v, out = table[entry + 1], table[entry + 2], table[entry + 3], table[entry + 4], table[entry + 5]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        weight = memory[w + i]
        g = _with_decay(memory[dw + i], weight, penalty)
        new_m = keep_m * memory[m + i] + add_m * g
        new_v = keep_v * memory[v + i] + add_v * g * g
        memory[m + i] = new_m
        memory[v + i] = new_v
        step = new_m * scale_m / (math.sqrt(new_v * scale_v) + epsilon)
        memory[out + i] = weight - rate * _with_decay(step, weight, decay)


@kernel
def _lion(memory, chunks, table, numbers):
    """out = w - rate * (sign(keep_step * m + add_step * g) + decay * w), then m = keep * m + add * g"""
    row, begin, end = own_chunk(chunks, table, 4)
    rate, keep_step, add_step = numbers[6 * row], numbers[6 * row + 1], numbers[6 * row + 2]
    keep, add, decay = numbers[6 * row + 3], numbers[6 * row + 4], numbers[6 * row + 5]
    w, dw, m, out = table[5 * row + 1], table[5 * row + 2], table[5 * row + 3], table[5 * row + 4]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        weight, g, old = memory[w + i], memory[dw + i], memory[m + i]
        mean = keep_step * old + add_step * g
        step = rate if mean > 0 else (-rate if mean < 0 else mean)  # rate * sign; the sign of 0 is 0, of NaN is NaN
        memory[m + i] = keep * old + add * g
        memory[out + i] = weight - _with_decay(step, rate * weight, decay)
