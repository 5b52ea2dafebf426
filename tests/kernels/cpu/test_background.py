"""Kernels that are loaded or compiled in the background."""

import os
import threading

import pytest
from cached_code import run, without_cache  # noqa: F401  (a fixture)

from fastnn.kernels.cpu import background

compiles = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")


@pytest.fixture
def stopped():
    """Returns after the test when the thread has ended."""
    yield
    background._stop()
    background._waiting.clear()
    background._resume()


@pytest.mark.usefixtures("stopped")
def test_calls_are_made_in_order_in_one_thread_and_errors_are_dropped(capsys):
    made = []

    def call(number):
        made.append((number, threading.get_ident(), background.is_current()))
        if number == 1:
            raise ZeroDivisionError

    background.start([lambda number=number: call(number) for number in range(3)])
    background.start([lambda: call(3)])
    background.wait()
    assert [number for number, *_ in made] == [0, 1, 2, 3]
    assert {in_background for *_, in_background in made} == {True}
    assert threading.get_ident() not in {thread for _, thread, _ in made}
    assert capsys.readouterr() == ("", "")
    assert not background.is_current()


@pytest.mark.usefixtures("stopped")
def test_a_stopped_call_is_made_again():
    made, entered, goes_on = [], threading.Event(), threading.Event()

    def call():
        entered.set()
        assert goes_on.wait(60)
        background.check()
        made.append("call")

    background.start([call])
    assert entered.wait(60)
    background._is_stopping = True
    goes_on.set()
    background.wait()
    assert made == []
    background._resume()
    background.wait()
    assert made == ["call"]
    background.check()  # in any other thread it does nothing


@pytest.mark.usefixtures("stopped")
def test_a_system_without_further_threads(monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    background.start([lambda: None])
    assert background._thread is None


# ---- in new processes ----

PRELOADED = """
import sys
import fastnn.fast_layers
from fastnn.kernels.cpu import background
background.wait()
print("numba" in sys.modules)
"""


@compiles
def test_importing_fast_layers_leaves_nothing_to_compile_or_load():
    code = """
    import numpy as np
    from fastnn.fast_layers import *
    from fastnn.kernels.cache import code_cache
    code_cache.CodeCache.load = lambda *_: print("loads")
    for dtype in (np.float32, np.float64):
        images = np.random.randn(5, 3, 16, 16).astype(dtype)
        out, cache = conv_forward_fast(images, images[:2, :, :3, :3], np.zeros(2, dtype), {"stride": 1, "pad": 1})
        conv_backward_fast(out, cache)
        out, cache = max_pool_forward_fast(images, {"pool_height": 2, "pool_width": 2, "stride": 2})
        max_pool_backward_fast(out, cache)
    """
    assert run(code, before=PRELOADED) == (["True"], "")


@pytest.mark.parametrize(
    ("before", "environment"),
    [
        ("", {"FASTNN_PRELOAD": "0"}),
        ("", {"FASTNN_BACKEND": "vectorized"}),
        ("", {"NUMBA_DISABLE_JIT": "1"}),
        ("import pytest\n", {}),
        ("import fastnn; fastnn.set_backend('naive')\n", {}),
    ],
)
def test_where_nothing_is_loaded(before, environment):
    assert run("", before=before + PRELOADED, **environment) == (["False"], "")


def test_models_and_training_load_nothing_in_the_background():
    before = PRELOADED.replace("fastnn.fast_layers", "fastnn.classifiers.cnn, fastnn.solver, fastnn.layer_utils")
    assert run("", before=before) == (["False"], "")


def test_nothing_is_loaded_in_processes_of_multiprocessing(tmp_path):
    (tmp_path / "work.py").write_text(
        "import sys\n\ndef load(_):\n    import fastnn.fast_layers\n    fastnn.kernels.cpu.background.wait()\n"
        "    return 'numba' in sys.modules\n"
    )
    code = """
    import multiprocessing, sys
    sys.path.append(".")
    import work
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(work.load, [0]))
    """
    assert run(code, cwd=tmp_path) == (["[False]"], "")


@pytest.mark.parametrize(("kernel", "expected"), [("", "False"), ("import ipykernel\n", "True")])
def test_modules_of_courses_load_kernels_in_notebooks_only(kernel, expected):
    pytest.importorskip("ipykernel", reason="it is an extra")
    before = kernel + PRELOADED.replace("import fastnn.fast_layers", "import fastnn.courses.cs231n.optim")
    assert run("", before=before) == ([expected], "")


@compiles
def test_a_process_that_ends_while_a_kernel_is_compiled(tmp_path):
    assert run("", before="import fastnn.fast_layers\n", NUMBA_CACHE_DIR=tmp_path) == ([], "")


@compiles
def test_a_call_waits_for_a_kernel_that_is_being_compiled(tmp_path):
    code = """
    from fastnn.kernels.cpu import background, compiling
    background.start([relu])
    print(relu())
    background.wait()
    print(compiling.compiled())
    """
    assert run(code, NUMBA_CACHE_DIR=tmp_path / "background")[0] == run(COUNT, NUMBA_CACHE_DIR=tmp_path / "plain")[0]


COUNT = """
    from fastnn.kernels.cpu import compiling
    print(relu())
    print(compiling.compiled())
"""


@compiles
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_a_kernel_is_compiled(tmp_path):
    code = """
    import os
    from fastnn.kernels.cpu import background
    background.start([relu, lambda: relu("float64")])
    child = os.fork()
    if not child:
        os._exit(0 if relu() and background._thread is None and not background._waiting else 1)
    print(os.waitpid(child, 0)[1], relu())
    background.wait()
    """
    assert run(code, NUMBA_CACHE_DIR=tmp_path) == (["0", "True"], "")


@compiles
def test_where_machine_code_cannot_be_kept_only_the_calling_thread_warns(without_cache):  # noqa: F811
    code = """
    from fastnn.kernels.cpu import background
    background.start([relu])
    background.wait()
    """
    without_cache["FASTNN_PRELOAD"] = "1"
    assert run(code, **without_cache) == ([], "")


@compiles
def test_no_line_is_shown_on_the_terminal(monkeypatch):
    from fastnn.kernels.cpu import compiling

    class Terminal:
        isatty = staticmethod(lambda: True)

    monkeypatch.setattr("sys.stderr", Terminal())
    shown = []
    background.start([lambda: shown.append(compiling._write_to_terminal("x"))])
    background.wait()
    assert shown == [False]
