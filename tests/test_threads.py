"""The threads of the njit kernels: every part runs once, on any number of threads, and errors come back."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

threads = pytest.importorskip("fastnn.kernels.threads", reason="the backend njit needs numba")


@threads.parallel(grain=10)
def _add_one(start, stop, out):
    for place in range(start, stop):
        out[place] += 1


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 160, 161, 1000])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_every_item_is_computed_once(count, number):
    out = np.zeros(count + 1, np.int64)
    with threads.use_num_threads(number):
        for _ in range(20):
            _add_one(count, out)
    np.testing.assert_array_equal(out[:count], 20)
    assert out[count] == 0


def test_one_thread_gets_everything_at_once():
    parts = []
    for number in (1, 3):
        with threads.use_num_threads(number):
            launch = threads.parallel(grain=1)(_note)
            out = np.zeros((1000, 2), np.int64)
            launch(1000, out)
            parts.append([tuple(bounds) for bounds in out if bounds.any()])
    assert parts[0] == [(0, 1000)]
    assert parts[1][0][0] == 0
    assert parts[1][-1][1] == 1000
    assert [stop for _, stop in parts[1][:-1]] == [start for start, _ in parts[1][1:]]


def _note(start, stop, out):
    out[start, 0], out[start, 1] = start, stop


def test_a_helper_joins_in():
    names = set()
    with threads.use_num_threads(2):
        threads._run(lambda start, stop: names.add(threading.current_thread().name) or time.sleep(0.01), 16, 16, ())
    assert len(names) == 2


def test_an_error_in_any_part_reaches_the_caller():
    def fail(start, stop):
        if start == 5:
            raise ZeroDivisionError("part 5")
        time.sleep(0.001)

    with threads.use_num_threads(2), pytest.raises(ZeroDivisionError, match="part 5"):
        threads._run(fail, 16, 16, ())
    out = np.zeros(100, np.int64)
    _add_one(100, out)  # the helpers are still there
    np.testing.assert_array_equal(out, 1)


def test_the_number_of_threads_is_put_back():
    before = threads.get_num_threads()
    with threads.use_num_threads(before + 3):
        assert threads.get_num_threads() == before + 3
    assert threads.get_num_threads() == before


@pytest.mark.parametrize("count", [0, -1, "two", 1.5, None])
def test_impossible_numbers_of_threads(count):
    message = rf"use_num_threads: '{count}' is no number of threads; expected a whole number from 1 up"
    with pytest.raises(ValueError, match=message), threads.use_num_threads(count):
        pass


@pytest.mark.parametrize(("value", "expected"), [("3", "3"), ("", None)])
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell the cores of a process")
def test_the_environment_sets_the_number(value, expected):
    code = "from fastnn.kernels import threads; print(threads.get_num_threads())"
    environment = {**os.environ, threads.VARIABLE: value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == (expected or str(len(os.sched_getaffinity(0)))), done.stderr
