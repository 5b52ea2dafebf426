"""Threads of the njit kernels: every part runs once, on any number of threads, and errors are raised."""

import ast
import ctypes
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from fastnn import kernels
from fastnn.kernels.cpu import thread_count

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
barrier_kernels = pytest.importorskip("barrier_kernels")

work_slots = threads.work_slots
compiled = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels run on one thread")


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


@compiled
def test_only_loops_of_several_parts_are_skipped():
    long, short = np.zeros(11, np.int64), np.zeros(10, np.int64)
    with threads.use_num_threads(3):
        with threads.skip_parallel_loops():
            _add_one(long.size, long)
            _add_one(short.size, short)
        assert not long.any() and short.all()
        assert threads.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), threads.skip_parallel_loops():
            raise ZeroDivisionError
        assert threads.get_num_threads() == 3
        _add_one(long.size, long)
    assert long.all()


def test_one_thread_gets_everything_at_once():
    parts = []
    for number in (1, 3):
        with threads.use_num_threads(number):
            launch = threads.parallel(grain=1)(_note)
            out = np.zeros((1000, 2), np.int64)
            launch(1000, out)
            parts.append([tuple(bounds) for bounds in out if bounds.any()])
    assert parts[0] == [(0, 1000)]
    assert len(parts[1]) == (1 if "NUMBA_DISABLE_JIT" in os.environ else 3 * threads.PARTS)
    assert parts[1][0][0] == 0
    assert parts[1][-1][1] == 1000
    assert [stop for _, stop in parts[1][:-1]] == [start for start, _ in parts[1][1:]]


def _note(start, stop, out):
    out[start, 0], out[start, 1] = start, stop


def they_meet():
    """Whether two threads run parts of a launch at the same time; several tries, for busy machines."""
    with threads.use_num_threads(1):  # compiled before
        barrier_kernels.meet(2, *np.zeros((2, 2), np.int64), 1)
    for _ in range(20):
        begun, met = np.zeros((2, 2), np.int64)
        barrier_kernels.meet(2, begun, met, barrier_kernels.SPIN_LIMIT)
        if met.all():
            return True
    return False


@compiled
def test_a_worker_joins_in_awake_or_asleep():
    with threads.use_num_threads(2):
        for pause in (0, 0, 0.05):
            time.sleep(pause)
            assert they_meet()


@compiled
def test_nobody_joins_in_on_one_thread():
    begun, met = np.zeros(2, np.int64), np.zeros(2, np.int64)
    with threads.use_num_threads(1):
        barrier_kernels.meet(2, begun, met, 1000)
    assert not met.any()


@threads.parallel(grain=1)
def _allocate(start, stop, sizes, out):
    for place in range(start, stop):
        out[place] = np.empty(sizes[place], np.int8).size


@compiled
@pytest.mark.parametrize("failing", [[0], [5], [15], list(range(16))])
def test_a_part_without_memory_raises_and_workers_survive(failing):
    sizes, out = np.ones(16, np.int64), np.zeros(100, np.int64)
    sizes[failing] = 1 << 62
    with threads.use_num_threads(2):
        for _ in range(20):
            with pytest.raises(MemoryError, match="_allocate ran out of memory; use smaller batches"):
                _allocate(16, sizes, out)
            assert slots() == [work_slots.FREE] * len(threads._workers)
        out[:] = 0
        _add_one(100, out)
        np.testing.assert_array_equal(out, 1)
        assert they_meet()  # the worker still exists


def slots():
    """Return the states of all slots; assert that none is in use."""
    return [ctypes.c_int64.from_address(worker.address + 8 * work_slots.STATE).value for worker in threads._workers]


def test_the_number_of_threads_is_put_back():
    before = threads.get_num_threads()
    with threads.use_num_threads(before + 3):
        assert threads.get_num_threads() == before + 3
    assert threads.get_num_threads() == before


def test_the_number_of_threads_is_put_back_after_an_error():
    before = threads.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads.use_num_threads(before + 3):
        raise ZeroDivisionError
    assert threads.get_num_threads() == before


