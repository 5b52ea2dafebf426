"""Kernels with threads and forks: the same bits with any number of threads, from many callers, in a forked child."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from concurrent_work import SIZES, assert_same_bits, work_of

import fastnn

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
barrier_kernels = pytest.importorskip("barrier_kernels")


compiled = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels run on one thread")


@pytest.mark.parametrize("size", SIZES[1:4])
def test_the_same_bits_on_repetition(backend, size):
    work = work_of(*size)
    expected = work()
    for _ in range(2):
        assert_same_bits(work(), expected)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_bits_on_any_number_of_threads(size):
    work = work_of(*size)
    with fastnn.use_backend("njit"):
        with threads.use_num_threads(1):
            expected = work()
        for count in (2, 3, 7):
            with threads.use_num_threads(count):
                assert_same_bits(work(), expected)


def test_python_threads_at_once(backend):
    works = [work_of(*size) for size in SIZES[1:]]
    expected = [work() for work in works]

    def repeatedly(work):
        with fastnn.use_backend(backend):
            return [work() for _ in range(1 if backend == "naive" else 20)]

    with ThreadPoolExecutor(3) as pool:
        for results, right in zip(pool.map(repeatedly, works), expected, strict=True):
            for result in results:
                assert_same_bits(result, right)


@threads.parallel(grain=1)
def _note(start, stop, out):
    for place in range(start, stop):
        out[place] += 1


def held_launch():
    """Start a Python thread inside a launch that a worker has joined; yield the array that ends it.

    On a busy machine a worker may be asleep and miss a launch; then launch again.
    """
    barrier_kernels.hold(2, *np.ones((2, 2), np.int64))  # compiled before
    for _ in range(30):
        begun, ended = np.zeros(2, np.int64), np.zeros(1, np.int64)
        launcher = threading.Thread(target=barrier_kernels.hold, args=(2, begun, ended))
        launcher.start()
        missed = time.monotonic() + 1
        while not begun.all() and time.monotonic() < missed:
            time.sleep(0.001)
        if begun.all():
            return launcher, ended
        ended[0] = 1
        launcher.join()
    raise AssertionError("no worker joined in 30 launches of a second")


@compiled
def test_no_launch_waits_for_a_worker_that_is_busy():
    out = np.zeros(16, np.int64)
    with threads.use_num_threads(2):
        launcher, ended = held_launch()
        try:
            for _ in range(100):
                _note(16, out)
            assert launcher.is_alive()  # until ended[0] is set
        finally:
            ended[0] = 1
            launcher.join()
    np.testing.assert_array_equal(out, 100)


@compiled
def test_launches_of_many_python_threads_share_the_workers():
    """Four threads compete for three slots; every part runs once, and all slots are free in the end."""

    def launches(out):
        for _ in range(2000):
            _note(16, out)
        return out

    with threads.use_num_threads(4), ThreadPoolExecutor(4) as pool:
        for out in pool.map(launches, [np.zeros(16, np.int64) for _ in range(4)]):
            np.testing.assert_array_equal(out, 2000)
    workers = threads._workers
    assert len({worker.address for worker in workers}) == len(workers) >= 3
    assert all(ctypes.c_int64.from_address(worker.address).value == threads.work_slots.FREE for worker in workers)


def test_workers_are_started_once(monkeypatch):
    """Two Python threads that launch for the first time at the same time need the same workers."""
    started = []

    class Slow:
        slots, wanted, asleep = None, 0, False

        def __init__(self, before):
            started.append(len(before) + 1)
            time.sleep(0.05)

    monkeypatch.setattr(threads, "_Worker", Slow)
    monkeypatch.setattr(threads, "_workers", [])
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(threads._slots, [2, 2, 2]))
    assert started == [1, 2]


@compiled
def test_arrays_are_let_go_at_the_end_of_a_launch():
    held = np.zeros(16, np.int64)
    reference, owners = weakref.ref(held), sys.getrefcount(held)
    with threads.use_num_threads(2):
        for _ in range(50):
            _note(16, held)
            assert sys.getrefcount(held) == owners
    del held
    assert reference() is None


@compiled
def test_ctrl_c_during_a_launch_is_raised_once_it_is_over():
    begun, ended, out = np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(16, np.int64)
    barrier_kernels.hold(2, *np.ones((2, 2), np.int64))  # compiled before

    def press():
        while not begun.any():
            time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        ended[0] = 1

    presser = threading.Thread(target=press)
    presser.start()
    with threads.use_num_threads(2):
        with pytest.raises(KeyboardInterrupt):
            barrier_kernels.hold(2, begun, ended)
        presser.join()
        assert ended[0] == 1
        _note(16, out)
    np.testing.assert_array_equal(out, 1)


START = """
    import os, sys
    import numpy as np
    from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
    x, w, b = np.ones((40, 3, 8, 8)), np.ones((4, 3, 3, 3)), np.ones(4)
    out = conv2d_forward(x, w, b)
    expected = out.sum()
"""


def words_printed(code):
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", "-c", textwrap.dedent(START) + textwrap.dedent(code)],
        env={**os.environ, "FASTNN_BACKEND": "njit", "FASTNN_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_forked_child_computes():
    code = """
        for generation in range(2):
            if os.fork():
                print(os.wait()[1])
                break
            print(conv2d_forward(x, w, b).sum() == expected, conv2d_backward(out, x, w)[2][0] == 40 * 36 * 28)
        print(conv2d_forward(x, w, b).sum() == expected)
    """
    assert sorted(words_printed(code)) == ["0"] * 2 + ["True"] * 7


@needs_fork
def test_workers_of_multiprocessing_compute():
    code = """
        import multiprocessing

        def total(n):
            return float(conv2d_forward(x[:n], w, b).sum())

        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(total, [1, 40, 0]) == [total(1), expected, 0])
    """
    assert words_printed(code) == ["True"]


@needs_fork
@compiled
def test_a_fork_while_another_thread_launches():
    """The child has copies of the slots but neither that thread nor the workers; the parent continues."""
    code = """
        import threading
        from fastnn.kernels.cpu import threads
        stop = threading.Event()

        def launch():
            while not stop.is_set():
                conv2d_forward(x, w, b)

        launcher = threading.Thread(target=launch)
        launcher.start()
        for _ in range(10):
            child = os.fork()
            if not child:
                right = conv2d_forward(x, w, b).sum() == expected and len(threads._workers) == 1
                os._exit(0 if right else 1)
            print(os.waitpid(child, 0)[1])
        stop.set()
        launcher.join()
        print(conv2d_forward(x, w, b).sum() == expected)
    """
    assert words_printed(code) == ["0"] * 10 + ["True"]


@pytest.mark.parametrize("pause", [0, 0.1])
def test_a_process_ends_while_workers_exist(pause):
    """Spinning or sleeping."""
    assert words_printed(f"import time; time.sleep({pause}); print('done'); sys.exit(0)") == ["done"]


@compiled
def test_a_process_ends_while_a_launch_runs():
    code = """
        import threading, time
        threading.Thread(target=lambda: [conv2d_forward(x, w, b) for _ in range(10**6)], daemon=True).start()
        time.sleep(0.05)
        print("done")
    """
    assert words_printed(code) == ["done"]
