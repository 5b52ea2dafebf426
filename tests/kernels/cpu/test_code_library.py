"""The same bits whether kernels are compiled, loaded from disk, or loaded in another order."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

compiling = pytest.importorskip("fastnn.kernels.cpu.compiling", reason="the backend njit needs numba")
binding = pytest.importorskip("llvmlite.binding")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")

CALLS = """
    import hashlib
    import sys
    import numpy as np
    from fastnn.kernels.cpu import compiling
    from fastnn.kernels.cpu.simd import normalize
    rng = np.random.default_rng(0)
    x, gamma, beta = (rng.standard_normal(shape) for shape in [(20, 8, 32, 32), 8, 8])
    calls = {
        "pooled": lambda: normalize.forward_pooled(x, gamma, beta, 1e-5, (2, 2), (2, 2), np.uint8),
        "plain": lambda: normalize.forward(x, gamma, beta, 1e-5),
    }
    bits = {name: hashlib.sha256(b"".join(map(bytes, calls[name]()))).hexdigest() for name in sys.argv[1:]}
    print(compiling.compiled() > 0, bits["plain"], bits["pooled"])
"""


def bits(folder, *order):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CALLS), *order],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    compiled, *found = done.stdout.split()
    return compiled == "True", found


def test_compiled_and_loaded_kernels_compute_the_same_bits(tmp_path):
    compiled, expected = bits(tmp_path, "pooled", "plain")
    assert compiled
    assert bits(tmp_path, "pooled", "plain") == (False, expected)
    assert bits(tmp_path, "plain", "pooled") == (False, expected)


@compiling.uncached
def _sum(x):
    total = x.dtype.type(0)
    for value in x:
        total += value
    return total


@compiling.uncached
def _sums(x, count):
    total = 0.0
    for _ in range(count):
        total += _sum(x) + _sum(x[1:])
    return total


def test_functions_that_a_kernel_calls_are_private_to_it():
    assert _sums(np.ones(5), 2) == 18
    library = next(iter(_sums.overloads.values())).library
    defined = [function for function in library._final_module.functions if not function.is_declaration]
    assert any(function.linkage == binding.Linkage.private for function in defined)
    assert not [function.name for function in defined if function.linkage == binding.Linkage.linkonce_odr]
