"""`fastnn warmup`."""

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
  fastnn warmup                   what float32 needs, which is what networks are trained in
  fastnn warmup --dtype both      float64 too, for gradient checks
  NUMBA_CACHE_DIR=/cache fastnn warmup

Every later process loads the kernels instead of compiling them. Where all are there already, nothing is compiled."""
_DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
_BACKEND, _VARIABLE = "njit", "NUMBA_CACHE_DIR"


def add_parser(commands: Any) -> None:
    parser = common.command(commands, "warmup", "compile all kernels now, and keep them on disk", _EXAMPLES, run_warmup)
    parser.add_argument("--dtype", choices=_DTYPES, default="float32", help="default %(default)s")


def run_warmup(arguments: argparse.Namespace) -> int:
    """Compile what is not in the cache yet, and say what and where; returns the exit code."""
    began = time.perf_counter()
    with use_backend(_BACKEND):
        from fastnn.benchmarking import warmup
        from fastnn.kernels.cache import code_cache
        from fastnn.kernels.cpu import compiling, threads

        with threads.use_num_threads(max(2, threads.get_num_threads())):  # what helpers run is compiled too
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
    """OSError where a small kernel has to be compiled, and cannot be kept."""
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
            f"source {Path(code_cache.__file__).parents[1]} or in the user's cache; expected a folder that can be "
            f"written; set {_VARIABLE} to one"
        )
