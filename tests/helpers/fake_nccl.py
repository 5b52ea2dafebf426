"""A stand-in for CuPy and its NCCL on ranks that are threads, each with a simulated GPU.

It copies between the arrays of `fake_cupy` by address, and is as strict as NCCL where a program would hang or fail: a
rank sends and receives in one group, ranks have devices of their own, and both sides count the same bytes. Work is done
when the others have sent, whenever a stream is asked whether it is.

Source: CuPy 14, `cupy.cuda.nccl`; NVIDIA, NCCL user guide, "Point-to-point communication".
"""

import ctypes
import functools
import sys
import threading
from collections import defaultdict, deque
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import fake_cuda, fake_cupy

memory = pytest.importorskip("fastnn.kernels.gpu.memory", reason="the backend cuda needs numba")

NCCL_UINT8, NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 1, 6, 7, 8, 0
DTYPES = {NCCL_UINT8: np.uint8, NCCL_FLOAT16: np.float16, NCCL_FLOAT32: np.float32, NCCL_FLOAT64: np.float64}


class NcclError(RuntimeError):
    """An error of NCCL."""


class Stream(fake_cuda.Stream):
    """A stream that remembers what it waits for."""

    by_ptr = {}  # noqa: RUF012

    def __init__(self, null=False, non_blocking=False):
        super().__init__(null, non_blocking)
        self.waiting = deque()  # functions that return whether they are done
        Stream.by_ptr[self.ptr] = self

    @property
    def done(self):
        while self.waiting and self.waiting[0]():
            self.waiting.popleft()
        return not self.waiting


class Device(fake_cuda.Device):
    def use(self):
        fake_cuda._state.device = self.id
        return self


class Library:
    """The module `cupy.cuda.nccl` of all threads.

    calls: names of the functions that ranks called, by rank
    """

    NCCL_UINT8, NCCL_SUM = NCCL_UINT8, NCCL_SUM
    NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64 = NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64
    available = True

    def __init__(self):
        self.lock, self.calls = threading.Lock(), defaultdict(list)
        self.devices, self.sent, self.summands = {}, defaultdict(deque), defaultdict(dict)
        self.local = threading.local()
        self.NcclCommunicator = functools.partial(Rank, self)

    def get_unique_id(self):
        return b"a number of 128 bytes".ljust(128, b"\0")

    def groupStart(self):
        self.local.group = []

    def groupEnd(self):
        group, self.local.group = self.local.group, None
        for begin in group:
            begin()


class Rank:
    """`NcclCommunicator`."""

    def __init__(self, library, size, number, rank):
        assert number == library.get_unique_id()
        self.library, self.size, self.rank, self.reduced, self.is_aborted = library, size, rank, 0, False
        with library.lock:
            if fake_cuda._state.device in library.devices.values():
                raise NcclError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")
            library.devices[rank] = fake_cuda._state.device

    def _in_group(self, name, begin):
        self.library.calls[self.rank].append(name)
        if self.is_aborted:
            raise NcclError("NCCL_ERROR_INVALID_ARGUMENT: the communicator was aborted")
        if getattr(self.library.local, "group", None) is None:
            raise NcclError(f"{name} outside of a group waits for a partner that waits too")
        self.library.local.group.append(begin)

    def send(self, ptr, count, kind, peer, stream):
        def begin():
            with self.library.lock:
                self.library.sent[self.rank, peer].append(array_at(ptr, count, kind).copy())

        self._in_group("send", begin)

    def recv(self, ptr, count, kind, peer, stream):
        def arrive():
            with self.library.lock:
                waiting = self.library.sent[peer, self.rank]
                if not waiting:
                    return False
                array_at(ptr, count, kind)[...] = waiting.popleft()  # ValueError for another count
                return True

        self._in_group("recv", lambda: Stream.by_ptr[stream].waiting.append(arrive))

    def allReduce(self, source, target, count, kind, operation, stream):
        """Add in another order than the tree: from the last rank to the first."""
        assert operation == NCCL_SUM
        self.library.calls[self.rank].append("allReduce")
        number, self.reduced = self.reduced, self.reduced + 1
        with self.library.lock:
            summands = self.library.summands[number]
            summands[self.rank] = array_at(source, count, kind).copy()

        def arrive():
            with self.library.lock:
                if len(summands) < self.size:
                    return False
                array_at(target, count, kind)[...] = functools.reduce(
                    np.add, (summands[r] for r in sorted(summands)[::-1])
                )
                return True

        Stream.by_ptr[stream].waiting.append(arrive)

    def check_async_error(self):
        pass

    def abort(self):
        self.library.calls[self.rank].append("abort")
        self.is_aborted = True


def array_at(ptr, count, kind):
    """The array at an address."""
    dtype = np.dtype(DTYPES[kind])
    buffer = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(ptr)
    return np.frombuffer(buffer, dtype)


def install(monkeypatch, devices=8):
    """Let the interface to NCCL find the stand-in; return it, to see what was called."""
    library = Library()
    runtime = SimpleNamespace(**{**vars(fake_cuda.runtime), "getDeviceCount": lambda: devices})
    replaced = {"Stream": Stream, "Device": Device, "runtime": runtime}
    cuda = SimpleNamespace(**{**vars(fake_cuda), **replaced})
    monkeypatch.setattr(memory, "xp", SimpleNamespace(**{**vars(fake_cupy), "cuda": cuda}))
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", library)
    monkeypatch.setattr("fastnn.kernels.gpu.availability.reason", lambda: None)
    if not arrays.DEVICE_ARRAYS:  # in the simulator they are registered already
        monkeypatch.setattr(arrays, "DEVICE_ARRAYS", (fake_cupy.Array,))
        moves = {"xp": fake_cupy, "to_device": fake_cupy.asarray, "to_host": fake_cupy.asnumpy}
        monkeypatch.setattr(arrays, "_memory", SimpleNamespace(**moves))
    return library
