"""Calls of a student's functions: on copies of the arguments, for a limited time, with every exception reported."""

import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from fastnn.testing.conformance.compare import Missing

_LAST_SECOND = 1.0  # after which a function that catches TimeLimit ends the process


class TimeLimit(BaseException):
    """A function of the student has used its time. No Exception: it should not be caught by the student's code."""


class ForwardFailed(BaseException):
    """A backward pass cannot be judged, since its forward pass gives no cache."""


class Clock:
    """The time that the student's code may still take, in seconds of the processor where the system can count them."""

    def __init__(self, path: Path, limit: float) -> None:
        self._path, self._limit = path, limit
        self._left, self._expired, self._timed = limit, False, hasattr(signal, "setitimer")
        self.line: int | None = None

    def restart(self) -> None:
        self._left, self._expired, self.line = self._limit, False, None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Raise TimeLimit if the block and those before it take longer; the line of the file is in `line`."""
        if self._expired:
            raise TimeLimit
        if not self._timed:
            yield
            return
        signal.signal(signal.SIGPROF, self._expire)
        signal.setitimer(signal.ITIMER_PROF, max(self._left, 1e-3), _LAST_SECOND)
        try:
            yield
        finally:
            self._left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        if self._expired:
            raise TimeLimit

    def _expire(self, number: int, frame: FrameType | None) -> None:
        if not self._expired:
            while frame and frame.f_code.co_filename != str(self._path):
                frame = frame.f_back
            self._expired, self.line = True, frame and frame.f_lineno
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            raise TimeLimit


class Student:
    """The functions of a student's file.

    line: that of the last exception or time limit; modified: names of arguments that were written to
    failed: functions that are not called again, since they took too long or ended the process
    """

    def __init__(self, path: Path, limit: float) -> None:
        self.path, self.clock = path, Clock(path, limit)
        self.line: int | None = None
        self.modified: set[str] = set()
        self.failed: set[str] = set()
        self._module: ModuleType | None = None

    def restart(self) -> None:
        """Begin with the next function, and with its time."""
        self.clock.restart()
        self.modified.clear()
        self.line = None

    def load(self) -> None:
        """Import the file, as a module of its package if its folder is one. Raises what it raises."""
        with self.clock.running():
            try:
                self._module = _imported(self.path)
            except TimeLimit:
                raise
            except BaseException as error:
                self.line = _line_of(error, self.path)
                raise _ordinary(error) from error

    def find(self, name: str) -> Callable | None:
        """The student's function of that name; None if there is none, or only fastnn's own."""
        found = getattr(self._module, name, None)
        ours = str(getattr(found, "__module__", "")).partition(".")[0] == "fastnn"
        return found if callable(found) and not ours else None

    def own(self, name: str) -> Callable:
        """The function to be judged. It raises Missing if it is not implemented."""
        function = self.find(name)
        done = False

        def called(*arguments: Any) -> Any:
            nonlocal done
            if function is None:
                raise Missing(name)
            result = self._call(function, arguments)
            if not done and _is_nothing(result):
                raise Missing(name)
            done = True
            return result

        return called

    def forward(self, name: str) -> Callable:
        """The forward pass of the judged function. It raises ForwardFailed if it gives no cache."""
        function = self.find(name)

        def called(*arguments: Any) -> Any:
            if function is None:
                raise ForwardFailed(f"the file has no {name}")
            try:
                result = self._call(function, arguments)
                if result is None:
                    raise Missing(name)
            except Missing:
                raise ForwardFailed(f"{name} is not implemented") from None
            except TimeLimit:
                self.line = self.clock.line
                raise ForwardFailed(f"{name} takes longer than the time limit") from None
            except Exception as error:
                text = f"{name} raises {type(error).__name__}: {' '.join(str(error).split())[:300]}"
                raise ForwardFailed(text) from error
            if not (isinstance(result, (tuple, list)) and len(result) == 2):
                raise ForwardFailed(f"{name} returns {type(result).__name__}, not out and cache")
            return result

        return called

    def _call(self, function: Callable, arguments: tuple) -> Any:
        copies = [value.copy() if isinstance(value, np.ndarray) else value for value in arguments]
        with self.clock.running():
            try:
                result = function(*copies)
            except TimeLimit:
                raise
            except NotImplementedError as error:
                raise Missing(str(error)) from error
            except BaseException as error:
                self.line = _line_of(error, self.path)
                raise _ordinary(error) from error
        for position, (value, copy) in enumerate(zip(arguments, copies, strict=True)):
            if isinstance(value, np.ndarray) and not np.array_equal(value, copy, equal_nan=value.dtype.kind == "f"):
                self.modified.add(_parameter(function, position))
        return result


def _imported(path: Path) -> ModuleType:
    folder, package = path.parent, path.parent.name
    if not (folder / "__init__.py").exists():
        sys.path.append(str(folder))
        return _module(path.stem if path.stem not in sys.modules else f"student_{path.stem}", path)
    sys.path.append(str(folder.parent))
    _module(package, folder / "__init__.py", [str(folder)])
    return importlib.import_module(f"{package}.{path.stem}")


def _module(name: str, path: Path, locations: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_nothing(result: Any) -> bool:
    """Whether a function returns None for everything but its cache, as before it is written."""
    if not isinstance(result, (tuple, list)):
        return result is None
    return bool(result) and (result[0] is None if len(result) == 2 else all(value is None for value in result))


def _ordinary(error: BaseException) -> Exception:
    """An exception of the same name and message that is an Exception: sys.exit() is a finding like others."""
    return error if isinstance(error, Exception) else type(type(error).__name__, (Exception,), {})(*error.args)


def _line_of(error: BaseException, path: Path) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(path)]
    return lines[-1] if lines else None


def _parameter(function: Callable, position: int) -> str:
    code = getattr(function, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ()
    return names[position] if position < len(names) else f"number {position + 1}"


def limit_memory(size: int) -> None:
    """Let allocations beyond `size` bytes raise MemoryError, and files beyond an eighth OSError, where possible."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 8, size // 8))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def discard_output() -> int:
    """Discard what is printed, by C code too; return a file descriptor of the former stdout."""
    former = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return former
