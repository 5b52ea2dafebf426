"""The base class of Sequential, Residual and DenseBlock: a module made of named modules."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import validation

from . import table
from .attributes import entries
from .module import Module
from .named_arrays import NamedArrays


class Container(Module):
    """A module made of named modules, whose arrays are named `<module>.<array>`.

    names: other names for the parameters, in order
    """

    def __init__(self, children: Mapping[str, Module], names: Iterable[str] | None = None) -> None:
        super().__init__()
        _check_children(type(self).__name__, children)
        self._children = dict(children)
        held = {f"{name}.{key}": (child.params, key) for name, child in self._children.items() for key in child.params}
        self._names = _names(type(self).__name__, list(held), names)
        self._params = NamedArrays("params", {self._names[default]: entry for default, entry in held.items()})
        self._buffers = NamedArrays(
            "buffers",
            {f"{name}.{key}": (child.buffers, key) for name, child in self._children.items() for key in child.buffers},
        )

    @property
    def regularized(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the parameters that are penalized."""
        return tuple(
            self._names[f"{name}.{key}"] for name, child in self._children.items() for key in child._penalized()
        )

    def named_children(self) -> dict[str, Module]:
        return dict(self._children)

    def _tensors(self) -> dict[str, Any]:
        children = self._children.items()
        named = {f"{name}.{key}": one for name, child in children for key, one in child._tensors().items()}
        return {self._names[default]: one for default, one in named.items()}

    def __repr__(self) -> str:
        return table.text(self)

    def _cast(self, x: Any) -> np.ndarray:
        """Convert x to the dtype of the parameters."""
        dtype = next((value.dtype for value in self.params.values()), None)
        return arguments.real(type(self).__name__, "x", x, dtype)

    def _named(self, child: str, grads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rename the gradients of a child to the container's names."""
        return {self._names[f"{child}.{key}"]: gradient for key, gradient in grads.items()}


class Recorded(Module):
    """A module without `backward` as a layer with both passes: `backward` walks the tape that `forward` recorded."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self._module = module
        self._params, self._buffers = module.params, module.buffers
        self._names = list(module.params)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        if list(self._params) != self._names:
            raise RuntimeError(
                f"{type(self._module).__name__}: its parameters are {list(self._params)} now, in a container that was "
                f"made when they were {self._names}; expected no change; make the container after the change"
            )
        from . import recorded

        return recorded.forward(self._module, x, True)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._module(x)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        from . import recorded

        return recorded.backward(self._module, dout, cache, need_dx)

    def __repr__(self) -> str:
        return type(self._module).__name__


def explicit(layer: Module) -> Module:
    """The layer itself if it has both passes, else a layer with both passes that computes the same."""
    return Recorded(layer) if layer._is_recorded else layer


def run(function: Callable, x: np.ndarray, name: Any, layer: Module) -> Any:
    """Return function(x); add a note that names the layer to its errors."""
    try:
        return function(x)
    except (TypeError, ValueError) as error:
        text = type(layer).__name__ if isinstance(layer, Container) else repr(layer)
        error.add_note(f"raised by layer {name}, {text}, given x of shape {x.shape}")
        raise


def numbered(layers: Iterable[Module]) -> dict[str, Module]:
    """Name layers by their positions."""
    return {str(position): layer for position, layer in enumerate(layers)}


def _check_children(function: str, children: Mapping[str, Module]) -> None:
    seen: dict[int, str] = {}
    for name, layer in children.items():
        if not isinstance(layer, Module):
            raise TypeError(
                f"{function}: layer {name} is {validation.brief(layer)}; expected a Module; pass layers one by one, "
                f"with their parentheses: Sequential(Flatten(), Linear(12, 3))"
            )
        if (layer.params or layer.buffers) and seen.setdefault(id(layer), name) != name:
            raise ValueError(
                f"{function}: layer {name} is layer {seen[id(layer)]} again, {layer!r}; expected parameters and "
                f"buffers to occur once, since they would be updated twice; create a second layer"
            )
    held: dict[tuple[int, str], str] = {}
    for name, layer in children.items():
        for key, (store, inner) in entries(layer.params).items() if layer._is_recorded else ():
            former = held.setdefault((id(store), inner), f"{name}.{key}")
            if former != f"{name}.{key}":
                raise ValueError(
                    f"{function}: {name}.{key} is {former} again; expected each parameter to occur once, since it "
                    f"would be updated twice; make a Module of your own, whose attributes can share it"
                )


def _names(function: str, default: list[str], names: Iterable[str] | None) -> dict[str, str]:
    """Map the default names of the parameters to the given ones."""
    given = default if names is None else arguments.strings(function, "names", names)
    if len(given) != len(default) or len(set(given)) != len(given):
        raise ValueError(
            f"{function}: names={given} do not fit; expected {len(default)} different names, for {default}; "
            f"leave names out to get these"
        )
    return dict(zip(default, given, strict=True))
