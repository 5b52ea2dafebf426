"""How the njit kernels are compiled and how they use the cores.

`serial` compiles a plain kernel, `parallel` one whose `prange` loops run on numba's threads. Both cache their
machine code beside the source and keep IEEE semantics for NaN, infinity and signed zero order where it shows:
only contraction to fused multiply-adds and reordering of sums are allowed.

The OpenMP layer is preferred: a launch takes about 1.5 us (workqueue: 108 us). It cannot run in a child that was
forked after the parent had used it, and workqueue aborts the process when two Python threads enter it at once; the
first is answered with RuntimeError, the second is prevented by a lock.
"""

import contextlib
import functools
import importlib
import os
import threading

import numba

FASTMATH = frozenset({"contract", "nsz", "reassoc"})

_launched = False
_forked = False


def _has_openmp() -> bool:
    try:
        return importlib.import_module("numba.np.ufunc.omppool") is not None
    except ImportError:  # built without it, or the system's OpenMP library is missing
        return False


_user_chose_layer = bool({"NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"} & os.environ.keys())
if not _user_chose_layer:
    numba.config.THREADING_LAYER = "omp" if _has_openmp() else "workqueue"
_one_at_a_time: contextlib.AbstractContextManager = (
    contextlib.nullcontext() if numba.config.THREADING_LAYER in ("omp", "tbb") else threading.RLock()
)


def _after_fork() -> None:
    global _forked
    _forked = _launched


os.register_at_fork(after_in_child=_after_fork)


def serial(function):
    """Compile a kernel that runs on the calling thread, without the GIL."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)


def parallel(function):
    """Compile a kernel with `prange` loops; the result is called like the function itself."""
    compiled = numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy", fastmath=set(FASTMATH))(function)

    @functools.wraps(function)
    def launch(*arguments):
        global _launched
        if _forked:
            raise RuntimeError(
                f"{function.__name__}: this process was forked after its parent had used backend='njit', whose threads "
                "do not survive a fork; expected a fresh process; start workers with "
                "multiprocessing.get_context('spawn') or select backend 'vectorized' in the child"
            )
        _launched = True
        with _one_at_a_time:
            return compiled(*arguments)

    launch.kernel = compiled
    return launch
