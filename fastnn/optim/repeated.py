"""Updates of the same parameters in every step of training, without the checks that the last step made."""

import contextlib
import operator
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import active
from fastnn.kernels.updates import repeated, rules

from . import functions

_NOTHING = contextlib.nullcontext()
_NOWHERE: Mapping[str, Any] = {}


class Repeated:
    """`update`, called again and again with the same parameters, for a built-in rule on a backend that offers it.

    If anything but the values of arrays, gradients and hyperparameters differs from the last call, `update` runs and
    checks everything. The bits are those of `update`.
    """

    def __init__(self) -> None:
        self._plan: _Plan | None = None

    def __reduce__(self) -> tuple:
        return Repeated, ()  # a plan holds addresses, so a copy begins without one

    def __call__(self, rule: Callable, params: MutableMapping, grads: Mapping, configs: MutableMapping) -> None:
        if self._plan is None or not self._plan.updates(rule, params, grads, configs):
            self._plan = None
            functions.update(rule, params, grads, configs)
            self._plan = _plan(rule, params, configs)
        elif hasattr(params, "mark_changed"):
            params.mark_changed()


class _Plan:
    """An update of these arrays with these configs.

    All arrays own their memory, so no two of them overlap.
    """

    def __init__(self, rule: Callable, params: Mapping, configs: Mapping) -> None:
        record = rules.RULES[rule.__name__]
        self._rule, self._record, self._backend = rule, record, active.name()
        self._names = list(configs)
        self._w = [params[name] for name in configs]
        self._configs = [configs[name] for name in configs]
        self._states = [[config[key] for key in record.state] for config in self._configs]
        keys = [name for name in record.hyperparameters if name != "t"]
        self._hyperparameters = operator.itemgetter(*keys)
        self._counts = "t" in record.defaults
        self._length = len(record.defaults) + len(record.state)
        self._dtype = self._w[0].dtype
        self._owned = {id(array) for array in (*self._w, *(one for state in self._states for one in state))}
        self._rows = [
            (name, w, w.shape, config, tuple(zip(record.state, state, strict=True)))
            for name, w, config, state in zip(self._names, self._w, self._configs, self._states, strict=True)
        ]
        columns = [list(column) for column in zip(*self._states, strict=True)]
        self._step = repeated.repeated(rule.__name__, self._w, columns)
        self._last: tuple | None = None  # the hyperparameters of the last step
        self._table: np.ndarray | None = None  # the rule's constants in that step

    def is_possible(self) -> bool:
        count = len(self._owned)
        arrays = [*self._w, *(one for state in self._states for one in state)]
        return (
            self._step is not None
            and count == len(arrays)
            and all(_owns(one) and one.dtype is self._dtype for one in arrays)
            and all(len(config) == self._length for config in self._configs)
        )

    def updates(self, rule: Callable, params: Mapping, grads: Mapping, configs: Mapping) -> bool:
        """Update, unless the plan does not fit; return whether it did."""
        if rule is not self._rule or len(configs) != len(self._names) or active.name() != self._backend:
            return False
        dw: list[Any] = []
        dtype, owned, length = self._dtype, self._owned, self._length
        places: Mapping[str, tuple[Any, str]] = getattr(params, "places", _NOWHERE)
        for name, w, shape, config, states in self._rows:
            store, key = places.get(name, (params, name))
            held: Any = store.get(key)
            settings: Any = configs.get(name)
            if held is not w or settings is not config or len(config) != length or name not in grads:
                return False
            given: Any = grads[name]
            if type(given) is not np.ndarray or given.dtype is not dtype or given.shape != shape:
                return False
            flags, owner = given.flags, given.base
            owns = (
                flags.owndata and id(given) not in owned if owner is None else _owns(owner) and id(owner) not in owned
            )
            if not (owns and flags.carray and w.flags.carray):
                return False
            for key, state in states:
                if config.get(key) is not state or not state.flags.carray:
                    return False
            dw.append(given)
        numbers = self._numbers()
        if numbers is None or self._step is None:
            return False
        self._step(dw, numbers)
        if self._counts:
            for config in self._configs:
                config["t"] += 1
        return True

    def _numbers(self) -> np.ndarray | None:
        """The rule's constants for each parameter; None unless all configs have the same, valid hyperparameters."""
        first = self._configs[0]
        values = self._hyperparameters(first)
        for config in self._configs:
            if self._hyperparameters(config) != values:
                return None
        t = first["t"] if self._counts else 0
        if self._counts:
            if type(t) is not int or t < 1:
                return None
            for config in self._configs:
                if config["t"] != t:
                    return None
        unchanged = self._last is not None and all(map(operator.is_, values, self._last))
        if self._table is None or self._counts or not unchanged:
            given = (t + 1, *values) if self._counts else values
            if not unchanged:
                for key, value in zip(self._record.hyperparameters, given, strict=True):
                    if type(value) not in (int, float) or not _is_within(value, **rules.LIMITS[key]):
                        return None
            row = self._record.constants(*given)
            if self._table is None:
                self._table = np.empty((len(self._w), len(row)), self._dtype)
            with _NOTHING if _are_normal(row) else np.errstate(all="ignore"):
                self._table[...] = row
            self._last = values
        return self._table


def _plan(rule: Any, params: Mapping, configs: Mapping) -> _Plan | None:
    """The plan for further updates, after `update` has checked and completed everything; None if there is none."""
    is_built_in = rule in functions.RULES.values() and configs
    if not is_built_in or not all(type(params[name]) is np.ndarray for name in configs):
        return None
    plan = _Plan(rule, params, configs)
    return plan if plan.is_possible() else None


def _owns(array: Any) -> bool:
    return type(array) is np.ndarray and array.base is None and array.flags.owndata


def _is_within(value: float, minimum: float = -np.inf, above: float = -np.inf, below: float = np.inf) -> bool:
    return minimum <= value < below and above < value < np.inf


def _are_normal(numbers: tuple[float, ...]) -> bool:
    """Whether the numbers can be converted to float32 without overflow or underflow."""
    for number in numbers:  # noqa: SIM110 (a generator takes longer)
        if number and not 1e-37 < abs(number) < 1e38:
            return False
    return True
