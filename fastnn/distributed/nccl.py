"""The communicator of ranks with a GPU each: NCCL, through CuPy, carries their gradients past the host.

    solver = Solver(model, data, comm=NCCLCommunicator(MPI.COMM_WORLD), shards=8)

Everything else travels as before. In each iteration the losses, which are on the host, are exchanged first: a rank that
failed is heard of there, before the others hand work to NCCL.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation

from . import mpi
from .communicator import Communicator
from .ranks import Ranks

_INSTALL = "install fastnn with the extra cuda13 or cuda12, and NCCL with: pip install nvidia-nccl-cu13, or -cu12"


class NCCLCommunicator(Communicator):
    """The ranks of a communicator of mpi4py, each with one GPU, whose backend keeps arrays in GPU memory.

    comm: a communicator of mpi4py, or a `Communicator`; all of its ranks make this object
    deterministic: True sends gradients from rank to rank along the tree of shards, with the bits of any communicator;
        False leaves their sum to NCCL's all-reduce, whose order depends on the number of ranks, the machines and NCCL

    Among the GPUs that it sees, a rank uses that of its number on its machine; NCCL needs one for each rank.
    Raises TypeError for another comm or deterministic, and ImportError on all ranks if one has no CuPy or no NCCL.
    """

    takes_device = True

    def __init__(self, comm: Any, deterministic: bool = True) -> None:
        function = type(self).__name__
        self._host = mpi.of(function, comm)
        self.deterministic = validation.flag(function, "deterministic", deterministic)
        self.rank, self.size = self._host.rank, self._host.size
        self.node, self.grace = self._host.node, self._host.grace
        library, reason = _library()
        identity = library.unique_id() if self.rank == 0 and reason is None else None
        found = Ranks(self._host).gather((self.node, reason, identity))
        for rank, (_, reason, _) in enumerate(found):
            if reason is not None:
                raise ImportError(
                    f"{function}: rank {rank} of {self.size} cannot use NCCL ({reason}); expected CuPy with NCCL on "
                    f"all ranks; {_INSTALL}, or give a Solver comm itself, whose gradients travel through the host"
                )
        before = sum(node == self.node for node, _, _ in found[: self.rank])
        self._gpus = library.Group(self.size, found[0][2], self.rank, before)

    def exchange(self, sent: Any, received: Any, partner: int) -> Callable[[], bool]:
        if isinstance(sent, np.ndarray):
            return self._host.exchange(sent, received, partner)
        self._gpus.exchange(sent, received, partner)
        return self._gpus.is_done

    def allreduce(self, array: Any) -> Callable[[], bool]:
        self._gpus.allreduce(array)
        return self._gpus.is_done

    def tell(self, message: bytes, rank: int) -> None:
        self._host.tell(message, rank)

    def heard(self) -> tuple[int, bytes] | None:
        return self._host.heard()

    def abandon(self) -> None:
        self._host.abandon()
        self._gpus.abort()


def _library() -> tuple[Any, str | None]:
    """The interface to NCCL, and why it cannot be used, if so."""
    try:
        library = importlib.import_module("fastnn.kernels.gpu.nccl")
    except ImportError as error:  # of numba
        return None, " ".join(str(error).split())
    return library, library.reason()
