"""Loops of compiled kernels use the longest vectors of the processor."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed")

from fastnn.kernels.cpu import compiling
from fastnn.kernels.cpu.simd import cpu_info


@pytest.mark.skipif(not cpu_info.has_masks(), reason="this processor has no vectors of 64 bytes")
def test_loops_use_whole_registers():
    def double(x, out):
        for i in range(x.size):
            out[i] = x[i] * x[i] + x[i]

    kernel = compiling.uncached(double)
    x = np.ones(100, np.float32)
    kernel(x, np.empty_like(x))
    (code,) = kernel.inspect_asm().values()
    assert "zmm" in code
