"""Hierarchy: the base class of Module with what concerns modules inside modules, and their attributes."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

from .attributes import Held, own, structure


class Fusion(NamedTuple):
    """Which layers may be computed by one kernel; `fused` knows.

    begins: whether a kernel begins with some layers
    combined: the one layer that computes some layers, of which `begins` is true, or None
    follows: whether an affine layer follows affine layers
    affine: makes the AffineChain of all layers of a network
    """

    begins: Callable[[Sequence[Any]], bool]
    combined: Callable[[Sequence[Any]], Any]
    follows: Callable[[Sequence[Any], Any], bool]
    affine: Callable[..., Any]


class Hierarchy:
    """The modules inside a module, and its Parameters.

    regularized: names of the parameters that are penalized as weights
    transposed: names of the parameters whose torch layout is the transpose
    """

    regularized: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    params: MutableMapping[str, Any]
    buffers: MutableMapping[str, Any]
    _params: MutableMapping[str, Any]
    _buffers: MutableMapping[str, Any]
    _fusion: Fusion
    _is_recorded = False  # whether the class defines no `backward`, so that the tape differentiates `forward`

    def __getattr__(self, name: str) -> Any:
        """The Parameter or Buffer of a layer with that name, such as `conv.weight`."""
        if not name.startswith("_") and not self._is_recorded:
            if name in self._own("params"):
                return self._own_tensors()[name]
            if name in self._own("buffers"):
                from .parameter import Buffer, bound

                return bound(Buffer, self._buffers, name, requires_grad=False)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def named_children(self) -> dict[str, Any]:
        """The modules directly inside this one, by name."""
        if self._is_recorded:
            return {name: value for name, value in vars(self).items() if isinstance(value, Hierarchy)}
        return {}

    def children(self) -> tuple[Any, ...]:
        """The modules directly inside this one."""
        return tuple(self.named_children().values())

    def named_modules(self) -> Iterator[tuple[str, "Hierarchy"]]:
        """Generate this module, under the name "", and all those inside it, each once, as "2.conv"."""
        yield from _named_modules(self, "", set())

    def modules(self) -> Iterator["Hierarchy"]:
        """Generate this module and all those inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Generate the names in `state_dict` and the Parameters, each once.

        Their data are the arrays in `params`, in this layout: the weight of Linear is (in, out).
        """
        seen = set()
        for name, module in self.named_modules():
            for key, one in module._own_tensors().items():
                if one not in seen:
                    seen.add(one)
                    yield f"{name}.{key}" if name else key, one

    def parameters(self) -> Iterator[Any]:
        """Generate all Parameters, each once, such as for `fastnn.optim.SGD(model.parameters())`."""
        return (one for _, one in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all Parameters."""
        for one in self.parameters():
            one.zero_grad()

    def _tensors(self) -> dict[str, Any]:
        """The Parameters by the names of `params`, as `autograd.apply` takes them."""
        return self._params.tensors if self._is_recorded else self._own_tensors()  # type: ignore[attr-defined]

    def _penalized(self) -> tuple[str, ...]:
        """The names of all parameters that are penalized, also of those inside modules in attributes."""
        if not self._is_recorded:
            return self.regularized
        inside = [f"{name}.{key}" for name, child in self.named_children().items() for key in child._penalized()]
        return tuple(name for name in (*self.regularized, *inside) if name in self._params)

    def _own(self, kind: str) -> dict[str, tuple[MutableMapping[str, Any], str]]:
        """The dicts and keys of the arrays of this module itself, by name."""
        if self._is_recorded:
            return {name: (one._store, one._key) for name, one in own(self, kind).items()}
        values = self._params if kind == "params" else self._buffers
        return {} if self.named_children() else {key: (values, key) for key in values}

    def _own_tensors(self) -> dict[str, Any]:
        """The Parameters of this module itself, by name."""
        if self._is_recorded:
            return own(self, "params")
        kept = vars(self).setdefault("_bound", {})
        if kept and kept.keys() == self._params.keys():
            return kept
        for name, (values, key) in self._own("params").items():
            if name not in kept:
                from .parameter import parameter

                kept[name] = parameter(values, key, is_transposed=name in self.transposed)
        return kept


def _named_modules(module: Hierarchy, prefix: str, seen: set[int]) -> Iterator[tuple[str, Hierarchy]]:
    if id(module) not in seen:
        seen.add(id(module))
        yield prefix, module
        for name, child in module.named_children().items():
            yield from _named_modules(child, f"{prefix}.{name}" if prefix else name, seen)


def set_attribute(module: Hierarchy, name: str, value: Any) -> None:
    """Set an attribute of a module without `backward`; Modules, Parameters and Buffers in it belong to the module."""
    former = vars(module).get(name)
    if isinstance(value, (Hierarchy, Held)):
        kind = type(module).__name__
        if "_buffers" not in vars(module):
            raise AttributeError(
                f"{kind}: {name}={type(value).__name__} is assigned before Module.__init__ was called; expected "
                f"super().__init__() first; make it the first line of {kind}.__init__"
            )
        if hasattr(type(module), name):
            raise ValueError(
                f"{kind}: {name}={type(value).__name__} would hide {kind}.{name}; expected a name that the class does "
                f"not use; choose another one, such as {name}_"
            )
    elif isinstance(former, Held) and hasattr(value, "grad_fn"):
        if former.kind == "params":
            raise TypeError(
                f"{type(module).__name__}: {name} is a Parameter, and would be replaced by a Tensor of shape "
                f"{value.shape}; expected another Parameter; assign to {name}.data, or choose another name"
            )
        former.data = value.data  # type: ignore[attr-defined]
        former.mark_changed()  # type: ignore[attr-defined]
        return
    object.__setattr__(module, name, value)
    if isinstance(value, (Hierarchy, Held)) or isinstance(former, (Hierarchy, Held)):
        structure[0] += 1


def delete_attribute(module: Hierarchy, name: str) -> None:
    """Delete an attribute of a module without `backward`."""
    object.__delattr__(module, name)
    structure[0] += 1
