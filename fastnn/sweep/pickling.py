"""The pickle of `run`, for workers; what cannot be pickled is named before anything starts."""

import functools
import pickle
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

_LARGEST = 2**20  # bytes: what is larger would cost time with each trial


def picklable(run: Callable, executor: Executor) -> bytes:
    """Pickle `run` for the workers of an executor; functions of notebooks travel to those of Dask alone.

    Raises TypeError that names the part which cannot be pickled, ValueError if the pickle is large.
    """
    is_of_dask = type(executor).__module__.partition(".")[0] == "distributed"
    dumps = sys.modules["cloudpickle"].dumps if is_of_dask else pickle.dumps
    try:
        pickled = dumps(run)
    except Exception as error:
        where, part = _culprit(run, "run", dumps, set())
        raise TypeError(
            f"sweep: {where} is a {type(part).__name__} that cannot be sent to a worker ({error}); expected a function "
            f"of a module, or an object made of what pickle knows; move it there, or make it inside the function"
        ) from error
    main = sys.modules["__main__"]
    if (
        not is_of_dask
        and b"__main__" in pickled
        and not hasattr(main, "__file__")
        and not getattr(main, "__spec__", None)
    ):
        raise TypeError(
            "sweep: run is defined in a notebook or an interactive session, which workers cannot import; expected "
            "a function of a module; write it into a file, such as with %%writefile trial.py, and import it"
        )
    if len(pickled) > _LARGEST:
        raise ValueError(
            f"sweep: run holds {len(pickled) / 2**20:.0f} MiB, which would be sent with every trial; expected a "
            f"function without its data, which each worker loads once; load them in the module of the function, which "
            f"workers import"
        )
    return pickled


def _culprit(value: Any, name: str, dumps: Callable, seen: set[int]) -> tuple[str, Any]:
    """The name and value of the innermost part that cannot be pickled."""
    seen.add(id(value))
    for inner_name, inner in _parts(value, name):
        if id(inner) in seen:
            continue
        try:
            dumps(inner)
        except Exception:
            return _culprit(inner, inner_name, dumps, seen)
    return name, value


def _parts(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, functools.partial):
        yield from ((f"{name}.func", value.func), (f"{name}.args", value.args), (f"{name}.keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield f"{name}.__self__", value.__self__
    elif isinstance(value, Mapping):
        yield from ((f"{name}[{key!r}]", inner) for key, inner in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{name}[{index}]", inner) for index, inner in enumerate(value))
    elif not isinstance(value, (type, types.ModuleType, types.FunctionType)):
        yield from ((f"{name}.{key}", inner) for key, inner in getattr(value, "__dict__", {}).items())
