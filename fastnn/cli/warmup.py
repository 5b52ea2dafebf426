"""The command `fastnn warmup`."""

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import use_backend

from . import common

_EXAMPLES = """examples:
  fastnn warmup                   float32, the dtype of training
  fastnn warmup --dtype both      also float64, for gradient checks
  NUMBA_CACHE_DIR=/cache fastnn warmup

Later processes load the kernels instead of compiling them. Kernels that are already compiled are skipped."""
_DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
_BACKEND, _VARIABLE = "njit", "NUMBA_CACHE_DIR"


def add_parser(commands: Any) -> None:
    parser = common.command(
        commands, "warmup", "compile all kernels in advance, and store them on disk", _EXAMPLES, run_warmup
    )
    parser.add_argument("--dtype", choices=_DTYPES, default="float32", help="default %(default)s")


def run_warmup(arguments: argparse.Namespace) -> int:
    """Compile the kernels that are not in the cache, and print a report; return the exit code."""
    began = time.perf_counter()
    with use_backend(_BACKEND):
        from fastnn.benchmarking import warmup
        from fastnn.kernels.cache import code_cache
        from fastnn.kernels.cpu import compiling, threads

        with threads.use_num_threads(max(2, threads.get_num_threads())):  # compiles the parallel versions too
            for dtype in _DTYPES[arguments.dtype]:
                _check_folder(dtype)
                for name, step in warmup.steps(dtype):
                    start, before = time.perf_counter(), compiling.compiled()
                    step()
                    count = compiling.compiled() - before
                    what = f"{count:3} compiled, {time.perf_counter() - start:5.1f} s" if count else "none to compile"
                    print(f"{dtype}  {name:14}  {what}", flush=True)
    print(
        f"{compiling.compiled() or 'no'} kernels compiled, {time.perf_counter() - began:.1f} s in all; "
        f"kept in {code_cache.folder()}"
    )
    return 0


def _check_folder(dtype: str) -> None:
    """Raise OSError if compiled kernels cannot be stored, tested with a small kernel."""
    from fastnn.kernels import activations
    from fastnn.kernels.cache import code_cache
    from fastnn.kernels.cpu import compiling

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says the same
        activations.relu_forward(np.zeros(1, dtype))
    if compiling.compiled() and not code_cache.written:
        asked = os.environ.get(_VARIABLE)
        raise OSError(
            f"warmup: compiled kernels cannot be kept{f' in {_VARIABLE}={asked!r}' if asked else ''}, beside their "
            f"source {Path(code_cache.__file__).parents[1]} or in the user's cache; expected a writable "
            f"folder; set {_VARIABLE} to one"
        )
