"""The arrays in the attributes of modules that define only `forward`, as dicts."""

from collections.abc import MutableMapping
from typing import Any

from .named_arrays import NamedArrays

structure = [0]  # counts the changes of any module's attributes, after which the names of arrays are collected again


class Held:
    """Base of Parameter and Buffer; kind: "params" or "buffers", the dict of the module in which the array is."""

    __slots__ = ()
    kind: str


Entries = dict[str, tuple[MutableMapping[str, Any], str]]


class AttributeArrays(NamedArrays):
    """The parameters or buffers of a module and of those in its attributes; collected again after a change of these.

    tensors: the Parameters by name; none for buffers
    """

    def __init__(self, kind: str, module: Any) -> None:
        self._kind, self._module, self._at = kind, module, -1
        self._found: Entries = {}
        self._tensors: dict[str, Any] = {}

    @property
    def _entries(self) -> Entries:  # type: ignore[override]
        if self._at != structure[0]:
            at = structure[0]
            if self._kind == "params":
                self._tensors = _parameters(self._module)
                self._found = {name: (one._store, one._key) for name, one in self._tensors.items()}
            else:
                self._found = _buffers(self._module)
            self._at = at
        return self._found

    @property
    def tensors(self) -> dict[str, Any]:
        return self._tensors if self._entries else {}

    def mark_changed(self) -> None:
        """Say that the arrays were overwritten; see `Tensor.mark_changed`."""
        for one in self.tensors.values():
            one.mark_changed()


def own(module: Any, kind: str) -> dict[str, Any]:
    """The Parameters or Buffers in the attributes of a module."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Held) and value.kind == kind}


def _parameters(module: Any) -> dict[str, Any]:
    """The Parameters of a module and of those inside it, each under its first name."""
    found: dict[Any, str] = {}
    for name, one in own(module, "params").items():
        found.setdefault(one, name)
    for name, child in module.named_children().items():
        for key, one in child._tensors().items():
            found.setdefault(one, f"{name}.{key}")
    return {name: one for one, name in found.items()}


def _buffers(module: Any) -> Entries:
    """The entries of the buffers of a module and of those inside it, each under its first name."""
    found: Entries = {name: (one._store, one._key) for name, one in own(module, "buffers").items()}
    for name, child in module.named_children().items():
        found.update({f"{name}.{key}": entry for key, entry in entries(child.buffers).items()})
    names: dict[tuple[int, str], str] = {}
    for name, (store, key) in found.items():
        names.setdefault((id(store), key), name)
    return {name: found[name] for name in names.values()}


def entries(values: MutableMapping[str, Any]) -> Entries:
    """The dicts that hold the arrays of `values`, and their keys there."""
    if not isinstance(values, NamedArrays):
        return {key: (values, key) for key in values}
    found = {}
    for name, (store, key) in values._entries.items():
        found[name] = entries(store)[key] if isinstance(store, NamedArrays) else (store, key)
    return found
