"""Parameter and Buffer: Tensors whose array is an entry of a dict, which a module can hold as well."""

from collections.abc import MutableMapping
from typing import Any, TypeVar

from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import signatures, validation

from .attributes import Held

S = TypeVar("S", bound="Stored")


class Stored(Held, Tensor):
    """A leaf whose data are `store[key]`, so that a module that replaces the array replaces the data as well."""

    __slots__ = ("_key", "_store")
    _key: str
    _store: MutableMapping[str, Any]

    def _get(self) -> Any:
        return self._store[self._key]

    def _set(self, array: Any) -> None:
        self._store[self._key] = array

    _data = property(_get, _set)

    def __init__(self, data: Any, requires_grad: bool) -> None:
        self._store, self._key = {}, "data"
        super().__init__(data, requires_grad)

    def __reduce__(self) -> Any:
        return bound, (type(self), self._store, self._key, self.requires_grad)


class Parameter(Stored):
    """A Tensor that a module trains, once it is an attribute of the module.

    data: an array or a Tensor of floats, used without a copy if it is in the memory of the active backend
    """

    __slots__ = ("is_transposed",)
    kind = "params"
    is_transposed: bool  # whether it is a matrix (in, out), as Linear's weight is, not (out, in) as in torch

    @signatures.checked
    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)
        self.is_transposed = False

    def __reduce__(self) -> Any:
        return parameter, (self._store, self._key, self.requires_grad, self.is_transposed)


class Buffer(Stored):
    """A Tensor that a module keeps but does not train, once it is an attribute of the module.

    persistent: whether `state_dict` contains it
    A Tensor that is assigned to the attribute later becomes the new data of the Buffer.
    """

    __slots__ = ("persistent",)
    kind = "buffers"

    @signatures.checked
    def __init__(self, data: Any, persistent: bool = True) -> None:
        super().__init__(data, False)
        self.persistent = validation.flag("Buffer", "persistent", persistent)

    def __reduce__(self) -> Any:
        return _buffer, (self._store, self._key, self.persistent)


def bound(kind: type[S], store: MutableMapping[str, Any], key: str, requires_grad: bool = True) -> S:
    """Make the Tensor of an array in a dict; a Buffer is persistent."""
    tensor: Any = object.__new__(kind)
    tensor._store, tensor._key = store, key
    if kind is Buffer:
        tensor.persistent = True
    tensor.grad, tensor._node, tensor._counter, tensor._requires_grad = None, None, [0], requires_grad
    return tensor


def parameter(
    store: MutableMapping[str, Any], key: str, requires_grad: bool = True, is_transposed: bool = False
) -> Parameter:
    """Make the Parameter of an array in a dict."""
    made = bound(Parameter, store, key, requires_grad)
    made.is_transposed = is_transposed
    return made


def _buffer(store: MutableMapping[str, Any], key: str, persistent: bool) -> Buffer:
    buffer = bound(Buffer, store, key, requires_grad=False)
    buffer.persistent = persistent
    return buffer
