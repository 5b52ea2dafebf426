"""Times of a kernel compared with the loops, NumPy and Numba."""

import contextlib
from collections.abc import Callable

import numpy as np

from fastnn.benchmarking import measure
from fastnn.kernels import backends, use_backend

from .cases import build, laid_out
from .specs import Function
from .strategies import Plan, choices, large

_PEERS, _LOOPS = ("vectorized", "njit"), "naive"
_ROUNDS, _SETTLE = 5, 0.03

_SIZES = {
    **{"N": 16, "C": 8, "F": 16, "H": 16, "W": 16, "S": 256, "D": 512, "M": 128, "K": 10, "rank": 3},
    **{"KH": 3, "KW": 3, "SH": 1, "SW": 1, "PH": 1, "PW": 1, "QH": 2, "QW": 2, "RH": 2, "RW": 2},
}


def times(name: str, kernel: Callable, function: Function, fixed: Plan) -> tuple[dict[str, float], str]:
    """Median seconds of one call of the kernel, the loops and fastnn's backends, and the shapes; all in float32."""
    sizes = {key: size for key, size in _SIZES.items() if key in choices(function)}
    plan = {**large(function, "float32", fixed), **sizes, **fixed, "layout": "C"}
    given = build(function, plan)

    def call(called: Callable) -> Callable:
        arguments = laid_out(function, plan, given)
        return lambda: called(*arguments.values())

    available = [line.name for line in backends() if line.available and line.name in _PEERS]
    calls = {name: call(kernel), **{peer: call(function.public) for peer in available}}

    def around(peer: str) -> contextlib.AbstractContextManager:
        return use_backend(peer) if peer != name else contextlib.nullcontext()

    with np.errstate(all="ignore"):
        timings = measure.alternate(calls, _ROUNDS, _SETTLE, around=around)
        with use_backend(_LOOPS):
            loops = measure.seconds(call(function.public))
    seconds = {name: timings[name].median, _LOOPS: loops, **{peer: timings[peer].median for peer in available}}
    shapes = {key: value.shape for key, value in given.items() if isinstance(value, np.ndarray)}
    return seconds, ", ".join(f"{key} {shape}" for key, shape in shapes.items()) + ", float32"
