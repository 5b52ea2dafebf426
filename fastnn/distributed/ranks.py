"""The ranks of a training: they exchange buffers and small objects, and no one waits in silence.

A rank that fails tells all others, which look for such messages while they wait. A rank that waits for long tells this
to the others too, so that the message says who is waited for: those that do not wait themselves.
"""

import pickle
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .communicator import Communicator

_SPINNING = 0.01  # seconds of a wait in which the core is kept
_PAUSE = 1e-3  # longest pause between two looks thereafter; at most a hundredth of the wait
_PATIENCE = 3.0  # seconds of a wait until it is reported
_COLLECTING = 0.7  # seconds in which the reports of other ranks arrive


class RankError(RuntimeError):
    """Raised on a rank because another one failed."""


class Ranks:
    """The ranks behind a communicator.

    waited: seconds that this rank has waited for others
    """

    def __init__(self, comm: Communicator) -> None:
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.waited = 0.0
        self._waiting: set[int] = set()  # the other ranks that wait for long

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one that prints and saves."""
        return self.rank == 0

    def share(self, work: Sequence[Any]) -> Sequence[Any]:
        """This rank's share of pieces of work."""
        return work[self.rank :: self.size]

    def partners(self) -> list[int]:
        """The ranks with which this one exchanges, from the leaves of the tree to its root."""
        return [self.rank ^ 1 << level for level in range(self.size.bit_length() - 1)]

    def exchange(self, sent: Any, received: Any, partner: int) -> None:
        """Send an array to a rank and receive one from it."""
        self.wait(self.begin(sent, received, partner))

    def begin(self, sent: Any, received: Any, partner: int) -> Callable[[], bool]:
        """Begin to send an array to a rank and to receive one from it; see `Communicator.exchange`."""
        return self.comm.exchange(_bytes(sent), _bytes(received), partner)

    def wait(self, is_done: Callable[[], bool]) -> None:
        """Wait until a transfer is done."""
        began = time.perf_counter()
        due, told = began + _PATIENCE, False
        while not is_done():
            now = time.perf_counter()
            self._listen()
            if now > due and not told:
                self._tell("waits")
                due, told = now + _COLLECTING, True
            elif now > due:
                self._report(now - began)
                due = now + (now - began)
            if now - began > _SPINNING:
                time.sleep(min(_PAUSE, (now - began) / 100))
        if told:
            self._tell("goes on")
        self.waited += time.perf_counter() - began

    def gather(self, value: Any) -> list[Any]:
        """Send an object to all ranks; return those of all ranks, in order."""
        held = {self.rank: value}
        for partner in self.partners():
            sent = np.frombuffer(pickle.dumps(held), np.uint8)
            length = np.empty(1, np.int64)
            self.exchange(np.array([sent.size]), length, partner)
            received = np.empty(int(length[0]), np.uint8)
            self.exchange(sent, received, partner)
            held |= pickle.loads(received.tobytes())  # of the same program: no one else's data
        return [held[rank] for rank in range(self.size)]

    def fail(self, error: BaseException) -> None:
        """Tell all other ranks that this one has failed."""
        is_interrupt = isinstance(error, KeyboardInterrupt)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self._tell("interrupted" if is_interrupt else "failed", text)

    def _tell(self, kind: str, text: str = "") -> None:
        message = pickle.dumps((kind, text))
        for rank in range(self.size):
            if rank != self.rank:
                self.comm.tell(message, rank)

    def _listen(self) -> None:
        """Read the messages of other ranks. Raises RankError or KeyboardInterrupt if one has ended."""
        while (heard := self.comm.heard()) is not None:
            rank, message = heard
            kind, text = pickle.loads(message)
            if kind == "interrupted":
                raise KeyboardInterrupt
            if kind == "failed":
                raise RankError(
                    f"Solver: rank {rank} of {self.size} failed ({text}); expected all ranks to go on; see its "
                    f"error, and resume from the last checkpoint"
                )
            (self._waiting.add if kind == "waits" else self._waiting.discard)(rank)

    def _report(self, seconds: float) -> None:
        """Say who is waited for, if this is the first of the waiting ranks."""
        waiting = self._waiting | {self.rank}
        if self.rank == min(waiting):
            late = ", ".join(str(rank) for rank in range(self.size) if rank not in waiting)
            text = f"fastnn: waiting for rank {late} of {self.size} for {seconds:.0f} s"
            print(text, file=sys.stderr, flush=True)


def _bytes(array: Any) -> Any:
    """An array of NumPy as bytes; a device array as it is."""
    return array.view(np.uint8) if isinstance(array, np.ndarray) else array
