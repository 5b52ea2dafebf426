"""Layers that wait for the next layer, with which they may be one kernel.

Inside the `forward` of a Module that is differentiated automatically, `self.conv(x)` returns a Deferred: a Tensor that
is computed as soon as anything about it is read. If a ReLU is the first to ask for it, the ReLU joins the chain, and in
the end convolution, batch norm, ReLU and pooling are one node of the tape, as they are one step of a Sequential.

Results are those of computing at once. A chain is computed before another layer begins one, before a Tensor is changed
in place or a mode is, and at the end of `forward`, in the context in which it was called, such as `no_grad`. If
somebody still holds a result in the middle of the chain, its layers are computed one by one.

Only an affine layer that follows affine layers begins a chain while that before it goes on waiting: if such chains are
the end of a network, `Module.loss` computes them in one step, without the tape.
"""

import contextvars
import weakref
from typing import Any

from fastnn.autograd import Tensor, apply, is_grad_enabled, tape
from fastnn.layers import softmax_loss


def call(layer: Any, x: Tensor) -> Tensor | None:
    """Return layer(x) as a Deferred, or None if it has to be computed at once."""
    waiting = tape.waiting()
    if waiting is None or tape.detects_anomaly():
        return None
    if waiting and waiting[-1].takes(layer, x):
        return waiting[-1].add(layer)
    if not (waiting and waiting[-1].is_followed(layer, x)):
        tape.settle()
        if not layer._fusion.begins((layer,)):
            return None
        layer.check(x.data)
    waiting.append(Chain(x, waiting))
    return waiting[-1].add(layer)


def compute(layer: Any, x: Tensor) -> Tensor:
    """Return layer(x) as one operation of the tape."""
    named = layer._tensors()
    if is_grad_enabled() and (x.requires_grad or any(one.requires_grad for one in named.values())):
        return apply(layer, x, named)
    return Tensor(layer(x.data))


def joined(x: Any, layer: Any) -> Tensor | None:
    """Return layer(x) as a Deferred if x is one, and they may be one kernel, else None."""
    return call(layer, x) if type(x) is Deferred else None


class Chain:
    """Layers that were called one after the other, and are not computed yet.

    input: the Tensor with which the first was called
    results: references to the Deferred of each layer, which may be gone
    """

    def __init__(self, x: Tensor, waiting: list["Chain"]) -> None:
        self.input, self.waiting = x, waiting
        self.layers: list[Any] = []
        self.results: list[Any] = []
        self.context = contextvars.copy_context()

    def takes(self, layer: Any, x: Tensor) -> bool:
        """Whether layer(x) may be part of one kernel with the layers before."""
        is_next = self.results[-1]() is x and layer._fusion.begins((*self.layers, layer))
        return is_next and self.context == contextvars.copy_context()

    def is_followed(self, layer: Any, x: Tensor) -> bool:
        """Whether layer(x) continues affine layers with another one, whose check would find nothing."""
        return self.results[-1]() is x and layer._fusion.follows(self.layers, layer)

    def add(self, layer: Any) -> Tensor:
        result = _deferred(self)
        self.layers.append(layer)
        self.results.append(weakref.ref(result))
        return result

    def compute(self) -> None:
        """Compute the results that somebody holds, and what the layers do besides."""
        if self in self.waiting:
            self.waiting.remove(self)
        self.context.run(self._compute)

    def _compute(self) -> None:
        x, layers, held = self.input, self.layers, [result() for result in self.results]
        if all(one is None for one in held[:-1]) and (kernel := layers[0]._fusion.combined(layers)) is not None:
            layers, held = [kernel], held[-1:]
        for layer, one in zip(layers, held, strict=True):
            x = compute(layer, x)
            if one is not None:
                _fill(one, x)


def affine_loss(module: Any, given: Tensor, out: Tensor, y: Any) -> tuple[Any, dict[Any, Any], Tensor, Any] | None:
    """The softmax loss of a module, if affine layers that wait lead to its result, computed in one step.

    given: the Tensor with which the module was called; out: its result
    Returns the loss, the gradients of the layers' parameters by Tensor, the input of the first layer, and the gradient
    of this input, or None if the tape holds nothing before it. Returns None, and computes nothing, if the tape has to
    do it.
    """
    chains: Any = tape.waiting()
    first = result = chains[0].input
    layers: list[Any] = []
    for chain in chains:
        if chain.input is not result:
            return None
        layers += chain.layers
        result = chain.results[-1]()
    if result is not out or module.loss_function is not softmax_loss or (first.requires_grad and first.is_leaf):
        return None
    context, tensors = contextvars.copy_context(), module._tensors()
    if not all(chain.context == context for chain in chains):
        return None
    named = {id(one): (name, one) for name, one in tensors.items() if one.requires_grad}
    order = dict(named.pop(id(one), ("", None)) for layer in layers for one in layer._tensors().values())
    if "" in order or (first is given and len(order) != len(tensors)):
        return None
    affine = layers[0]._fusion.affine(layers, list(order))
    step = None if affine is None else affine.step(first.data, y, first.requires_grad)
    if step is None:
        return None
    last_first = (one for layer in reversed(layers) for one in layer._tensors().values())
    names = {one: name for name, one in order.items()}
    return step[0], {one: step[1][names[one]] for one in last_first}, first, step[2]


def forget() -> None:
    """Compute nothing of what waits but the results that somebody holds. The caller must hold none."""
    waiting: Any = tape.waiting()
    results = [result for chain in waiting for result in chain.results]
    waiting.clear()  # the last references to chains, unless a result is held
    for result in results:
        if (held := result()) is not None and type(held) is Deferred:
            _chain(held).compute()


# ---- the Tensor ----

_slots = {name: vars(Tensor)[name] for name in ("_counter", "_data", "_node", "_requires_grad")}


def _chain(tensor: Any) -> Chain:
    return _slots["_data"].__get__(tensor)


def _computed(name: str) -> property:
    """An attribute that is there once the Tensor is computed."""

    def get(self: Tensor) -> Any:
        _chain(self).compute()
        return getattr(self, name)

    def put(self: Tensor, value: Any) -> None:
        _chain(self).compute()
        setattr(self, name, value)

    return property(get, put)


class Deferred(Tensor):
    """A Tensor that is not computed yet; afterwards it is like any other. Its Chain is in place of its data."""

    __slots__ = ()
    _counter, _data, _node, _requires_grad = map(_computed, _slots)

    def __reduce_ex__(self, protocol: Any) -> Any:
        _chain(self).compute()
        return self.__reduce_ex__(protocol)


def _deferred(chain: Chain) -> Tensor:
    tensor = object.__new__(Deferred)
    _slots["_data"].__set__(tensor, chain)
    tensor.grad = None
    return tensor


def _fill(tensor: Any, result: Tensor) -> None:
    """Make a Deferred the Tensor `result`."""
    tensor.__class__ = Tensor
    for name in _slots:
        setattr(tensor, name, getattr(result, name))
