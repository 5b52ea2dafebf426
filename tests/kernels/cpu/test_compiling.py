"""The line on the terminal while kernels compile; other packages compile undisturbed."""

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

compiling = pytest.importorskip("fastnn.kernels.cpu.compiling", reason="the backend njit needs numba")
numba = pytest.importorskip("numba")
event = pytest.importorskip("numba.core.event")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")

START = """
    import numpy as np
    from fastnn.kernels import activations, use_backend
    x = np.arange(-2.0, 3.0, dtype=np.float32)
    def relu():
        with use_backend("njit"):
            return activations.relu_forward(x).tolist() == [0, 0, 0, 1, 2]
"""


def run(code, stderr=subprocess.PIPE, cwd=Path(__file__).parent, **environment):
    """Run code in a new process; return its stdout and its piped stderr."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FASTNN_", "NUMBA_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(START) + textwrap.dedent(code)],
        env=kept | {key: str(value) for key, value in environment.items()},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


COUNT = "from fastnn.kernels.cpu import compiling; print(relu(), compiling.compiled())"


# ---- the line on a terminal ----


def on_a_terminal(code, **environment):
    """Run code with a terminal as stderr; return its stdout and everything written to stderr."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    reading, writing = pty.openpty()
    printed, _ = run(code, writing, **environment)
    os.close(writing)
    written = b""
    with contextlib.suppress(OSError):  # at the end
        while chunk := os.read(reading, 1 << 16):
            written += chunk
    os.close(reading)
    return printed, written.decode()


def test_a_terminal_shows_that_kernels_compile_and_nothing_once_they_are_cached(tmp_path):
    line = compiling.ANNOUNCEMENT
    assert line.startswith("compiling kernels, first run only")
    assert on_a_terminal(COUNT, NUMBA_CACHE_DIR=tmp_path) == (["True", "1"], line + "\b \b" * len(line))
    assert on_a_terminal(COUNT, NUMBA_CACHE_DIR=tmp_path) == (["True", "0"], "")


def test_nothing_is_written_if_stderr_is_not_a_terminal(tmp_path):
    assert run(COUNT, NUMBA_CACHE_DIR=tmp_path) == (["True", "1"], "")


class Terminal:
    """A fake stderr."""

    def __init__(self, error=None):
        self.text, self.error = "", error

    def isatty(self):
        if self.error:
            raise self.error
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@compiling.serial
def _add_one(x):
    return x + 1


@compiling.serial
def _add_two(x):
    return _add_one(_add_one(x))


@compiling.serial
def _cannot_be_compiled(x):
    return x.nothing


@pytest.fixture
def own_kernels(monkeypatch):
    """Treat the kernels of this file as kernels of the package, not yet compiled."""
    monkeypatch.setattr(compiling, "_is_own", lambda event: event.data["dispatcher"].py_func.__module__ == __name__)
    for kernel in (_add_one, _add_two):
        kernel._reset_overloads()
        kernel._cache.flush()


def test_one_line_for_a_kernel_and_those_that_it_calls(own_kernels, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    before = compiling.compiled()
    assert _add_two(1.5) == 3.5
    assert compiling.compiled() == before + 2
    assert terminal.text == compiling.ANNOUNCEMENT + "\b \b" * len(compiling.ANNOUNCEMENT)
    assert _add_two(2.5) == 4.5
    assert compiling.compiled() == before + 2


def test_the_line_goes_when_a_kernel_cannot_be_compiled(own_kernels, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(Exception, match="nothing"):
        _cannot_be_compiled(1)
    assert terminal.text == compiling.ANNOUNCEMENT + "\b \b" * len(compiling.ANNOUNCEMENT)


@pytest.mark.parametrize(
    "stderr", [None, Terminal(ValueError("closed")), Terminal(OSError("gone")), Terminal(RuntimeError("strange"))]
)
def test_a_process_without_stderr_compiles_too(own_kernels, monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    assert _add_two(1.5) == 3.5


# ---- kernels of other packages ----


def made_by_exec(globals):
    """A function made by exec, as by SymPy's `lambdify`, which may have no module."""
    exec("def double(x):\n    return 2 * x", globals)
    return globals["double"]


def without_module():
    function = made_by_exec({"__name__": __name__})
    function.__module__ = None
    return function


def record():
    @numba.experimental.jitclass([("x", numba.float64)])
    class Record:
        def __init__(self, x):
            self.x = 2 * x

    return lambda x: Record(x).x


OTHERS = {
    "a function without a module": lambda: numba.njit(made_by_exec({})),
    "a function whose module is None": lambda: numba.njit(without_module()),
    "a lambda": lambda: numba.njit(lambda x: 2 * x),
    "object mode": lambda: numba.jit(forceobj=True)(made_by_exec({})),
    "vectorize": lambda: numba.vectorize(made_by_exec({})),
    "vectorize with types": lambda: numba.vectorize(["float64(float64)"])(made_by_exec({})),
    "cfunc": lambda: numba.cfunc("float64(float64)")(made_by_exec({})).ctypes,
    "jitclass": record,
    "a signature": lambda: numba.njit("float64(float64)")(made_by_exec({})),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_packages_compile_without_announcement(monkeypatch, make):
    terminal, before = Terminal(), compiling.compiled()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert make()(3.0) == 6.0
    assert (terminal.text, compiling.compiled()) == ("", before)


class Hostile:
    """Every attribute access raises."""

    def __getattr__(self, name):
        raise RuntimeError(name)


DATA = {
    "None": None,
    "no dispatcher": {},
    "a dispatcher that is None": {"dispatcher": None},
    "a dispatcher of another kind": {"dispatcher": object()},
    "a dispatcher that raises": {"dispatcher": Hostile()},
    "a function that raises": {"dispatcher": SimpleNamespace(py_func=Hostile())},
    "a module that is not a string": {"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=3))},
    "a module that raises": {"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=Hostile()))},
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("send", [event.start_event, event.end_event])
def test_a_listener_never_raises(data, send):
    before = compiling.compiled()
    send("numba:compile", data)
    assert compiling.compiled() == before
