"""Kernels under threads and forks: the same bits on any number of threads, from many callers, in a forked child."""

import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn.kernels import affine, conv2d, pool2d, sandwich

threads = pytest.importorskip("fastnn.kernels.threads", reason="the backend njit needs numba")

RNG = np.random.default_rng(0)
SIZES = [
    ((9, 3, 16, 16), (8, 3, 3, 3), 1, 1),
    ((1, 3, 40, 9), (9, 3, 3, 3), 1, 1),
    ((40, 2, 6, 7), (5, 2, 3, 2), 1, 0),
    ((17, 2, 9, 8), (3, 2, 2, 3), 2, 0),
    ((3, 2, 4, 34), (3, 2, 3, 3), 1, 0),
]


def work_of(x_shape, w_shape, stride, pad):
    """A function that runs every kind of kernel on problems of this size and returns all results."""
    x, w, b = (RNG.normal(size=shape).astype(np.float32) for shape in (x_shape, w_shape, w_shape[:1]))
    rows, matrix = x.reshape(x_shape[0], -1), RNG.normal(size=(x[0].size, 40)).astype(np.float32)
    bias = np.ones(40, np.float32)

    def work():
        out = conv2d.conv2d_forward(x, w, b, stride, pad)
        pooled, index = sandwich.conv2d_relu_pool_forward(x, w, b, stride, pad, 2, 2)
        largest, places = pool2d.max_pool2d_forward(x, 3, 2, 1)
        scores = affine.affine_forward(rows, matrix, bias)
        return [
            out,
            *conv2d.conv2d_backward(out, x, w, stride, pad),
            pooled,
            *sandwich.conv2d_relu_pool_backward(pooled, x, w, index, stride, pad, 2, 2),
            largest,
            pool2d.max_pool2d_backward(largest, places, x.shape, 3, 2, 1),
            pool2d.avg_pool2d_forward(x, 2, 2),
            scores,
            *affine.affine_backward(scores, rows, matrix),
        ]

    return work


def assert_same_bits(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert one.tobytes() == other.tobytes()


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


def test_nobody_waits_for_a_helper_that_is_busy_elsewhere():
    started, finish = threading.Event(), threading.Event()

    def slow(start, stop):
        if threading.current_thread() is first:
            started.wait(30)
        else:
            started.set()
            finish.wait(30)

    with threads.use_num_threads(2):
        first = threading.Thread(target=threads._run, args=(slow, 2, 2, ()))
        first.start()
        assert started.wait(30)
        seen = []
        threads._run(lambda start, stop: seen.append(start), 16, 16, ())
        assert seen == list(range(16))
        finish.set()
        first.join()


def test_arrays_are_let_go_after_a_launch():
    class Held:
        pass

    held = Held()
    reference = weakref.ref(held)
    with threads.use_num_threads(2):
        threads._run(lambda start, stop, held: time.sleep(0.01), 4, 4, (held,))
        del held
        for _ in range(500):
            if reference() is None:
                break
            time.sleep(0.01)
    assert reference() is None


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


def test_a_process_ends_while_helpers_exist():
    assert words_printed("print('done'); sys.exit(0)") == ["done"]
