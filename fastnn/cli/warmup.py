"""The command `fastnn warmup`."""

import argparse
import datetime
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
  fastnn warmup --tune            also find out which sizes of blocks are fastest on this machine
  NUMBA_CACHE_DIR=/cache fastnn warmup

Later processes load the kernels instead of compiling them. Kernels that are already compiled are skipped.

Kernels work on blocks that fit in the caches. Their sizes come from a model of the caches; --tune times others, best
on an idle machine, and keeps those that are at least 3 % faster beside the kernels. `fastnn info` shows both. Other
sizes may change the last digits of results. A run that was saved before the tuning then continues with other digits,
and a warning says so; with FASTNN_TUNED=0 it continues exactly. Deleting the file undoes the tuning."""
_DTYPES = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
_BACKEND, _VARIABLE = "njit", "NUMBA_CACHE_DIR"
_SECONDS = 45.0  # of tuning, all dtypes together
_PEAK_SECONDS = 0.5  # of measuring a peak rate


def add_parser(commands: Any) -> None:
    parser = common.command(
        commands, "warmup", "compile all kernels in advance, and store them on disk", _EXAMPLES, run_warmup
    )
    parser.add_argument("--dtype", choices=_DTYPES, default="float32", help="default %(default)s")
    parser.add_argument(
        "--tune", action="store_true", help="then time sizes of blocks for a minute or two, and keep the fastest"
    )


def run_warmup(arguments: argparse.Namespace) -> int:
    """Compile the kernels that are not in the cache, and print a report; return the exit code."""
    if arguments.tune and "NUMBA_DISABLE_JIT" in os.environ:
        raise ValueError(
            "warmup: --tune with NUMBA_DISABLE_JIT times no compiled kernels; expected compiled ones; unset it"
        )
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
        f"kept in {code_cache.folder()}",
        flush=True,
    )
    if arguments.tune:
        with use_backend(_BACKEND):
            _tune(_DTYPES[arguments.dtype])
    return 0


def _tune(dtypes: tuple[str, ...]) -> None:
    """Time the sizes of blocks, keep those that are faster than the model's, and print a report."""
    from fastnn.kernels.cpu import block_sizes, roofline, threads, tuning

    began, count, tuned = time.perf_counter(), threads.get_num_threads(), {}
    total = len(dtypes) * len(block_sizes.CLASSES)
    print(
        f"timing sizes of blocks on {count} thread{'' if count == 1 else 's'}, about {_SECONDS:.0f} s ...", flush=True
    )
    for dtype in dtypes:
        winners = tuning.tune(np.dtype(dtype), _SECONDS / len(dtypes), tell=_tell)
        classes = {name.partition(" ")[2]: winner._asdict() for name, winner in winners.items()}
        tuned[dtype] = {"date": datetime.date.today().isoformat(), "threads": count, "classes": classes}
    flops = {dtype: roofline.multiply_adds(np.dtype(dtype), _PEAK_SECONDS) for dtype in dtypes}
    path = block_sizes.write(tuned, {"B/s": roofline.copy(_PEAK_SECONDS), "FLOP/s": flops})
    if path is None:
        raise OSError(
            f"warmup: tuned sizes cannot be kept beside the compiled kernels; expected a writable folder; set "
            f"{_VARIABLE} to one"
        )
    found = sum(len(of_dtype["classes"]) for of_dtype in tuned.values())
    print(f"a faster size in {found} of {total} classes of shapes, {time.perf_counter() - began:.1f} s; kept in {path}")


def _tell(name: str, winner: Any) -> None:
    """Print what was found for a class of shapes."""
    what = "that of the model" if winner is None else f"{common.size(*winner[:2])}, {winner.gain:.2f} times as fast"
    print(f"{name:26}  {what}", flush=True)


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
