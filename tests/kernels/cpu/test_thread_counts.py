"""Every operation gives the same bits with 1, 2 and 4 threads, for problems large enough to use them."""

import os

import numpy as np
import pytest

import fastnn
from fastnn.augment import Augment
from fastnn.testing.conformance import strategies
from fastnn.testing.conformance.cases import build, laid_out, outcome
from fastnn.testing.conformance.specs import FUNCTIONS

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels take minutes")

IMAGES = np.random.default_rng(0).standard_normal((67, 6, 20, 17), np.float32)
SIZES = {  # lengths that no number of threads divides
    **{"N": 67, "C": 6, "H": 20, "W": 17, "F": 10, "D": 300, "M": 130, "K": 10},
    **{"S": 930, "rank": 3, "pieces": 4, "groups": 3},
}
ROWS = {"D": 521, "K": 8009}  # so many images where they have features or scores
APART = {"KH": 2, "KW": 2, "SH": 2, "SW": 2, "PH": 0, "PW": 0}  # windows that do not overlap
OTHERS = ("conv2d_forward", "conv2d_backward", "max_pool2d_forward", "max_pool2d_backward", "avg_pool2d_forward")


def call_of(function, changed):
    """A call of a function on arrays that are large enough for several threads."""
    plan = strategies.large(function, "float32", {})
    sizes = {name: size for name, size in SIZES.items() if name in plan}
    if "H" not in plan:
        sizes["N"] = next((count for axis, count in ROWS.items() if axis in plan), sizes["N"])
    plan |= {**sizes, **changed}
    given = build(function, plan)
    return lambda: outcome(function, function.public, laid_out(function, plan, given))


CALLS = {name: (function, {}) for name, function in FUNCTIONS.items()}
CALLS |= {f"{name}, windows apart": (FUNCTIONS[name], APART) for name in OTHERS}


def bits(result):
    """The bytes of every array and number of a result, however nested."""
    if isinstance(result, dict):
        return bits(list(result.values()))
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


@pytest.mark.parametrize("name", CALLS)
def test_kernels(name, monkeypatch):
    assert_the_same_bits(call_of(*CALLS[name]), monkeypatch)


def test_augmentation(monkeypatch):
    assert_the_same_bits(lambda: Augment(padding=2, flip=0.5, cutout=5)(IMAGES, 0), monkeypatch)


def test_bits_tell_what_differs():
    zeros = np.zeros(3)
    assert bits((1.0, [zeros, None])) == bits((1.0, [zeros, None]))
    assert bits((1.0, [zeros])) != bits((1.0, [-zeros]))
    assert bits(np.float64(0.1)) != bits(np.nextafter(0.1, 1))
