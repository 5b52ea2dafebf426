"""The base class of Sequential, Residual and DenseBlock: a module made of named modules."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import validation

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
        entries = {
            f"{name}.{key}": (child.params, key) for name, child in self._children.items() for key in child.params
        }
        self._names = _names(type(self).__name__, list(entries), names)
        self._params = NamedArrays("params", {self._names[default]: entry for default, entry in entries.items()})
        self._buffers = NamedArrays(
            "buffers",
            {f"{name}.{key}": (child.buffers, key) for name, child in self._children.items() for key in child.buffers},
        )

    @property
    def regularized(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the parameters that are penalized."""
        return tuple(
            self._names[f"{name}.{key}"] for name, child in self._children.items() for key in child.regularized
        )

    def named_children(self) -> dict[str, Module]:
        return dict(self._children)

    def __repr__(self) -> str:
        rows = _table(self, "")
        width, shapes_width = (max((len(row[column]) for row in rows if row[2]), default=0) for column in (0, 1))
        count = f"{sum(value.size for value in self.params.values()):,}"
        lines = [
            f"{text:<{width}}    {shapes:<{shapes_width}}    {size:>{len(count)}}" if size else text
            for text, shapes, size in rows
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, f")  {count} parameters"])

    def _cast(self, x: Any) -> np.ndarray:
        """Convert x to the dtype of the parameters."""
        dtype = next((value.dtype for value in self.params.values()), None)
        return arguments.real(type(self).__name__, "x", x, dtype)

    def _named(self, child: str, grads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rename the gradients of a child to the container's names."""
        return {self._names[f"{child}.{key}"]: gradient for key, gradient in grads.items()}


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


def _names(function: str, default: list[str], names: Iterable[str] | None) -> dict[str, str]:
    """Map the default names of the parameters to the given ones."""
    given = default if names is None else arguments.strings(function, "names", names)
    if len(given) != len(default) or len(set(given)) != len(given):
        raise ValueError(
            f"{function}: names={given} do not fit; expected {len(default)} different names, for {default}; "
            f"leave names out to get these"
        )
    return dict(zip(default, given, strict=True))


def _table(container: Container, indent: str) -> list[tuple[str, str, str]]:
    """One row for each layer, at any depth: constructor, shapes of the parameters, their number."""
    rows = []
    inner = indent + "  "
    for name, child in container.named_children().items():
        if isinstance(child, Container):
            rows += [(f"{inner}({name}) {type(child).__name__}(", "", ""), *_table(child, inner), (f"{inner})", "", "")]
        else:
            shapes = ", ".join(f"{key} {value.shape}" for key, value in child.params.items())
            size = f"{sum(value.size for value in child.params.values()):,}" if child.params else ""
            rows.append((f"{inner}({name}) {child!r}", shapes, size))
    return rows
