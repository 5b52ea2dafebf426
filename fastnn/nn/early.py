"""Gradients that somebody needs as soon as each is computed, before the backward pass ends: ranks that send them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from fastnn.kernels import l2
from fastnn.kernels.dispatch import arrays

_receiver: ContextVar["Receiver | None"] = ContextVar("fastnn_receiver", default=None)


class Receiver:
    """Who gets the gradients of a network's loss, with their part of the penalty, while it is computed.

    network: whose `loss` is called, which is that of Module
    place: function of a name and a gradient that returns an array, of the parameter's dtype, for the penalty to be
        added to; called once for each parameter, for the last layers first
    ready: function of a name, called when this array is complete
    early: whether layers pass their gradients on at once; else the loss does, in the end
    """

    def __init__(
        self, network: Any, place: Callable[[str, Any], Any], ready: Callable[[str], None], early: bool
    ) -> None:
        self.network, self.early = network, early
        self._place, self._ready = place, ready
        self._penalties = dict.fromkeys(network._penalized(), 0.0) if network.reg else {}
        self._received: set[str] = set()

    def receive(self, grads: Mapping[str, Any], others: Any = None) -> None:
        """Take gradients that nothing changes any more, and that nobody reads but through this object.

        others: an array that is still needed; a gradient that may share memory with it waits until the end
        """
        for name, gradient in grads.items():
            if name in self._received or (others is not None and arrays.may_share_memory(gradient, others)):
                continue
            self._received.add(name)
            array = self._place(name, gradient)
            if name in self._penalties:
                self._penalties[name] = l2.weight_penalty(self.network.params[name], array, self.network.reg)
            self._ready(name)

    def finish(self, grads: Mapping[str, Any]) -> float:
        """Take all other gradients; return the penalty of the loss, the sum of those of the parameters in order."""
        self.receive(grads)
        return sum(self._penalties.values(), 0.0)


@contextlib.contextmanager
def sent_to(receiver: Receiver | None) -> Iterator[None]:
    """Pass the gradients of its network to a receiver during the block."""
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)


def receiver(network: Any) -> Receiver | None:
    """Who gets the gradients of the loss of a network, if somebody does."""
    found = _receiver.get()
    return found if found is not None and found.network is network else None


def receiver_of_layers(network: Any, backward: Callable) -> Receiver | None:
    """Who gets the gradients of the layers of a network at once, if its method `backward` is this one."""
    found = receiver(network)
    if found is None or not found.early or type(network).backward is not backward or "backward" in vars(network):
        return None
    return found
