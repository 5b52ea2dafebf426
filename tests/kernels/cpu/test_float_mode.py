"""Kernels compute every part in the floating-point mode of the thread that launched them."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from concurrent_work import SIZES, assert_same_bits, work_of

import fastnn
from fastnn.checkpoint import run

threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
barrier_kernels = pytest.importorskip("barrier_kernels")
from fastnn.kernels.cpu import compiling, float_mode  # noqa: E402

FLUSHING = {"x86": 0x8040, "arm": 1 << 24}  # FTZ and DAZ of MXCSR, FZ of FPCR

pytestmark = [
    pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels run on one thread"),
    pytest.mark.skipif(float_mode.machine() not in FLUSHING, reason="the mode of this processor is not known"),
]


@compiling.serial
def read():
    return float_mode.read()


@compiling.serial
def write(mode):
    float_mode.write(mode)


@threads.parallel(grain=1)
def note(start, stop, begun, met, modes, spin_limit):
    """Two parts meet on two threads and record their modes."""
    met[start] = barrier_kernels.wait_for_other(start, begun, spin_limit)
    modes[start] = float_mode.read()


def modes_of_two_threads(mode):
    """Return the modes of the two parts of a launch from a thread with this mode."""
    usual = read()
    for _ in range(30):  # on a busy machine a worker may miss a launch
        begun, met, modes = np.zeros((3, 2), np.int64)
        write(mode)
        note(2, begun, met, modes, barrier_kernels.SPIN_LIMIT)
        write(usual)
        if met.all():
            return modes.tolist()
    raise AssertionError("no worker joined in 30 launches of a second")


@pytest.fixture
def usual():
    """The mode of this thread, restored after the test."""
    mode = read()
    yield mode
    write(mode)


def test_a_thread_flushes_denormals_where_it_was_told_to(usual):
    tiny = np.array([1e-310])
    assert (tiny * 0.5)[0] > 0
    write(usual | FLUSHING[float_mode.machine()])
    flushed = (tiny * 0.5)[0]
    write(usual)
    assert flushed == 0
    assert (tiny * 0.5)[0] > 0


def test_a_checkpoint_says_what_became_of_denormals(usual):
    assert run.environment()["denormals"] == "kept"
    write(usual | FLUSHING[float_mode.machine()])
    assert run.environment()["denormals"] == "flushed"


def test_workers_use_the_mode_of_each_launch(usual):
    flushing = usual | FLUSHING[float_mode.machine()]
    with threads.use_num_threads(2):
        note(2, *np.ones((3, 2), np.int64), 1)  # compiled before
        for mode in (usual, flushing, usual, flushing):
            assert modes_of_two_threads(mode) == [mode, mode]


@pytest.mark.parametrize("size", SIZES[:2])
def test_the_same_bits_on_any_number_of_threads_whatever_the_mode(usual, size):
    """With denormal inputs and outputs."""
    with fastnn.use_backend("njit"):
        work = work_of(*size, scale=1e-20)
        with threads.use_num_threads(1):
            kept = work()
            write(usual | FLUSHING[float_mode.machine()])
            flushed = work()
        assert any(one.tobytes() != other.tobytes() for one, other in zip(kept, flushed, strict=True))
        for count in (2, 4):
            with threads.use_num_threads(count):
                for _ in range(20):
                    assert_same_bits(work(), flushed)
        write(usual)
        with threads.use_num_threads(4):
            assert_same_bits(work(), kept)


def test_equal_calls_give_equal_bits_after_torch_has_set_the_mode():
    pytest.importorskip("torch", reason="PyTorch sets the mode")
    code = """
        import numpy as np, torch
        from fastnn import layers
        x, b = np.full((256, 64), 1e-20, np.float32), np.zeros(64, np.float32)  # their products are denormal
        kept = layers.affine_forward(x, x[:64], b)[0]
        torch.set_flush_denormal(True)
        results = {layers.affine_forward(x, x[:64], b)[0].tobytes() for _ in range(200)}
        print(len(results), results == {kept.tobytes()})
    """
    environment = {**os.environ, "FASTNN_BACKEND": "njit", "FASTNN_NUM_THREADS": "2"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "1 False\n", done.stderr
