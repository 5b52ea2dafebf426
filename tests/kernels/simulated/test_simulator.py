"""The simulator: threads that wait for each other, shared memory, errors."""

import numpy as np
import pytest
from numba import cuda, float64, int32

from fastnn.kernels.gpu.launch import Kernel
from fastnn.kernels.gpu.warp import exchange

from .launching import launch

NUMBERS = 70


def run(function, *arguments, blocks=1, threads=64):
    launch(Kernel(function, threads, variant=str(len(arguments))), blocks, *arguments)


def test_threads_wait_until_all_have_written():
    def turned(x, out):
        strip = cuda.shared.array(NUMBERS, float64)
        i = cuda.threadIdx.x
        for _ in range(3):
            strip[i] = x[i]
            cuda.syncthreads()
            x[i] = strip[63 - i]
            cuda.syncthreads()
        out[i] = x[i]

    out = np.zeros(64)
    run(turned, np.arange(64.0), out)
    assert out.tolist() == [*range(63, -1, -1)]


@pytest.mark.parametrize("step", [1, -1])
def test_reading_without_waiting_is_wrong_in_either_direction(step):
    def shifted(step, out):
        strip = cuda.shared.array(NUMBERS, float64)
        i = cuda.threadIdx.x
        strip[i] = 0
        cuda.syncthreads()
        for turn in range(1, 3):
            strip[i] = turn
            out[64 * (turn - 1) + i] = strip[(i + step) % 64]
            cuda.syncthreads()

    out = np.zeros((2, 64))
    run(shifted, step, out)
    assert (out[0] != 1).any() or (out[1] != 2).any()


def test_a_block_has_memory_of_its_own():
    def first_of_all(out):
        strip = cuda.shared.array(NUMBERS, int32)
        cuda.syncthreads()
        out[cuda.grid(1)] = strip[0]
        cuda.syncthreads()
        strip[0] = 5

    out = np.zeros(128, np.int32)
    run(first_of_all, out, blocks=2)
    assert (out == -1).all()  # nothing was written before


def test_warps_exchange_at_times_of_their_own():
    def sums(x, out):
        i = cuda.threadIdx.x
        value = x[i]
        for _ in range(1 + i // 32):
            value += exchange(value, 16)
        cuda.syncthreads()
        out[i] = value

    x, out = np.arange(64.0), np.zeros(64)
    run(sums, x, out)
    once = x + x[np.arange(64) ^ 16]
    assert out.tolist() == [*once[:32], *(2 * once[32:])]


def test_threads_that_wait_in_vain_raise():
    def alone(out):
        if cuda.threadIdx.x < 31:
            out[0] = exchange(out[0], 1)

    with pytest.raises(
        RuntimeError, match="alone: threads of a block wait for threads that never arrive: 0 for 0, 1 for 0"
    ):
        run(alone, np.zeros(1))


def test_an_error_in_a_kernel_names_its_thread():
    def beyond(out):
        i = cuda.grid(1)
        if i != 70:
            cuda.syncthreads()
        out[i] = 1

    with pytest.raises(IndexError, match="index 70 is out of bounds") as caught:
        run(beyond, np.zeros(70), blocks=2)
    assert caught.value.__notes__ == ["in thread 6 of block 1 of beyond"]
