"""Descriptions of networks, schedules and transforms as plain data, from which they are rebuilt.

    describe(nn.Linear(4, 3))    {"class": "Linear", "arguments": {"in_features": 4, "out_features": 3}}

A description holds the constructor and its arguments, but no arrays. Only the classes and functions in the tables below
are rebuilt; nothing is imported, looked up elsewhere or executed for a description.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation


class NotDescribed(ValueError):
    """Raised for an object that is not fastnn's own, such as a user's function; the message names it."""


@functools.cache
def _classes() -> dict[str, type]:
    from fastnn import augment, classifiers, nn, schedules

    public = [getattr(module, name) for module in (nn, classifiers) for name in module.__all__]
    networks = [one for one in public if isinstance(one, type) and issubclass(one, nn.Module) and one is not nn.Module]
    return {
        kind.__name__: kind
        for kind in (
            *(one for one in networks if not issubclass(one, (nn.ModuleDict, nn.ModuleList))),
            *(getattr(schedules, name) for name in schedules.__all__ if name != "Position"),
            augment.Augment,
        )
    }


@functools.cache
def _functions() -> dict[str, Callable]:
    from fastnn import layers, optim

    losses = {name: getattr(layers, name) for name in layers.__all__ if name.endswith("_loss")}
    return {**losses, **optim.RULES}


def describe(value: Any) -> Any:
    """Describe a value by numbers, strings, lists and dicts. Raises NotDescribed if that is impossible."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [describe(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if _classes().get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, "arguments": _arguments(value)}
    name = getattr(value, "__name__", "")
    if _functions().get(name) is value:
        return {"function": name}
    raise NotDescribed(called(value))


def called(value: Any) -> str:
    """A phrase that names a function or an object, for messages."""
    name = getattr(value, "__name__", "")
    return f"the function {name}" if name else f"an object of the class {type(value).__name__}"


def build(description: Any) -> Any:
    """Rebuild a value from its description.

    Raises NotDescribed for a name that is not fastnn's own, ValueError or TypeError for arguments that its class does
    not accept.
    """
    if isinstance(description, list):
        return [build(inner) for inner in description]
    if not isinstance(description, Mapping):
        return description
    if "function" in description:
        return _known("function", description["function"], _functions())
    kind = _known("class", description.get("class"), _classes())
    parameters = inspect.signature(kind).parameters
    given = validation.keys("build", kind.__name__, description.get("arguments"), optional=parameters)
    arguments = {name: build(value) for name, value in given.items()}
    several = next((name for name, one in parameters.items() if one.kind is one.VAR_POSITIONAL), None)
    return kind(*arguments.pop(several, ()), **arguments)


def describe_model(model: Any) -> dict[str, Any]:
    """Describe a network, including which of its layers are in eval mode."""
    return {**describe(model), "evaluating": [name for name, layer in _layers(model) if not layer._training]}


def build_model(description: Mapping[str, Any]) -> Any:
    """Rebuild a network, with initial values in its arrays. NumPy's global random state does not change."""
    random_state = np.random.get_state()
    try:
        model = build(description)
    finally:
        np.random.set_state(random_state)
    in_eval_mode = description.get("evaluating", ())
    for name, layer in _layers(model):
        layer._training = name not in in_eval_mode
    return model


def _arguments(value: Any) -> dict[str, Any]:
    """The arguments of the constructor; attributes of the same names take precedence, since they may have changed."""
    parameters = inspect.signature(type(value)).parameters
    positional, named = vars(value).get("_given", ((), {}))
    given = inspect.signature(type(value)).bind_partial(*positional, **named).arguments
    current = {**given, **{name: value for name, value in vars(value).items() if name in parameters}}
    return {name: describe(current[name]) for name in parameters if name in current}


def _layers(model: Any, name: str = "") -> list[tuple[str, Any]]:
    """The model, under the name "", and all modules inside it by name."""
    found = [(name, model)]
    for key, child in model.named_children().items():
        found += _layers(child, f"{name}.{key}" if name else key)
    return found


def _known(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    if not isinstance(name, str) or name not in table:
        raise NotDescribed(f"the {kind} {name}")
    return table[name]