@pytest.mark.parametrize("count", [0, -1, "two", 1.5, None])
def test_impossible_numbers_of_threads(count):
    message = rf"use_num_threads: '{count}' is not a number of threads; expected an integer of at least 1"
    with pytest.raises(ValueError, match=message), threads.use_num_threads(count):
        pass


# ---- references to arrays are not counted, because all threads would contend for the counter ----


@compiled
def test_parts_count_no_references_to_arrays(counter_of):
    @threads.parallel(grain=1)
    def look(start, stop, array, several, out):
        for place in range(start, stop):
            out[place, 0], out[place, 1], out[place, 2] = counter_of(array), counter_of(several[1][0]), array[place]

    array, out = np.arange(8), np.full((8, 3), -1)
    look(8, array, (1, (np.arange(3.0), "word")), out)
    np.testing.assert_array_equal(out, [(0, 0, place) for place in range(8)])


@compiled
def test_a_borrowing_kernel_cannot_make_an_array_that_would_need_a_counter():
    def largest(count):
        return np.empty(count).max()

    errors = pytest.importorskip("numba.core.errors")
    with pytest.raises(errors.NumbaError, match="Only accept returning of array passed into the function"):
        threads.njit_no_refcount(largest)(3)


@pytest.fixture
def counter_of():
    """Return a function for kernels: the address of an array's reference counter, or 0."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def counter_of(context, array):
        def codegen(context, builder, signature, arguments):
            value = context.make_array(array)(context, builder, arguments[0])
            return builder.ptrtoint(value.meminfo, work_slots.WORD)

        return types.int64(array), codegen

    return counter_of


# ---- no more threads than cores, and none from BLAS ----


def test_kernels_do_not_call_blas():
    """OpenBLAS has its own threads, which keep spinning after a call and slow down the next kernel."""
    folder = Path(kernels.__file__).parent
    files = [*folder.glob("*/njit.py"), *folder.glob("cpu/simd/*.py")]
    files.remove(folder / "cpu" / "simd" / "numpy_reference.py")
    assert len(files) > 20
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.MatMult), f"{path} multiplies matrices"
            if isinstance(node, ast.Attribute):
                blas = {"dot", "matmul", "einsum", "tensordot", "inner", "vdot", "linalg"}
                assert node.attr not in blas, f"{path}:{node.lineno} calls {node.attr}"


TRAIN = """
    import os, threading, time
    import numpy as np
    from fastnn.classifiers.cnn import ThreeLayerConvNet
    from fastnn.solver import Solver

    def ticks():
        \"\"\"Processor time of our threads, and of all others.\"\"\"
        own, spent = {thread.native_id for thread in threading.enumerate()}, [0, 0]
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/stat") as file:
                user, system = file.read().rpartition(")")[2].split()[11:13]
            spent[int(task) not in own] += int(user) + int(system)
        return spent

    X, y = np.ones((40, 3, 32, 32), np.float32), np.zeros(40, int)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    model = ThreeLayerConvNet(num_filters=16, seed=0, reg=1e-3)
    options = dict(update_rule="adam", batch_size=20, verbose=False, seed=0)
    Solver(model, data, num_epochs=1, **options).train()
    before = None
    while before is None or ticks()[1] != before[1]:  # the threads of BLAS spin for a while after their start
        before = ticks()
        time.sleep(0.1)
    Solver(model, data, num_epochs=20, **options).train()
    workers = [thread.name for thread in threading.enumerate() if thread.name.startswith("fastnn-")]
    print(len(workers), *(now - then for now, then in zip(ticks(), before)))
"""


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels take minutes")
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="this system does not tell the time of each thread")
@pytest.mark.parametrize("number", [1, 2, 4])
def test_training_keeps_as_many_threads_busy_as_asked_for_and_none_of_blas(number):
    environment = {
        **os.environ,
        thread_count.VARIABLE: str(number),
        "FASTNN_BACKEND": "njit",
        "OPENBLAS_NUM_THREADS": "4",
    }
    code = textwrap.dedent(TRAIN)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    workers, own, others = map(int, done.stdout.split())
    assert workers == number - 1
    assert own > 10
    assert others <= 0.05 * own, "threads that are not ours worked"
