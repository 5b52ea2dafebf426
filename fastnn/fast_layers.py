"""The course's names for fast convolution and pooling: the active backend, and the default one where that is the loops.

Arguments, results and errors are those of the functions of the same name without `_fast` in `fastnn.layers`; caches
may be exchanged with them.
"""

import functools
from collections.abc import Callable

from fastnn.kernels import get_backend, use_backend
from fastnn.kernels.switch import DEFAULT

from . import layers

__all__ = ["conv_backward_fast", "conv_forward_fast", "max_pool_backward_fast", "max_pool_forward_fast"]


def _fast(function: Callable) -> Callable:
    @functools.wraps(function)
    def fast(*arguments, **options):
        if get_backend() != "naive":
            return function(*arguments, **options)
        with use_backend(DEFAULT):
            return function(*arguments, **options)

    fast.__name__ = fast.__qualname__ = f"{function.__name__}_fast"
    fast.__module__ = __name__
    return fast


conv_forward_fast = _fast(layers.conv_forward)
conv_backward_fast = _fast(layers.conv_backward)
max_pool_forward_fast = _fast(layers.max_pool_forward)
max_pool_backward_fast = _fast(layers.max_pool_backward)
