"""For each kind of parameter, a valid value and values for which every function must raise."""

import copy
from typing import Any, NamedTuple

import numpy as np


class Fed(NamedTuple):
    """A valid value of a parameter, and invalid ones."""

    good: Any
    bad: list


class Call:
    """A valid call: `make()` returns the callable, and each argument is a Fed."""

    def __init__(self, make, /, **arguments):
        self.make, self.arguments = make, arguments

    def values(self):
        return {name: copy.deepcopy(fed.good) for name, fed in self.arguments.items()}


class Nothing:
    """An object of an unsupported type; copies return the object itself."""

    def __repr__(self):
        return "Nothing()"

    def __deepcopy__(self, memo):
        return self


NOTHING = Nothing()
RAGGED = [[1.0, 2.0], [3.0]]


def array(good, any_rank=False, wide=(), none=False):
    """An array of numbers. any_rank: any number of axes is valid; wide: further valid dtypes."""
    bad: list = ["a", NOTHING, {}, RAGGED, good.astype(complex), good.astype(str), good.astype(object)]
    bad += [np.zeros(good.shape, "M8[s]")] if good.dtype.kind == "f" else []
    bad += [np.zeros(good.shape, np.float16)] if good.dtype.kind == "f" and np.float16 not in wide else []
    bad += [] if none else [None]
    if not any_rank:
        bad += [good[None], np.stack([good, good], axis=-1), 3.0]
        bad += [good[0]] if good.ndim > 1 else []
    return Fed(good, bad)


def labels(good, classes):
    bad = [None, "a", NOTHING, {}, good.astype(float), good + 0.5, good.astype(str), good.astype(object)]
    return Fed(good, [*bad, good[:-1], good[None], good + classes, good - classes, np.append(good, 0)])


def integer(good, least=None, none=False):
    bad = ["a", NOTHING, {}, [1], np.ones(2), 1.5, np.nan, np.inf, -np.inf, True, 2j]
    bad += [] if none else [None]
    return Fed(good, bad if least is None else [*bad, least - 1, -10])


def number(good, below=None, least=None, above=None, most=None, none=False):
    """A real number: `least` and `most` are valid, `above` and `below` are not."""
    bad = ["a", NOTHING, {}, [0.1], np.ones(2), np.nan, np.inf, -np.inf, True, 2j]
    bad += [] if none else [None]
    bad += [limit for limit in (above, below) if limit is not None]
    bad += [least - 0.5] if least is not None else []
    bad += [most + 0.5] if most is not None else []
    return Fed(good, bad)


def pair(good, least, none=False):
    bad = ["2", NOTHING, {}, True, 1.5, np.nan, np.inf, 2j, least - 1, (1,), (1, 2, 3), (2, "a"), (2, least - 1)]
    return Fed(good, [*bad, [[1, 2], [3, 4]], np.ones(3), *([] if none else [None])])


def shape(good, least=1, scalar=False):
    """Lengths of axes. scalar: a single number is valid too."""
    lengths = [(*good[:-1], wrong) for wrong in (1.5, least - 1, "a", None, np.nan)]
    return Fed(good, [None, "abc", NOTHING, {}, (), 1.5, *lengths, *([] if scalar else [3])])


def flag(good=False):
    return Fed(good, ["yes", "", NOTHING, {}, 2, 0.5, np.ones(3), [], *([None])])


def choice(good, none=False, functions=False):
    """One of several words; an error suggests the nearest one."""
    bad = [3, NOTHING, {}, [good], True, Misspelt(good[:-1] + "q"), "quite another", np.ones(2), b"adam"]
    return Fed(good, [*bad, *([] if none else [None])])


class Misspelt(str):
    """A misspelt word, for which the error suggests the right one."""


def function(good, none=False):
    return Fed(good, [3, "a", {}, NOTHING, np.ones(2), *([] if none else [None])])


def seed(good=0):
    return Fed(good, ["a", -1, 1.5, True, NOTHING, {}, [1], np.ones(2), np.nan])


def dtype(good=np.float32):
    return Fed(good, ["float31", 3, NOTHING, {}, np.int64, np.float16, complex, bool, str, object, None])


def path(good, none=False):
    return Fed(good, [3, 1.5, NOTHING, {}, ["a"], np.ones(2), True, *([] if none else [None])])


def keys(none=False, **inner):
    """A dict whose values are Fed; `optional` keys may be missing. Every invalid value of every key is tried."""
    good = {name: fed.good for name, fed in inner.items()}
    bad: list = [3, "a", [], NOTHING, np.ones(2), {**good, Misspelt(next(iter(good))[:-1] + "q"): 1}]
    bad += [{**good, name: value} for name, fed in inner.items() for value in fed.bad]
    return Fed(good, bad + ([] if none else [None]))


def required(fed):
    """A dict in which every key is required."""
    lacking = [{key: value for key, value in fed.good.items() if key != gone} for gone in fed.good]
    return Fed(fed.good, [*fed.bad, *lacking])


def cache(good):
    """The result of a forward pass."""
    bad = [None, 3, "a", "abc", NOTHING, {}, (), (1,), (None,) * 11]
    return Fed(good, [*bad, good[:-1], (*good, 1)] if isinstance(good, tuple) else bad)


def texts(good):
    """A list of words."""
    return Fed(good, [None, 3, NOTHING, good[:-1], [*good, "one more"]])


def instance(good, none=False):
    """A model, a solver, or another object with attributes."""
    return Fed(good, [3, "a", NOTHING, [], 1.5, *([] if none else [None])])


def untouched(value, seen=None):
    """Return a snapshot of a value, to compare with later: the bytes of arrays, the contents of objects."""
    seen = set() if seen is None else seen
    if type(value).__module__ == "torch" and hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes() if value.dtype.kind not in "O" else repr(value)
    if isinstance(value, dict):
        return {name: untouched(inner, seen) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [untouched(inner, seen) for inner in value]
    if type(value).__module__.startswith(("fastnn", "training", "validation")) and hasattr(value, "__dict__"):
        if id(value) in seen:
            return "seen"
        seen.add(id(value))
        return type(value), {name: untouched(inner, seen) for name, inner in vars(value).items()}
    return value if isinstance(value, (str, int, bool, type(None))) else repr(value)
