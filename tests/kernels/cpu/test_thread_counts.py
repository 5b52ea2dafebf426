"""Every operation gives the same bits on 1, 2 and 4 threads, on problems that are worth several threads."""

import importlib
import os

import numpy as np
import pytest
from test_rules import contract
from test_warmup import Recorder

import fastnn
from fastnn import kernels, layer_utils, layers, optim
from fastnn.augment import Augment
from fastnn.kernels import l2, linear_losses

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels take minutes")

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape, np.float32)


IMAGES, FILTERS, LARGE = draw(67, 6, 20, 17), draw(10, 6, 3, 3), draw(301, 16, 30)
ROWS, MATRIX, WIDE = draw(521, 300), draw(300, 130), draw(521, 130)
SCORES, LABELS = draw(8009, 10), RNG.integers(10, size=8009)
CONVOLUTION, POOLING = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
OVERLAPPING = {"pool_height": 3, "pool_width": 3, "stride": 2, "pad": 1}
F, M, C, D = draw(3, 10), draw(3, 130), draw(2, 6), draw(2, 300)


LAYERS = [
    ("conv", (IMAGES, FILTERS, F[0], CONVOLUTION)),
    ("conv", (IMAGES, FILTERS, F[0], {"stride": 2, "pad": 0})),
    ("max_pool", (IMAGES, POOLING)),
    ("max_pool", (IMAGES, OVERLAPPING)),
    ("avg_pool", (IMAGES, OVERLAPPING)),
    ("global_avg_pool", (IMAGES,)),
    ("affine", (ROWS, MATRIX, M[0])),
    *((name, (LARGE,)) for name in ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu")),
    ("prelu", (LARGE, draw(16))),
    ("maxout", (LARGE, 4)),
    ("dropout", (LARGE, {"mode": "train", "p": 0.6, "seed": 3})),
    ("layernorm", (ROWS, *D, {})),
    ("spatial_groupnorm", (IMAGES, *C.reshape(2, 1, 6, 1, 1), 3, {})),
    ("affine_relu", (ROWS, MATRIX, M[0])),
    ("affine_ln_relu", (ROWS, MATRIX, *M, {})),
    ("conv_relu", (IMAGES, FILTERS, F[0], CONVOLUTION)),
    ("conv_relu_pool", (IMAGES, FILTERS, F[0], CONVOLUTION, POOLING)),
]
for name, arguments in (
    ("batchnorm", (ROWS, *D)),
    ("spatial_batchnorm", (IMAGES, *C)),
    ("affine_bn_relu", (ROWS, MATRIX, *M)),
    ("conv_bn_relu", (IMAGES, FILTERS, *F, CONVOLUTION)),
):
    LAYERS += [(name, (*arguments, {"mode": mode})) for mode in ("train", "test")]
LAYERS += [
    ("conv_bn_relu_pool", (IMAGES, FILTERS, *F, CONVOLUTION, {"mode": mode}, POOLING)) for mode in ("train", "test")
]
RULES = {name: lambda rule=rule: rule(LARGE, LARGE[::-1])[0] for name, rule in optim.RULES.items()}
OTHERS = {
    "softmax_loss": lambda: layers.softmax_loss(SCORES, LABELS),
    "svm_loss": lambda: layers.svm_loss(SCORES, LABELS),
    "mse_loss": lambda: layers.mse_loss(ROWS, -ROWS),
    "linear_svm_loss": lambda: linear_losses.linear_svm_loss(MATRIX[:, :10], ROWS, LABELS[:521], 0.1),
    "linear_softmax_loss": lambda: linear_losses.linear_softmax_loss(MATRIX[:, :10], ROWS, LABELS[:521], 0.1),
    "weight_penalty": lambda: l2.weight_penalty(LARGE, np.zeros_like(LARGE), 0.1),
    "global_norm": lambda: l2.global_norm(LARGE),
    "augment": lambda: Augment(padding=2, flip=0.5, cutout=5)(IMAGES, 0),
    **RULES,
}


def run_layer(name, arguments):
    """All that a layer returns, forward and backward."""
    arguments = [dict(argument) if isinstance(argument, dict) else argument for argument in arguments]
    out, cache = getattr(layer_utils, f"{name}_forward")(*arguments)
    results = [out, getattr(layer_utils, f"{name}_backward")(out, cache)]
    return [*results, layers.batchnorm_backward_alt(out, cache)] if name == "batchnorm" else results


def bits(result):
    """The bytes of every array and number of a result, however nested."""
    if isinstance(result, (tuple, list)):
        return [part for one in result for part in bits(one)]
    return [np.asarray(result).tobytes()]


def assert_the_same_bits(call, monkeypatch):
    launches = []
    slots = threads._slots
    monkeypatch.setattr(threads, "_slots", lambda count: launches.extend([1] * count) or slots(count))
    with fastnn.use_backend("njit"):
        results = []
        for count in (1, 2, 4, 4):
            with threads.use_num_threads(count):
                results.append(bits(call()))
            assert bool(launches) == (count > 1), "the problem is too small for threads, or one thread is several"
    for result in results[1:]:
        assert result == results[0]


@pytest.mark.parametrize(("name", "arguments"), LAYERS, ids=[name for name, _ in LAYERS])
def test_layers(name, arguments, monkeypatch):
    assert_the_same_bits(lambda: run_layer(name, arguments), monkeypatch)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_layer(name, monkeypatch):
    assert_the_same_bits(OTHERS[name], monkeypatch)


def test_no_operation_is_left_out(monkeypatch):
    used = set()
    for operation in kernels.OPERATIONS:
        front = importlib.import_module(f"fastnn.kernels.{operation}")
        recorder = Recorder(importlib.import_module(f"fastnn.kernels.{operation}.vectorized"), used)
        monkeypatch.setattr(front, "_variant", lambda recorder=recorder: recorder)
    for name, arguments in LAYERS:
        run_layer(name, arguments)
    for call in OTHERS.values():
        call()
    assert {name for operation in kernels.OPERATIONS for name in contract(operation)} == used


def test_bits_tell_what_differs():
    zeros = np.zeros(3)
    assert bits((1.0, [zeros, None])) == bits((1.0, [zeros, None]))
    assert bits((1.0, [zeros])) != bits((1.0, [-zeros]))
    assert bits(np.float64(0.1)) != bits(np.nextafter(0.1, 1))
