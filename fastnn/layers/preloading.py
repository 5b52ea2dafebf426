"""Kernels that notebooks need are loaded or compiled in the background: they often time a layer on its first call.

Importing `fastnn.fast_layers`, or in a notebook a module of `fastnn.courses`, starts this if the default backend is
active, but not in processes of `multiprocessing`, nor under pytest. FASTNN_PRELOAD=0 switches it off, FASTNN_PRELOAD=1
on under pytest too.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels import losses, use_backend
from fastnn.kernels.cpu import background
from fastnn.kernels.dispatch import active, switch

from . import activations, affine, convolution

VARIABLE = "FASTNN_PRELOAD"
Calls = list[Callable[[], object]]
_started: set[Callable] = set()


def fast_layers() -> None:
    """Start with what `fastnn.fast_layers` needs."""
    _start(_of_images)


def course() -> None:
    """Start with what a course's notebook needs; outside notebooks do nothing."""
    if "ipykernel" in sys.modules:
        _start(_of_rows)
        _start(_of_images)


def _of_images(dtype: Any) -> Calls:
    x, w, b, dout = (np.ones(shape, dtype) for shape in ((4, 3, 8, 8), (4, 3, 3, 3), (4,), (4, 4, 8, 8)))
    pooled, index = np.ones((4, 3, 4, 4), dtype), np.zeros((4, 3, 4, 4), np.uint8)
    conv_param, pool_param = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    return [
        functools.partial(convolution.conv_forward, x, w, b, conv_param),
        functools.partial(convolution.max_pool_forward, x, pool_param),
        functools.partial(convolution.conv_backward, dout, (x, w, b, conv_param)),
        functools.partial(convolution.max_pool_backward, pooled, (index, x.shape, (2, 2), (2, 2), (0, 0))),
    ]


def _of_rows(dtype: Any) -> Calls:
    x, w, b, dout = (np.ones(shape, dtype) for shape in ((4, 6), (6, 5), (5,), (4, 5)))
    return [
        functools.partial(affine.affine_forward, x, w, b),
        functools.partial(affine.affine_backward, dout, (x, w, b)),
        functools.partial(activations.relu_forward, x),
        functools.partial(activations.relu_backward, x, x),
        functools.partial(losses.softmax_loss, x, np.zeros(4, np.int64)),
    ]


def _start(calls_of: Callable[[Any], Calls]) -> None:
    if calls_of not in _started and _is_wanted():
        _started.add(calls_of)
        calls = [call for dtype in (np.float64, np.float32) for call in calls_of(dtype)]
        background.start(functools.partial(_call, call) for call in calls)


def _call(call: Callable[[], object]) -> None:
    if active.chosen in (None, switch.DEFAULT):  # no other backend was chosen meanwhile
        with use_backend(switch.DEFAULT):
            call()


def _is_wanted() -> bool:
    asked = os.environ.get(VARIABLE)
    if asked == "0" or (asked != "1" and "pytest" in sys.modules):
        return False
    if (active.chosen or os.environ.get(switch.VARIABLE) or switch.DEFAULT) != switch.DEFAULT:
        return False
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False
    processes = sys.modules.get("multiprocessing.process")
    return processes is None or processes.parent_process() is None
