"""Timing of alternatives to the model's sizes of blocks, for `fastnn warmup --tune`.

For each class of shapes (`simd.size_model`) some cases of the benchmarks are timed with the model's sizes and with one
of them changed, in turns. An alternative wins if it is faster by a margin in the median of the rounds, in most of the
rounds, and in no case slower; and then again in new rounds against the model alone. So noise chooses nothing: on a
machine that is busy or has no better sizes, those of the model remain.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dispatch.windows import Geometry
from . import threads
from .simd import convolution, geometry, gradients, matmul, sizes
from .simd.size_model import CLASSES, Sizes, convolution_class, model, product_class

MARGIN = 1.03  # by which an alternative has to be faster
MOST_ROUNDS, LEAST_ROUNDS = 24, 8
FASTER = 0.85  # of the rounds in which it has to be faster: 7 of 8 happen by chance in one of 28 tries
SLOWER = 0.98  # in no case slower than this
TURN = 0.004  # seconds of timed calls in a round, at least one call

# N, D, M of affine layers, and N, C, H, W, F, K, stride, pad of convolutions; two or three in each class
_AFFINE = ((100, 3072, 100), (256, 200, 200), (32, 1024, 256), (50, 8192, 500), (256, 1024, 1024))
_CONVOLUTIONS = (
    (50, 3, 32, 32, 32, 3, 1, 1), (100, 3, 31, 31, 25, 3, 2, 1), (64, 32, 16, 16, 64, 1, 1, 0),
    (25, 3, 32, 32, 32, 7, 1, 3), (64, 16, 16, 16, 32, 3, 1, 1), (64, 32, 8, 8, 64, 3, 1, 1),
)  # fmt: skip


class Case(NamedTuple):
    """A call to time, and the plan that it follows with the sizes in use."""

    name: str
    call: Callable[[], Any]
    plan: Callable[[], bytes]


class Winner(NamedTuple):
    """A size that is faster than the model's: its name, its value, and the model's time over its own."""

    size: str
    value: int
    gain: float


def alternatives(name: str) -> Iterable[tuple[str, int]]:
    """Yield the alternatives for a class: names and values of sizes."""
    usual = model()
    if "convolution" in name:
        yield from (("block", usual.block // 2), ("block", 2 * usual.block))
        if name.endswith("short"):
            yield from (("short_rows", 2), ("short_rows", 8))
        return
    yield from (("depth", usual.depth // 2), ("depth", 2 * usual.depth))
    yield from (("panels", usual.panels // 2), ("panels", 2 * usual.panels))
    yield from (("task", usual.task // 2), ("task", 2 * usual.task), ("task", 4 * usual.task))
    if "dx" not in name:
        yield from (("in_place", 0), ("in_place", 128))


def cases(dtype: np.dtype) -> dict[str, list[Case]]:
    """Return the cases of each class of a dtype."""
    found: dict[str, list[Case]] = {f"{dtype.name} {name}": [] for name in CLASSES}
    for N, D, M in _AFFINE:
        for lengths, turned in (((N, M, D), (False, False)), ((D, M, N), (True, False)), ((N, D, M), (False, True))):
            found[product_class(*lengths, *turned, dtype)].append(_product(lengths, turned, dtype))
    for shape in _CONVOLUTIONS:
        found[convolution_class(shape[1] * shape[5] ** 2, dtype)] += _convolution(*shape, dtype)
    return found


def _product(lengths, turned, dtype):
    rows, columns, count = lengths
    a = np.ones((count, rows) if turned[0] else (rows, count), dtype)
    b = np.ones((columns, count) if turned[1] else (count, columns), dtype)
    bias, out = np.ones(0 if any(turned) else columns, dtype), np.empty((rows, columns), dtype)

    def call():
        matmul._multiply(a, turned[0], b, turned[1], bias, out, False)

    def plan():
        return matmul.plan_of(*lengths, *turned, dtype, threads.get_num_threads()).tobytes()

    return Case("x".join(map(str, lengths)), call, plan)


def _convolution(N, C, H, W, F, K, stride, pad, dtype):
    x, w, b = np.ones((N, C, H, W), dtype), np.ones((F, C, K, K), dtype), np.ones(F, dtype)
    options = Geometry((H, W), (K, K), (stride, stride), (pad, pad))
    shape = geometry.shape_of(x, w, options)
    dout, together = np.ones((N, F, shape.OH, shape.OW), dtype), geometry.images_together(shape, N, dtype)

    def plan():
        there, back = geometry.forward(shape, dtype, together).out, geometry.backward(shape, dtype, True, together).dots
        phases = geometry.input_phases(shape, dtype, together)
        numbers = [there.rows, there.groups, back.rows, back.groups, *(phase.out.rows for phase in phases)]
        return np.array(numbers).tobytes()

    name = f"{N}x{C}x{H}x{W} {F}f{K}x{K}"
    return (
        Case(f"{name} forward", lambda: convolution.forward(x, w, b, options), plan),
        Case(f"{name} backward", lambda: gradients.backward(dout, x, w, options, True), plan),
    )


def tune(
    dtype: np.dtype,
    seconds: float,
    seconds_of: Callable[[Case], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    tell: Callable[[str, Winner | None], Any] = lambda name, winner: None,
) -> dict[str, Winner]:
    """Return the winner of each class of a dtype that has one, by class.

    seconds: how long it takes, about; at most twice as long
    seconds_of: times a case; clock: the time so far
    tell: called with each class and its winner or None
    """
    found, of_classes = {}, cases(dtype)
    for name, of_class in of_classes.items():
        winner = _winner(name, of_class, seconds / len(of_classes), seconds_of or _timed, clock)
        tell(name, winner)
        if winner is not None:
            found[name] = winner
    return found


def _winner(name, of_class, seconds, seconds_of, clock):
    """Return the winner of a class, or None."""
    rivals = {}
    usual = _plans(of_class, sizes.with_overrides({}))
    for size, value in alternatives(name):
        changed = sizes.with_overrides({name: {size: value}})
        if _plans(of_class, changed) != usual:  # else it is the same computation
            rivals[size, value] = changed
    if not rivals:
        return None
    gains = _gains(of_class, rivals, 0.7 * seconds, seconds_of, clock)
    best = max(rivals, key=gains.__getitem__)
    if gains[best] < MARGIN:
        return None
    gain = _gains(of_class, {best: rivals[best]}, 0.3 * seconds, seconds_of, clock)[best]
    return Winner(*best, gain) if gain >= MARGIN else None


def _plans(of_class: Sequence[Case], table: Mapping[str, Sizes]) -> list[bytes]:
    with sizes.use(table):
        return [case.plan() for case in of_class]


def _gains(of_class, rivals, seconds, seconds_of, clock):
    """Return by how much each table of `rivals` is faster than the model; 0 for one that is not reliably faster.

    If a busy machine does not manage the least number of rounds in twice the time, none is.
    """
    tables = {"model": sizes.with_overrides({}), **rivals}
    ratios = {name: [] for name in rivals}  # in each round, those of all cases
    began, rounds = clock(), 0
    while rounds < MOST_ROUNDS and clock() - began < (seconds if rounds >= LEAST_ROUNDS else 2 * seconds):
        taken = {}
        for name in list(tables) if rounds % 2 else reversed(tables):
            with sizes.use(tables[name]):
                taken[name] = [seconds_of(case) for case in of_class]
        for name, of_rival in ratios.items():
            of_rival.append([mine / its for mine, its in zip(taken["model"], taken[name], strict=True)])
        rounds += 1
    return {name: _gain(of_rival) if rounds >= LEAST_ROUNDS else 0.0 for name, of_rival in ratios.items()}


def _gain(ratios):
    """Return the median over the rounds of the geometric mean over the cases; 0 if rounds or cases contradict it."""
    means = [math.prod(of_round) ** (1 / len(of_round)) for of_round in ratios]
    of_cases = [statistics.median(of_case) for of_case in zip(*ratios, strict=True)]
    agree = sum(mean > 1 for mean in means) >= FASTER * len(means) and min(of_cases) >= SLOWER
    return statistics.median(means) if agree else 0.0


def _timed(case):
    """Return the median seconds of a call, after one that is not timed."""
    case.call()
    samples = []
    while sum(samples) < TURN:
        start = time.perf_counter()
        case.call()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)
