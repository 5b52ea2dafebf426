"""One trial, in this process or in a worker: what travels to a worker, and what comes back.

The parent pickles `run` once. A worker unpickles it once, with whatever that loads, and keeps it for its later trials;
for each trial only its params and its number travel, and what comes back is plain enough for JSON.
"""

import functools
import multiprocessing
import os
import pickle
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np

from fastnn import get_backend, use_backend
from fastnn.kernels.cpu import thread_count
from fastnn.training import nonfinite

from .pickling import picklable
from .trial_log import plain

OWN = ("params", "status", "reason", "seconds", "number")  # what the sweep records itself

_LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")  # on this machine, as MPICH and Open MPI count them
_loading = threading.Lock()  # Dask runs several trials in threads of one process


class Terms(NamedTuple):
    """What all trials of a sweep have in common, besides `run`."""

    backend: str
    seed: int  # with the number of a trial, seeds NumPy's global state
    threads: int | None  # of a trial, if FASTNN_NUM_THREADS is set for the sweep
    workers: int  # that share the cores; 0: unknown
    process: tuple[str, int]  # host and id of the process that the sweep runs in
    name: str  # unlike that of any other sweep: Dask would take equal calls for the same


class Outcome(NamedTuple):
    """What became of a trial."""

    result: dict[str, Any]
    reason: str | None = None  # why it failed
    seconds: float = 0.0
    error: Exception | None = None  # ends the sweep: `run` cannot be used


def failed(reason: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a trial without a result."""
    return Outcome({"val_acc": None}, reason, seconds)


def terms(seed: int, executor: Executor | None) -> Terms:
    """What all trials have in common, in this process and now."""
    asked = os.environ.get(thread_count.VARIABLE)
    threads = thread_count.checked(thread_count.VARIABLE, asked) if asked else None
    workers = getattr(executor, "_max_workers", None) or 0
    return Terms(get_backend(), seed, threads, workers, _this_process(), uuid.uuid4().hex)


def outcomes(
    run: Callable, trials: Mapping[Any, tuple[int, dict[str, Any]]], common: Terms, executor: Executor | None
) -> Generator[tuple[Any, Outcome], None, None]:
    """Yield the key and outcome of each trial, as they complete.

    trials: number and params by key
    Without an executor, a trial begins when it is asked for. Trials that still wait are cancelled when the iterator is
    closed. Raises BrokenExecutor if the executor did not run all of them.
    """
    if executor is None:
        for key, (number, params) in trials.items():
            yield key, trial(run, common, number, params)
        return
    here = isinstance(executor, ThreadPoolExecutor)
    call = functools.partial(trial, run) if here else functools.partial(trial_of_worker, picklable(run, executor))
    futures: dict[Future, Any] = {}
    broken = None
    try:
        for key, (number, params) in trials.items():
            futures[executor.submit(call, common, number, params)] = key
        for future in as_completed(futures):
            try:
                yield futures[future], _outcome(future)
            except BrokenExecutor as error:  # those that are done are still to come
                broken = broken or error
        if broken is not None:
            raise broken
    finally:
        for future in futures:
            future.cancel()


def _outcome(future: Future) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except CancelledError as error:
        raise BrokenExecutor("it cancelled trials, as one does whose scheduler has ended") from error
    except Exception as error:  # the executor goes on without that worker
        return failed(brief(error))


def trial_of_worker(pickled: bytes, common: Terms, number: int, params: dict[str, Any]) -> Outcome:
    """Run one trial in a worker."""
    try:
        with _loading:
            run = _loaded(pickled, common)
    except Exception as error:
        text = (
            f"sweep: run cannot be loaded in a worker: {brief(error)}; expected a function of a module that workers "
            f"can import, and its data on their machines; try it there"
        )
        return Outcome({}, error=ValueError(text))
    return trial(run, common, number, params)


@functools.lru_cache(maxsize=1)
def _loaded(pickled: bytes, common: Terms) -> Callable:
    """Prepare a worker for the trials of a sweep."""
    if common.process != _this_process():  # an executor may also run threads of this process
        _share_cores(common)
        end_with_parent()
    with use_backend(common.backend):
        return pickle.loads(pickled)


def trial(run: Callable, common: Terms, number: int, params: dict[str, Any]) -> Outcome:
    """Run one trial."""
    np.random.seed((common.seed, number))  # what draws from the global state draws the same in every worker
    began = time.perf_counter()
    try:
        with use_backend(common.backend), nonfinite.raising():
            returned = run(dict(params))
    except Exception as error:
        return failed(brief(error), time.perf_counter() - began)
    seconds = time.perf_counter() - began
    not_finite: list[str] = []
    try:
        result = _checked(returned, not_finite)
    except (TypeError, ValueError) as error:
        return Outcome({}, error=error)
    return Outcome(result, f"{not_finite[0]} is not finite" if not_finite else None, seconds)


def _checked(returned: Any, not_finite: list[str]) -> dict[str, Any]:
    """Check what `run` returned, and convert it to plain values."""
    if not isinstance(returned, Mapping) or "val_acc" not in returned:
        raise TypeError(
            f"sweep: run returned {returned!r}; expected a dict with 'val_acc'; "
            f"return {{'train_acc': ..., 'val_acc': ...}}"
        )
    result = plain("sweep", "result", returned, not_finite)
    for name in OWN:
        if name in result:
            raise ValueError(
                f"sweep: run returned {name!r}, which the sweep records itself; expected other names; rename it"
            )
    value = result["val_acc"]
    if not not_finite and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"sweep: run returned val_acc={value!r}; expected a number; return the validation accuracy")
    return result


def brief(error: BaseException) -> str:
    """An error in one line."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".rstrip(": ")


def share_of_cores(workers: int) -> int | None:
    """Threads for each of the workers of this machine; None if the environment says how many."""
    if thread_count.default().origin in (thread_count.VARIABLE, *thread_count.OTHERS) or not workers:
        return None
    return max(1, thread_count.cores() // workers)


def _share_cores(common: Terms) -> None:
    local = next((int(os.environ[name]) for name in _LOCAL_RANKS if os.environ.get(name, "").isdecimal()), None)
    threads = common.threads or share_of_cores(min(common.workers, local or common.workers))
    if threads:
        os.environ[thread_count.VARIABLE] = str(threads)


@functools.cache
def end_with_parent() -> None:
    """End this process when its parent ends, even if that is killed; else it would wait for trials forever."""
    parent = multiprocessing.parent_process()  # None under mpiexec, which ends all ranks itself
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="fastnn-sweep").start()


def _this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()
