"""The backend switch: which of the four variants of an operation runs.

    FASTNN_BACKEND=vectorized python script.py      # for a process
    fastnn.set_backend("naive")                     # from here on
    with fastnn.use_backend("njit"): ...            # inside the block, in this thread; also a decorator

Precedence: `use_backend`, `set_backend`, the environment variable (read at first use, not at import), "njit".
`"auto"` chooses cuda if there is a GPU, else njit; it never chooses the simulated GPU.
Nothing falls back silently: a backend that cannot run here raises BackendUnavailable, an operation without kernels for
the backend raises NotImplementedError, arguments that they do not support its subclass Unsupported. Results do not
depend on NumPy's error state: compiled code ignores it, and `_Quiet` sets it to "ignore" for the other variants. Other
packages may add backends (see `plugins`); their entry points are read only when an unknown name or the list of all
backends is asked for.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import active, interrupts, plugins, signatures, validation

BACKENDS = ("naive", "vectorized", "njit", "cuda")
CHOICES = (*BACKENDS, "auto")
DEFAULT = "njit"
_COMPILED = ("njit", "cuda")  # not wrapped in `_Quiet`, since setting the error state takes a microsecond
VARIABLE = "FASTNN_BACKEND"
_KERNELS = __package__.rpartition(".")[0]


class BackendUnavailable(RuntimeError):
    """Raised for a known backend that cannot run on this machine; the message says why and what to install."""


class Backend(NamedTuple):
    """An entry of `backends()`."""

    name: str
    available: bool
    reason: str  # why it cannot run here; empty if it can
    remedy: str  # how to make it available; empty if it is
    device: str = ""  # the device it runs on; empty for the CPU


def get_backend() -> str:
    """Return the name of the active backend: 'naive', 'vectorized', 'njit', 'cuda' or a plugin's, never 'auto'."""
    return active.name()


@active.resolved_by
def _from_environment() -> str:
    asked = os.environ.get(VARIABLE)
    found = _resolve(asked or DEFAULT, f"the environment variable {VARIABLE}" if asked else "the default")
    active.chosen = active.chosen or found  # another thread may have called set_backend meanwhile
    return active.chosen


@signatures.checked
def set_backend(name: str) -> None:
    """Set the backend of the whole process.

    name: 'naive', 'vectorized', 'njit', 'cuda', a plugin's, or 'auto', which is 'cuda' if there is a GPU, else 'njit'
    Raises ValueError for an unknown name and BackendUnavailable for one that cannot run here; the active backend then
    does not change.
    """
    active.chosen = _resolve(name, "set_backend")


@signatures.checked
@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Set the backend inside a `with` block or a decorated function, for this thread only.

    name: as of `set_backend`
    Raises the same errors as `set_backend`.
    """
    token = active.scoped.set(_resolve(name, "use_backend"))
    try:
        yield
    finally:
        active.scoped.reset(token)


def backends() -> list[Backend]:
    """Return all backends, built-in ones first: name, available, reason, remedy, device."""
    found = ((name, _reason(name)) for name in (*BACKENDS, *_offered()))
    return [Backend(name, False, *why) if why else Backend(name, True, "", "", _device(name)) for name, why in found]


def _resolve(name: str, origin: str) -> str:
    if not isinstance(name, str) or name not in CHOICES:
        validation.choice(origin, "backend", name, (*CHOICES, *_offered()))
    if name == "auto":
        name = "cuda" if _has_gpu() else DEFAULT
    if found := _reason(name):
        reason, remedy = found
        error = BackendUnavailable(f"{origin}: backend={name!r} cannot run here: {reason}; {remedy}")
        raise error from _import_error(name)
    if name == "cuda":
        importlib.import_module(f"{_KERNELS}.gpu.device").register()
    return name


@functools.cache
def _import_error(name: str) -> ImportError | None:
    """Return the error of importing the backend's compiler, or None."""
    try:
        if name in ("njit", "cuda"):
            with interrupts.delayed():
                importlib.import_module("numba")
    except ImportError as error:
        return error
    return None


@functools.cache
def _reason(name: str) -> tuple[str, str] | None:
    """Return why the backend cannot run here and the remedy, or None if it can."""
    if error := _import_error(name):
        return f"importing numba failed ({error})", "install it with: pip install numba"
    if name == "cuda":
        from ..gpu import availability

        return availability.reason()
    if name not in BACKENDS:
        return plugins.reason(name, _offered()[name])
    if not _has_variant("conv2d", name):
        return f"this version has no {name} kernels", "use one of the other backends"
    return None


def _offered() -> dict[str, tuple]:
    """Return the entry points of plugin backends."""
    return plugins.offered(CHOICES)


def _device(name: str) -> str:
    """Return the device of an available backend; empty for the CPU."""
    if name != "cuda":
        return "" if name in BACKENDS else f"another package: {_offered()[name][0].value}"
    from ..gpu import availability

    return availability.device()


def _has_gpu() -> bool:
    """Whether kernels can run on a real GPU here."""
    if _reason("cuda"):
        return False
    from ..gpu import availability

    return not availability.SIMULATED


def _has_variant(operation: str, backend: str) -> bool:
    return importlib.util.find_spec(f"{_KERNELS}.{operation}.{backend}") is not None


def operation(package: str) -> Callable[[], Any]:
    """Return a function that returns the active backend's variant of an operation, given the operation's package."""
    loaded: dict[str, Any] = {}

    def variant() -> Any:
        backend = active.scoped.get() or active.chosen or active.name()
        if backend not in loaded:
            loaded[backend] = _load(package, backend)
        return loaded[backend]

    return variant


class _Quiet:
    """The functions of a variant, called with NumPy's error state "ignore"."""

    def __init__(self, functions: Any):
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        @signatures.quiet
        def function(*arguments: Any) -> Any:
            return getattr(self._functions, name)(*arguments)

        setattr(self, name, function)
        return function


def _load(package: str, backend: str) -> Any:
    name = package.rpartition(".")[2]
    if backend not in BACKENDS and (functions := plugins.variant(_offered()[backend][0], name)) is not None:
        return _Quiet(plugins.Functions(name, backend, functions))
    if not _has_variant(name, backend):
        others = [repr(other) for other in BACKENDS if _has_variant(name, other)]
        raise NotImplementedError(
            f"{name}: backend={backend!r} has no kernels for this operation; expected {' or '.join(others)}, and "
            f"nothing falls back to another one; call it under use_backend({others[-1]})"
        )
    with interrupts.delayed():
        module = importlib.import_module(f"{package}.{backend}")
    return module if backend in _COMPILED else _Quiet(module)
