"""Executors for sweeps: processes of this machine, the ranks of mpiexec, a Dask cluster."""

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from fastnn.kernels.cpu import thread_count
from fastnn.kernels.dispatch import signatures, validation

from .trial import end_with_parent, share_of_cores

RANKS = "mpi"
LAUNCHER = "mpiexec -n 5 python -m mpi4py.futures"


class WorkerDied(RuntimeError):
    """The process of a worker ended during a trial."""


@signatures.checked
@contextlib.contextmanager
def workers(which: int | str) -> Iterator[Executor]:
    """Return a context manager whose value is an executor for `sweep`; the executor ends with the block.

        with workers(4) as executor:
            sweep(run, trials, "ledger.jsonl", executor)

    which: a number of processes of this machine; "mpi": the ranks of `mpiexec -n 5 python -m mpi4py.futures script.py`,
        of which the first runs the script, and four run trials; or the address of the scheduler of a Dask cluster, such
        as "tcp://scheduler:8786"

    A process that dies is replaced, and its trial has failed. An exception in the block, such as Ctrl-C, ends the
    processes. They import the script, so the block stands below `if __name__ == "__main__":` there.
    Raises TypeError or ValueError for another argument, or one that needs ranks or a package that are not there;
    OSError if no scheduler answers.
    """
    opened: contextlib.AbstractContextManager[Executor]
    if not isinstance(which, str):
        opened = _Processes(validation.integer("workers", "which", which, minimum=1))
    elif which == RANKS:
        opened = _ranks()
    elif "://" in which:
        opened = _cluster(which)
    else:
        raise ValueError(
            f"workers: which={which!r} is unknown; expected a number of processes, {RANKS!r} or the address of a Dask "
            f"scheduler; pass one such as 4 or 'tcp://localhost:8786'"
        )
    with opened as executor:
        yield executor


@contextlib.contextmanager
def _ranks() -> Iterator[Executor]:
    launched = LAUNCHER.rpartition(" ")[2] in sys.orig_argv
    if launched:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    if not launched or MPI.COMM_WORLD.Get_size() < 2:
        raise ValueError(
            f"workers: which={RANKS!r} needs ranks that wait for trials, besides the first; expected at least two, "
            f"started by mpi4py.futures; begin the command with: {LAUNCHER}"
        )
    executor = MPIPoolExecutor()
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    if importlib.util.find_spec("distributed") is None:
        raise ValueError(
            f"workers: which={address!r} needs the package distributed, which is not installed; expected it for the "
            f"address of a scheduler; install it with: pip install distributed"
        )
    from distributed import Client

    client = Client(address, set_as_default=False)
    log = logging.getLogger("distributed.client")
    before = log.disabled
    try:
        yield client.get_executor()
    finally:
        log.disabled = True  # it would log a traceback if the scheduler has ended, which the sweep says
        client.close()
        log.disabled = before


class _Processes(Executor):
    """Processes of this machine, each a pool of its own, so that one that dies is replaced alone.

    A thread waits for each. They are spawned, since a forked one would hold the lock of the ledger, too.
    """

    def __init__(self, count: int) -> None:
        self._max_workers = count
        self._threads = ThreadPoolExecutor(count, "fastnn-sweep")
        self._idle: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: dict[ProcessPoolExecutor, int] = {}
        self._reason = ""  # why no more trials are run

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            with self._lock:
                self._reason = "the sweep was stopped"
                for process in self._processes.values():
                    _end(process)
        self.shutdown()

    def submit(self, function: Callable, /, *arguments: Any, **keywords: Any) -> Future:
        return self._threads.submit(self._call, function, *arguments, **keywords)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        with self._lock:
            pools = list(self._processes)
        for pool in pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def _call(self, function: Callable, *arguments: Any, **keywords: Any) -> Any:
        try:
            pool = self._idle.get_nowait()
        except queue.Empty:
            pool = self._start()
        try:
            return pool.submit(function, *arguments, **keywords).result()
        except BrokenExecutor:
            with self._lock:
                del self._processes[pool]
            if self._reason:
                raise BrokenExecutor(self._reason) from None
            raise WorkerDied("its process ended: it was killed, crashed, or ran out of memory") from None
        finally:
            if pool in self._processes:
                self._idle.put(pool)

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)
        with self._lock, _threads_of_children(share_of_cores(self._max_workers)):
            if self._reason:
                raise BrokenExecutor(self._reason)
            started = pool.submit(os.getpid)
        try:
            process = started.result()
        except BrokenExecutor:
            self._reason = self._reason or (
                "a process ended while it started; see its error; in a script, a sweep stands below "
                "`if __name__ == '__main__':`"
            )
            raise BrokenExecutor(self._reason) from None
        with self._lock:
            self._processes[pool] = process
            if self._reason:
                _end(process)
        return pool


def _begin() -> None:
    """Prepare a process: Ctrl-C is for the sweep, which ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)


@contextlib.contextmanager
def _threads_of_children(number: int | None) -> Iterator[None]:
    """Set the threads of processes that start in the block; those of BLAS are read when NumPy is imported."""
    name = thread_count.OTHERS[-1]
    if number is None:
        yield
        return
    os.environ[name] = str(number)
    try:
        yield
    finally:
        del os.environ[name]
