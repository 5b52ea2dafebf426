"""Generation of trials: grids and random search."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import rng
from fastnn.kernels.dispatch import signatures, validation

Distribution = Callable[[Any], Any]  # draws a value from what `fastnn.rng.generator` returns


@signatures.checked
def grid(**choices: Iterable[Any]) -> list[dict[str, Any]]:
    """Return all combinations of values; the last name varies fastest.

        grid(learning_rate=[1e-3, 1e-2], reg=[0, 1e-2])  # 4 dicts, the first {"learning_rate": 0.001, "reg": 0}

    choices: the values to try of each hyperparameter
    Raises TypeError if the values are not a list, ValueError if it is empty.
    """
    values = [_values("grid", name, value) for name, value in choices.items()]
    return [dict(zip(choices, combination, strict=True)) for combination in itertools.product(*values)]


@signatures.checked
def random_search(count: int, seed: Any = None, **distributions: Distribution | Iterable[Any]) -> list[dict[str, Any]]:
    """Return `count` trials with independently drawn params.

        random_search(20, seed=0, learning_rate=log_uniform(1e-4, 1e-1), hidden_dim=[50, 100, 200])

    count: number of trials
    seed: see `fastnn.rng`; the same seed gives the same trials, and a larger count begins with those of a smaller one
    distributions: by name, a result of `log_uniform`, `uniform`, `integers` or `choice`, a list of values to choose
        from, or any function that draws a value from a NumPy generator
    Raises TypeError or ValueError for invalid arguments.
    Source: Bergstra & Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012).
    """
    count = validation.integer("random_search", "count", count, minimum=1)
    generator = rng.generator(seed)
    draws = {
        name: value if callable(value) else choice(_values("random_search", name, value))
        for name, value in distributions.items()
    }
    return [{name: draw(generator) for name, draw in draws.items()} for _ in range(count)]


@signatures.checked
def log_uniform(low: float, high: float) -> Distribution:
    """A log-uniform distribution on [low, high], rounded to 6 significant digits.

    low, high: 0 < low <= high
    """
    low, high = _limits("log_uniform", low, high, positive=True)

    def draw(generator: Any) -> float:
        # rounded since the last bits of exp differ between machines, and a ledger compares params exactly
        value = float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.6g}")
        return min(max(value, low), high)

    return draw


@signatures.checked
def uniform(low: float, high: float) -> Distribution:
    """A uniform distribution on [low, high].

    low, high: low <= high
    """
    low, high = _limits("uniform", low, high)
    return lambda generator: float(generator.uniform(low, high))


@signatures.checked
def integers(low: int, high: int, log: bool = False) -> Distribution:
    """The distribution of integers from low to high, inclusive, with equal probabilities.

    low, high: low <= high
    log: log-uniform instead, with low at least 1
    """
    log = validation.flag("integers", "log", log)
    low = validation.integer("integers", "low", low, minimum=1 if log else None)
    high = validation.integer("integers", "high", high, minimum=low)

    def draw(generator: Any) -> int:
        if log:
            value = math.exp(generator.uniform(math.log(low), math.log(high + 1)))
        else:
            value = generator.uniform(low, high + 1)
        return min(max(math.floor(value), low), high)

    return draw


@signatures.checked
def choice(values: Iterable[Any]) -> Distribution:
    """A choice from values with equal probabilities.

    values: a list or another iterable, not empty
    """
    given = _values("choice", "values", values)
    return lambda generator: given[min(int(generator.uniform(0, len(given))), len(given) - 1)]


def _limits(function: str, low: Any, high: Any, positive: bool = False) -> tuple[float, float]:
    low = validation.number(function, "low", low, above=0 if positive else None)
    return low, validation.number(function, "high", high, minimum=low)


def _values(function: str, name: str, value: Any) -> Sequence[Any]:
    """Convert values to a list, and arrays to lists of Python numbers."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise TypeError(f"{function}: {name}={value!r} is not a list of values; expected one; pass [{value!r}]")
    values = list(value)
    if not values:
        raise ValueError(
            f"{function}: {name}={values!r} is empty; expected at least one value; add one or leave it out"
        )
    return values
