"""How kernels are compiled: the line on a terminal, the cache on disk, and what happens without one."""

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastnn
from fastnn import kernels

compiling = pytest.importorskip("fastnn.kernels.compiling", reason="the backend njit needs numba")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the user's cache is elsewhere")

START = """
    import numpy as np
    from fastnn.kernels import activations, use_backend
    x = np.arange(-2.0, 3.0, dtype=np.float32)
    def relu():
        with use_backend("njit"):
            return activations.relu_forward(x).tolist() == [0, 0, 0, 1, 2]
"""


def run(code, stderr=subprocess.PIPE, cwd=Path(__file__).parent, **environment):
    """Run code in a new process; what it prints, and what it writes to a piped stderr."""
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


COUNT = "from fastnn.kernels import compiling; print(relu(), compiling.compiled())"


# ---- the line on a terminal ----


def on_a_terminal(code, **environment):
    """What the code prints, and all that it writes to stderr, a terminal."""
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


def test_nothing_is_written_where_stderr_is_no_terminal(tmp_path):
    assert run(COUNT, NUMBA_CACHE_DIR=tmp_path) == (["True", "1"], "")


class Terminal:
    """Stands in for stderr."""

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
    """The kernels of this file count as those of the package, and are not compiled yet."""
    monkeypatch.setattr(compiling, "_is_own", lambda event: event.data["dispatcher"].py_func.__module__ == __name__)
    for kernel in (_add_one, _add_two):
        kernel._cache.flush()
        kernel.recompile()
        kernel._reset_overloads()


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


@pytest.mark.parametrize("stderr", [None, Terminal(ValueError("closed")), Terminal(OSError("gone"))])
def test_a_process_without_stderr_compiles_too(own_kernels, monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    assert _add_two(1.5) == 3.5


def test_what_others_compile_is_not_announced(monkeypatch):
    import numba

    terminal, before = Terminal(), compiling.compiled()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert numba.njit(error_model="numpy")(lambda x: x * 2)(3) == 6
    assert (terminal.text, compiling.compiled()) == ("", before)


# ---- the cache ----


@pytest.fixture
def without_cache(tmp_path):
    """The environment of a process that finds no folder for machine code: files stand where the folders would be."""
    package = tmp_path / "fastnn"
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastnn.__file__).parent, package, ignore=hidden)
    shutil.copytree(Path(kernels.__file__).parent, package / "kernels", ignore=hidden, dirs_exist_ok=True)
    for folder in (package / "kernels").rglob("__init__.py"):
        (folder.parent / "__pycache__").touch()
    (tmp_path / "file").touch()
    elsewhere = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"), tmp_path / "file" / "x")
    return {"cwd": tmp_path, **elsewhere}


@linux_only
def test_without_a_folder_for_the_cache_there_is_one_warning(without_cache, tmp_path):
    code = """
        import fastnn.kernels
        print(fastnn.kernels.__file__, relu())
        from fastnn.kernels import compiling, pool2d
        with use_backend("njit"):
            print(pool2d.global_avg_pool2d_forward(np.ones((2, 3, 4, 5))).sum())
        print(compiling.cache_folder())
    """
    printed, written = run(code, **without_cache)
    assert printed == [str(tmp_path / "fastnn/kernels/__init__.py"), "True", "6.0", "None"]
    assert written.count("Warning") == 1
    expected = f"fastnn: compiled kernels cannot be kept on disk, neither in {tmp_path / 'fastnn/kernels'} nor in the"
    assert expected in written
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in written


@linux_only
def test_warmup_without_a_folder_says_what_to_do(without_cache, tmp_path):
    printed, written = run("from fastnn.cli import main; print(main(['warmup']))", **without_cache)
    assert printed == ["2"]
    assert written == (
        f"fastnn warmup: error: warmup: compiled kernels cannot be kept in NUMBA_CACHE_DIR={str(tmp_path / 'file/x')!r}"
        f", beside their source {tmp_path / 'fastnn/kernels'} or in the user's cache; expected a folder that can be "
        "written; set NUMBA_CACHE_DIR to one\n"
    )


def test_a_cache_that_breaks_later_costs_one_warning_too(tmp_path):
    code = """
        import pathlib, shutil
        import fastnn.kernels.activations.njit
        for folder in pathlib.Path(r"{}").iterdir():
            shutil.rmtree(folder)
            folder.touch()
        with use_backend("njit"):
            print(relu(), activations.relu_backward(x, x).sum())
    """
    printed, written = run(code.format(tmp_path), NUMBA_CACHE_DIR=tmp_path)
    assert printed == ["True", "3.0"]
    assert written.count("Warning") == 1
    assert "compiled kernels cannot be kept on disk" in written


def test_the_cache_folder_is_the_one_asked_for(tmp_path):
    code = "from fastnn.kernels import compiling; print(relu(), compiling.cache_folder())"
    assert run(code, NUMBA_CACHE_DIR=tmp_path)[0] == ["True", str(tmp_path)]
    assert list(tmp_path.rglob("*.nbc"))


def test_the_cache_of_an_older_source_is_not_used(tmp_path, monkeypatch):
    before = compiling._source_stamp()
    assert before == compiling._source_stamp.__wrapped__()
    changed = shutil.copytree(Path(kernels.__file__).parent, tmp_path / "kernels")
    monkeypatch.setattr(compiling, "__file__", str(changed / "compiling.py"))
    copied = compiling._source_stamp.__wrapped__()
    (changed / "simd" / "host.py").write_text("# changed")
    assert compiling._source_stamp.__wrapped__() != copied


KEY = (("float32", 1), ("x86_64", "zen"), ("bytecode", "closure"))


def test_a_file_is_read_only_for_what_it_was_made_from(tmp_path):
    files = compiling._Files(str(tmp_path), "njit.kernel-1.py311", "stamp")
    assert files.load(KEY) is None
    files.save(KEY, {"code": 1})
    assert files.load(KEY) == {"code": 1}
    assert files.load((*KEY[:2], ("other", "closure"))) is None
    assert compiling._Files(str(tmp_path), "njit.kernel-1.py311", "newer").load(KEY) is None
    assert compiling._Files(str(tmp_path), "njit.kernel-2.py311", "stamp").load(KEY) is None
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for damaged in (b"", content[:-1], content[:40] + b"x" + content[41:]):
        file.write_bytes(damaged)
        assert files.load(KEY) is None
    files.save(KEY, {"code": 2})
    assert files.load(KEY) == {"code": 2}


def test_types_and_processors_have_files_of_their_own(tmp_path):
    first, second = (compiling._Files(str(tmp_path), "njit.kernel-1.py311", "stamp") for _ in range(2))
    keys = KEY, (("float64", 1), *KEY[1:]), (KEY[0], ("x86_64", "skylake"), KEY[2])
    for files, key in zip((first, second, first), keys, strict=True):
        files.save(key, key)
    assert [second.load(key) for key in keys] == list(keys)
    assert len(list(tmp_path.iterdir())) == 3
    other = compiling._Files(str(tmp_path), "njit.kernel-12.py311", "stamp")
    other.save(KEY, "kept")
    first.flush()
    assert [first.load(key) for key in keys] == [None] * 3
    assert other.load(KEY) == "kept"
