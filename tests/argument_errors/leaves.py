"""Find the numbers and arrays inside the arguments of a valid call, and call it with one of them changed."""

import re

import numpy as np

from .kinds import untouched


def paths(value, is_leaf, path=()):
    """Yield the paths, tuples of keys, of the values in dicts, lists and tuples for which `is_leaf` is true."""
    if is_leaf(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, is_leaf, (*path, key))
    elif isinstance(value, (list, tuple)):
        for key, inner in enumerate(value):
            yield from paths(inner, is_leaf, (*path, key))


def changed(value, path, change):
    """Return the value with `change(leaf)` instead of the leaf at a path."""
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: changed(value[key], rest, change)}
    return type(value)(changed(inner, rest, change) if at == key else inner for at, inner in enumerate(value))


def cases(table, is_leaf, skipped):
    """Return (name of the call, path) for every leaf in a table of calls, except where `skipped` returns True."""
    for name, call in table.items():
        for path in paths({key: fed.good for key, fed in call.arguments.items()}, is_leaf):
            if not skipped(name, path):
                yield name, path


def called(call, path=None, change=None):
    """Return a snapshot of the result and side effects of a call, and the leaf that was passed."""
    values, leaf = call.values(), []

    def noted(value):
        leaf.append(change(value))
        return leaf[0]

    if path is not None:
        values = changed(values, path, noted)
    np.random.seed(0)
    function = call.make()
    result = as_arrays(function(**values))
    return lambda: without_addresses((untouched(result), untouched(getattr(function, "__self__", None)))), *leaf


def as_arrays(value):
    """Return a result with arrays of other packages converted to NumPy; a tensor without axes is a number."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(as_arrays, value)) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {name: as_arrays(inner) for name, inner in value.items()}
    if type(value).__module__ == "torch" and hasattr(value, "numpy"):
        return value.numpy() if value.ndim else value.item()
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value) if hasattr(value, "__array__") and not isinstance(value, np.generic) else value


def without_addresses(picture):
    """Return the snapshot without memory addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(picture))
