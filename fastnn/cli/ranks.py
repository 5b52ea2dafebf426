"""Commands on the ranks that `mpiexec` started: --mpi."""

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from fastnn.distributed.communicator import Communicator, Single

_FIRST_SAVES = 60  # seconds in which the first rank saves and ends all others


def add_mpi(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mpi",
        action="store_true",
        help="train on all ranks that mpiexec started (needs mpi4py); the first prints and saves",
    )
    parser.add_argument(
        "--nccl",
        action="store_true",
        help="with --mpi and --backend cuda: each rank has a GPU, and NCCL carries the gradients between them",
    )


def world(arguments: argparse.Namespace) -> Communicator:
    """The communicator of all ranks with --mpi, else of this process alone."""
    nccl = getattr(arguments, "nccl", False)
    if not getattr(arguments, "mpi", False):
        if nccl:
            raise ValueError(f"{arguments.command}: --nccl has no ranks; expected --mpi with it; add it, under mpiexec")
        return Single()
    from fastnn.distributed.mpi import MPICommunicator

    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"{arguments.command}: --mpi needs mpi4py, which cannot be imported ({error}); expected it in this "
            f"environment, with an MPI library; install fastnn with the extra mpi"
        ) from error
    comm = MPICommunicator(MPI.COMM_WORLD)
    if not nccl:
        return comm
    from fastnn.distributed.nccl import NCCLCommunicator

    try:
        return NCCLCommunicator(comm)
    except ImportError as error:
        raise ValueError(f"{arguments.command}: {error}") from error


def ending_together(run: Callable[[], int]) -> int:
    """Return the exit code of a command with --mpi; if it is not 0, or for an exception, end all ranks."""
    all_stop = False
    try:
        code = run()
        all_stop = code in (1, 130)
    except BaseException:
        traceback.print_exc()
        code = 1
    mpi = sys.modules.get("mpi4py.MPI")
    if code and mpi is not None:
        world = mpi.COMM_WORLD
        if world.Get_rank() and all_stop:
            time.sleep(_FIRST_SAVES)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        world.Abort(code)
    return code


@contextlib.contextmanager
def log_of(comm: Communicator, log: Any) -> Iterator[Any]:
    """The stream for messages: nothing on ranks other than the first."""
    if comm.rank == 0:
        yield log
        return
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        yield nothing
