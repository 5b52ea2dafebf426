"""NCCL, through CuPy: device arrays travel between the GPUs of several processes.

Source: CuPy 14, `cupy.cuda.nccl`; NVIDIA, NCCL user guide, "Point-to-point communication" and "Group Calls".
"""

import importlib
from typing import Any

from . import availability, memory


def reason() -> str | None:
    """Return why NCCL cannot be used here, or None."""
    if found := availability.reason():
        return found[0]
    try:
        return None if _library().available else "this CuPy finds no NCCL"
    except ImportError as error:
        return " ".join(str(error).split())


def unique_id() -> Any:
    """Return what the processes of a group must have in common."""
    return _library().get_unique_id()


class Group:
    """The GPUs of several processes, each of which makes this object.

    size, rank: the number of processes, and of this one
    identity: the `unique_id` that one of them made
    index: which of the GPUs that this process sees becomes the current one, modulo their number

    Transfers have a stream of their own, for which no other one waits if a process fails; `is_done` says whether they
    are done.
    """

    def __init__(self, size: int, identity: Any, rank: int, index: int) -> None:
        cuda = memory.xp.cuda
        cuda.Device(index % cuda.runtime.getDeviceCount()).use()
        self._current_stream, self._stream = cuda.get_current_stream, cuda.Stream(non_blocking=True)
        self._nccl = _library()
        self._types = {name: getattr(self._nccl, f"NCCL_{name.upper()}") for name in ("float16", "float32", "float64")}
        self._comm = self._nccl.NcclCommunicator(size, identity, rank)

    def exchange(self, sent: Any, received: Any, partner: int) -> None:
        """Begin to send an array to a process and to receive one from it."""
        self._current_stream().synchronize()  # what is sent has been computed
        kind, stream = self._nccl.NCCL_UINT8, self._stream.ptr
        self._nccl.groupStart()  # else each would wait for the other to receive
        try:
            self._comm.send(memory.address(sent), sent.nbytes, kind, partner, stream)
            self._comm.recv(memory.address(received), received.nbytes, kind, partner, stream)
        finally:
            self._nccl.groupEnd()

    def allreduce(self, array: Any) -> None:
        """Begin to replace an array by its sum over all processes, added in an order that NCCL chooses."""
        self._current_stream().synchronize()
        place, kind = memory.address(array), self._types[array.dtype.name]
        self._comm.allReduce(place, place, array.size, kind, self._nccl.NCCL_SUM, self._stream.ptr)

    def is_done(self) -> bool:
        """Whether all transfers are done. Raises NCCL's error if one has failed."""
        self._comm.check_async_error()
        return self._stream.done

    def abort(self) -> None:
        """Give up all transfers; there are none afterwards."""
        self._comm.abort()


def _library() -> Any:
    return importlib.import_module("cupy.cuda.nccl")
