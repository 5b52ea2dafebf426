"""The small interface to a message-passing library, and a communicator of one rank."""

from collections.abc import Callable
from typing import Any


class Communicator:
    """What training needs of a message-passing library: a base class for those of fastnn and of users.

    rank, size: the number of this rank, from 0, and of all ranks
    node: the name of the machine if each rank is a process of its own, else None
    grace: seconds by which ranks delay an error that another rank reports, so that it appears once
    takes_device: whether `exchange` takes device arrays too; else gradients travel through the host
    deterministic: whether device arrays are added along the tree of shards; else by `allreduce`
    """

    rank: int = 0
    size: int = 1
    node: str | None = None
    grace: float = 0.0
    takes_device: bool = False
    deterministic: bool = True

    def exchange(self, sent: Any, received: Any, partner: int) -> Callable[[], bool]:
        """Begin to send an array of bytes, or a device array of any dtype, to a rank, and to receive one from it.

        Returns a function that drives the transfer and returns whether both are done. Until then, neither array is
        touched. Between two ranks, arrays arrive in the order in which they were sent.
        """
        raise NotImplementedError(f"{type(self).__name__}: exchange is missing; expected a method; define it")

    def tell(self, message: bytes, rank: int) -> None:
        """Send a message to a rank that does not wait for it, and return at once."""
        raise NotImplementedError(f"{type(self).__name__}: tell is missing; expected a method; define it")

    def heard(self) -> tuple[int, bytes] | None:
        """The next message from `tell`, with the rank that sent it; None if there is none."""
        raise NotImplementedError(f"{type(self).__name__}: heard is missing; expected a method; define it")

    def allreduce(self, array: Any) -> Callable[[], bool]:
        """Begin to replace a device array by its sum over all ranks, added in any order.

        Returns a function as that of `exchange`. Only needed if `deterministic` is False.
        """
        raise NotImplementedError(f"{type(self).__name__}: allreduce is missing; expected a method; define it")

    def abandon(self) -> None:
        """Give up what is under way, since ranks end; nothing is sent afterwards."""


class Single(Communicator):
    """One rank, which never sends anything."""

    takes_device = True

    def heard(self) -> tuple[int, bytes] | None:
        return None
