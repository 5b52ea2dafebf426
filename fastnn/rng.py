"""Sources of random numbers.

With seed=None, everything draws from NumPy's global state, so that `np.random.seed(231)` makes a notebook
reproducible; an int or a `np.random.Generator` makes an object independent of that state.
"""

from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation


class _GlobalState:
    """NumPy's global random state, with the functions of `np.random` as methods.

    Unlike the module, it can be copied and pickled; every copy is the same object.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(np.random, name)

    def __reduce__(self) -> str:
        return "GLOBAL"  # its name in this module

    def __repr__(self) -> str:
        return "NumPy's global random state"


GLOBAL = _GlobalState()


@signatures.checked
def generator(seed: Any = None) -> Any:
    """Return the source of random numbers for a seed.

    seed: None, a non-negative int, or a `np.random.Generator`, which is returned as it is, as is a result of this
        function
    Returns an object with the methods that `np.random` and `np.random.Generator` share (`normal`, `uniform`, `choice`,
    `permutation`, ...): a Generator, or NumPy's global state for None.
    Raises TypeError or ValueError for any other seed.
    """
    if seed is None or seed is GLOBAL or seed is np.random:
        return GLOBAL
    if isinstance(seed, np.random.Generator):
        return seed
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise TypeError(
            f"generator: seed={seed!r} is not a seed; expected None, an int or a np.random.Generator; pass one of these"
        )
    return np.random.default_rng(validation.integer("generator", "seed", seed, minimum=0))


@signatures.checked
def get_state(source: Any) -> dict:
    """Return a copy of the state of a source of random numbers, as a dict of plain values and arrays.

    source: from `generator`
    """
    _check_source("get_state", source)
    return source.get_state(legacy=False) if _is_global(source) else source.bit_generator.state


@signatures.checked
def set_state(source: Any, state: dict) -> None:
    """Restore a source of random numbers to a state.

    source: from `generator`
    state: from `get_state`
    Raises ValueError if the state is from another kind of generator.
    """
    _check_source("set_state", source)
    arguments.mapping("set_state", "state", state, "the parts of a state")
    kind = get_state(source)["bit_generator"]
    is_global = "has_gauss" in state
    if state.get("bit_generator") != kind or is_global != _is_global(source):
        origin = "NumPy's global state" if is_global else f"a {state.get('bit_generator')} generator"
        raise ValueError(
            f"set_state: state is from {origin}, not from {'seed=None' if _is_global(source) else kind}; expected the "
            f"kind of seed it was saved with; pass seed=None for the global state, else the same seed"
        )
    if _is_global(source):
        np.random.set_state(state)
    else:
        source.bit_generator.state = state


def _is_global(source: Any) -> bool:
    return source is GLOBAL or source is np.random


def _check_source(function: str, source: Any) -> None:
    if not _is_global(source) and not isinstance(source, np.random.Generator):
        raise TypeError(
            f"{function}: source={validation.brief(source)} is not a source of random numbers; expected what "
            f"`generator` returns; pass generator(seed)"
        )
