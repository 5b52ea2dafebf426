"""The communicator of MPI, through mpi4py, which only those have to install who pass one of its communicators."""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation

from .communicator import Communicator, Single

_DATA, _MESSAGE = 23_101, 23_102  # tags
_given_up: list[list[Any]] = []  # requests of transfers that ended in the middle: MPI may still write into their arrays


class MPICommunicator(Communicator):
    """The ranks of a communicator of mpi4py."""

    grace = 2.5

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._comm, self._mpi = comm, MPI
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.node = platform.node()
        self._under_way: list[list[Any]] = []
        self._told: list[tuple[Any, np.ndarray]] = []  # requests, and their buffers until these are sent

    def exchange(self, sent: np.ndarray, received: np.ndarray, partner: int) -> Callable[[], bool]:
        requests = [self._comm.Irecv(received, partner, _DATA), self._comm.Isend(sent, partner, _DATA)]
        self._under_way.append(requests)

        def is_done() -> bool:
            is_over = self._mpi.Request.Testall(requests)
            if is_over:
                self._under_way = [others for others in self._under_way if others is not requests]
            return is_over

        return is_done

    def abandon(self) -> None:
        _given_up.extend(self._under_way)
        self._under_way = []

    def tell(self, message: bytes, rank: int) -> None:
        self._told = [(request, buffer) for request, buffer in self._told if not request.Test()]
        buffer = np.frombuffer(message, np.uint8).copy()
        self._told.append((self._comm.Isend(buffer, rank, _MESSAGE), buffer))

    def heard(self) -> tuple[int, bytes] | None:
        status = self._mpi.Status()
        if not self._comm.Iprobe(self._mpi.ANY_SOURCE, _MESSAGE, status):
            return None
        buffer = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
        self._comm.Recv(buffer, status.Get_source(), _MESSAGE)
        return status.Get_source(), buffer.tobytes()


def of(function: str, comm: Any) -> Communicator:
    """The communicator for an argument `comm`: None, a Communicator, or a communicator of mpi4py.

    Raises TypeError for anything else.
    """
    if comm is None:
        return Single()
    if isinstance(comm, Communicator):
        return comm
    if all(hasattr(comm, name) for name in ("Get_rank", "Get_size", "Irecv", "Isend", "Iprobe")):
        return MPICommunicator(comm)
    raise TypeError(
        f"{function}: comm={validation.brief(comm)} is not a communicator; expected one of mpi4py, or None; pass "
        f"comm=MPI.COMM_WORLD"
    )
