"""If the system cannot start more threads, everything runs on the existing ones."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from fastnn.cli import main
from fastnn.kernels import affine
from fastnn.testing import check_kernel

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
compiled = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels run on one thread")


@pytest.fixture
def allow(monkeypatch):
    """Return a function that limits how many more threads can be started; this process has no workers yet."""
    monkeypatch.setattr(threads, "_workers", [])
    monkeypatch.setattr(threads, "_most", sys.maxsize)
    start = threading.Thread.start

    def allow(count):
        left = [count]

        def limited(thread):
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return allow


@threads.parallel(grain=1)
def _add_one(start, stop, out):
    for place in range(start, stop):
        out[place] += 1


@compiled
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_launch_runs_on_the_threads_that_there_are_and_warns_once(allow, count):
    allow(count)
    out = np.zeros(100, np.int64)
    with threads.use_num_threads(4):
        message = (
            rf"can't start new thread: kernels run on {count + 1} instead of 4 threads; raise the limit of processes "
            rf"or memory, or set FASTNN_NUM_THREADS={count + 1}"
        )
        with pytest.warns(RuntimeWarning, match=message) as caught:
            _add_one(100, out)
        assert [warning.filename for warning in caught] == [__file__]
        for _ in range(9):  # warnings are errors
            _add_one(100, out)
    np.testing.assert_array_equal(out, 10)
    assert len(threads._workers) == count


@compiled
def test_a_real_limit():
    """A thread whose stack would need more memory than a process can have is not started."""
    code = """
        import threading, warnings
        import numpy as np
        from fastnn import layers
        from fastnn.kernels.cpu import threads
        x, w, b = np.ones((3000, 200)), np.ones((200, 300)), np.ones(300)
        with threads.use_num_threads(1):
            expected = layers.affine_forward(x, w, b)[0]
        threading.stack_size(1 << 47)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results = [layers.affine_forward(x, w, b)[0] for _ in range(3)]
        print(len(caught), all(result.tobytes() == expected.tobytes() for result in results))
    """
    environment = {**os.environ, "FASTNN_BACKEND": "njit", "FASTNN_NUM_THREADS": "3"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "1 True\n", done.stderr


@compiled
def test_a_forked_child_tries_again(allow):
    allow(0)
    with threads.use_num_threads(2), pytest.warns(RuntimeWarning):
        _add_one(16, np.zeros(16, np.int64))
    threads._forget_workers()
    assert threads._most == sys.maxsize


def test_conformance_is_checked_without_threads(allow):
    allow(0)
    message = "check: can't start new thread: kernels are not called in several threads at once; raise the process"
    with threads.use_num_threads(1), pytest.warns(RuntimeWarning, match=message):
        assert check_kernel(affine.affine_forward, like="affine_forward", cases=3).ok


@pytest.mark.usefixtures("tiny_runs")
def test_training_needs_no_thread_of_its_own(allow, capsys):
    allow(0)
    with threads.use_num_threads(1):
        assert main(["train", "--epochs", "1"]) == 0
    assert "test accuracy" in capsys.readouterr().out
