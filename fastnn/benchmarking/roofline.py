"""Measured peak rates of this machine."""

import functools
from typing import Any

import numpy as np

from fastnn import backends
from fastnn.kernels.dispatch.switch import DEFAULT

TURNS, SECONDS = 3, 0.3  # of each measurement, interleaved, so that a short load affects none of them


@functools.cache
def measured() -> dict[str, Any] | None:
    """Peak rates on all threads, measured once per process; None if the compiled backend is unavailable.

    "FLOP/s": for float32 and float64, two per multiply-add, in a loop that uses registers only
    "B/s": read and written by a copy of arrays larger than any cache; kernels on cached arrays may exceed it
    """
    if not any(line.available for line in backends() if line.name == DEFAULT):
        return None
    from fastnn.kernels.cpu import roofline

    if not roofline.MEASURABLE:
        return None
    flops, copied = {"float32": 0.0, "float64": 0.0}, 0.0
    for _ in range(TURNS):
        for name, best in flops.items():
            flops[name] = max(best, roofline.multiply_adds(np.dtype(name), SECONDS))
        copied = max(copied, roofline.copy(SECONDS))
    return {"FLOP/s": flops, "B/s": copied}


def of(unit: str, dtype: Any) -> float | None:
    """The peak in the unit of a rate, for arrays of this dtype."""
    peaks = measured()
    if peaks is None:
        return None
    return peaks[unit][np.dtype(dtype).name] if unit == "FLOP/s" else peaks[unit]
