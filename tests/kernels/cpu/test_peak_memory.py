"""Peak memory of convolutions at the sizes of real training, measured in a separate process.

The resident memory of the process is measured, which includes what compiled kernels allocate.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import AVAILABLE

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
pytestmark = [
    pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed"),
    pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels take minutes at such sizes"),
    pytest.mark.skipif(not RESET.exists(), reason="this system does not count the peak anew when asked to"),
]
SLACK = 2 << 20  # of the allocator and the interpreter
# freed memory is returned to the system at once, because reused memory would not be counted
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
ENVIRONMENT = {"FASTNN_BACKEND": "njit", "FASTNN_NUM_THREADS": "2", **GIVEN_BACK}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "pad"),
    [
        ((64, 64, 32, 32), (64, 64, 3, 3), 1, 1),
        ((64, 64, 32, 32), (64, 64, 3, 3), 2, 1),
        ((500, 3, 32, 32), (64, 3, 3, 3), 1, 1),
        ((64, 64, 16, 16), (128, 64, 1, 1), 1, 0),
    ],
)
def test_a_convolution_takes_at_most_half_of_its_arrays_more(x_shape, w_shape, stride, pad, dtype):
    for name, arrays, peak in measured(dtype, x_shape, w_shape, stride, pad):
        assert arrays > 8 << 20
        assert arrays - SLACK <= peak <= 1.5 * arrays + SLACK, f"{name}: {peak / arrays:.2f} times inputs and outputs"


def test_memory_that_kernels_allocate_is_seen():
    """A kernel that allocates twice the size of its arguments is detected."""
    ((_, arrays, peak),) = measured("float32", "greedy")
    assert peak > 2.5 * arrays


def measured(*arguments):
    """Return rows of: pass, bytes of inputs and outputs, and peak bytes of the process beyond those before the call."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, json.dumps(arguments)],
        cwd=Path(__file__).parent,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- code of the child process ----


def resident(line):
    """Return bytes: VmRSS now, or VmHWM, the maximum since the last reset."""
    found = next(text for text in STATUS.read_text().splitlines() if text.startswith(line))
    return 1024 * int(found.split()[1])


def peak_of(call, *inputs):
    """Return the bytes of inputs and outputs, and the peak of these and all temporary memory."""
    given = sum(array.nbytes for array in inputs)
    RESET.write_text("5")
    before = resident("VmRSS")
    results = call()
    added = resident("VmHWM") - before
    arrays = given + sum(array.nbytes for array in (results if isinstance(results, tuple) else (results,)))
    return arrays, given + added


def convolve(dtype, x_shape, w_shape, stride, pad):
    from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward

    def problem(images):
        generator = np.random.default_rng(0)
        shapes = (images, *x_shape[1:]), w_shape, w_shape[:1]
        x, w, b = (generator.standard_normal(shape, np.float32).astype(dtype) for shape in shapes)
        return x, w, b, np.ones_like(conv2d_forward(x, w, b, stride, pad))

    x, w, b, dout = problem(1)
    conv2d_backward(dout, x, w, stride, pad)  # compile and load
    x, w, b, dout = problem(x_shape[0])
    return [
        ("forward", *peak_of(lambda: conv2d_forward(x, w, b, stride, pad), x, w, b)),
        ("backward", *peak_of(lambda: conv2d_backward(dout, x, w, stride, pad), dout, x, w)),
    ]


def allocate(dtype):
    from fastnn.kernels.cpu import threads

    @threads.serial
    def greedy(x):
        copies = np.empty((2, x.size), x.dtype)
        for place in range(x.size):
            copies[:, place] = x[place]
        return copies[0, 0] + copies[1, x.size - 1]

    greedy(np.ones(1, dtype))
    x = np.ones(8 << 20, dtype)
    return [("greedy", *peak_of(lambda: np.array(greedy(x)), x))]


if __name__ == "__main__":
    dtype, *geometry = json.loads(sys.argv[1])
    print(json.dumps(allocate(dtype) if geometry == ["greedy"] else convolve(dtype, *geometry)))
