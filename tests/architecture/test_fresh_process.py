"""The package in a new process: what is imported when; without Numba, not installed, with compilation disabled."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import AVAILABLE

import fastnn


def run_python(code, *options, **environment):
    """Run code in a new interpreter with only the given FASTNN_ and NUMBA_ variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FASTNN_", "NUMBA_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        env=kept | environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


def printed(code, *options, **environment):
    """Return what the code prints; assert that it succeeds without warnings."""
    done = run_python(code, *options, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_environment_is_not_read_at_import():
    code = """
        import os
        import fastnn, fastnn.kernels.conv2d
        os.environ["FASTNN_BACKEND"] = "naive"
        print(fastnn.get_backend())
    """
    assert printed(code, FASTNN_BACKEND="vectorized") == "naive"


def test_a_bad_environment_variable_raises_only_when_it_is_read():
    code = """
        import fastnn
        fastnn.set_backend("naive")
        with fastnn.use_backend("vectorized"):
            print(fastnn.get_backend())
        print(fastnn.get_backend())
    """
    assert printed(code, FASTNN_BACKEND="nonsense").split() == ["vectorized", "naive"]


def test_import_is_light():
    code = """
        import sys
        import fastnn, fastnn.kernels, fastnn.sweep, fastnn.testing
        from fastnn.kernels import affine, conv2d, pool2d, fused
        heavy = ["numba", "llvmlite", "matplotlib", "h5py", "scipy", "torch", "tqdm", "cupy", "mpi4py", "dask"]
        print([name for name in heavy if name in sys.modules])
    """
    assert printed(code) == "[]"


@pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed")
def test_a_machine_without_a_driver_imports_nothing_for_it():
    code = """
        import sys
        import fastnn
        from fastnn.kernels.gpu import availability
        availability.driver_version = lambda: None
        print(fastnn.backends()[-1].available)
        fastnn.set_backend("auto")
        heavy = ["numba.cuda", "numba_cuda", "cupy", "cuda"]
        print(fastnn.get_backend(), [name for name in heavy if name in sys.modules])
    """
    assert printed(code).splitlines() == ["False", "njit []"]


@pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed")
@pytest.mark.parametrize(("asked", "expected"), [("", "njit"), ("auto", "njit"), ("cuda", "cuda")])
def test_auto_never_chooses_the_simulator(asked, expected):
    code = """
        import numpy as np
        import fastnn
        from fastnn.kernels import affine
        print(fastnn.get_backend(), affine.affine_forward(np.ones((1, 2)), np.ones((2, 1)), np.ones(1)).tolist())
        print(fastnn.backends()[-1].device)
        fastnn.set_backend("auto")
        print(fastnn.get_backend())
    """
    actual = printed(code, NUMBA_ENABLE_CUDASIM="1", FASTNN_BACKEND=asked).splitlines()
    assert actual == [f"{expected} [[3.0]]", "simulated by numba, slowly, because NUMBA_ENABLE_CUDASIM is set", "njit"]


def test_without_numba_the_other_backends_work():
    code = """
        import sys
        sys.modules["numba"] = None
        import numpy as np
        import fastnn
        from fastnn.kernels import conv2d
        x, w, b = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), np.ones(1)
        for name in ("naive", "vectorized"):
            with fastnn.use_backend(name):
                out = conv2d.conv2d_forward(x, w, b)
                print(out.tolist(), conv2d.conv2d_backward(out, x, w)[2].tolist())
        print([line.name for line in fastnn.backends() if line.available])
        for chosen in (None, "njit", "auto", "cuda"):
            try:
                if chosen:
                    fastnn.set_backend(chosen)
                conv2d.conv2d_forward(x, w, b)
            except fastnn.BackendUnavailable as error:
                print(error, "|", type(error.__cause__).__name__)
    """
    actual = printed(code).splitlines()
    assert actual[:3] == ["[[[[5.0, 5.0], [5.0, 5.0]]]] [20.0]"] * 2 + ["['naive', 'vectorized']"]
    origins = ("the default: backend='njit'", "set_backend: backend='njit'", "set_backend: backend='njit'")
    for line, origin in zip(actual[3:], (*origins, "set_backend: backend='cuda'"), strict=True):
        remedy = r"install it with: pip install .*numba.* \| \w+Error"
        assert re.fullmatch(rf"{origin} cannot run here: importing numba failed \(.+\); {remedy}", line)


def test_a_source_tree_that_is_not_installed_says_so(tmp_path):
    (tmp_path / "fastnn").mkdir()
    shutil.copy(fastnn.__file__, tmp_path / "fastnn")
    done = run_python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastnn", "-S", "-I")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f"ImportError: fastnn: this is the source tree {tmp_path / 'fastnn'}, not an installed package; expected its "
        "kernels/ as fastnn.kernels; run `python -m pip install -e .` in the folder above and try again"
    )


@pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed")
def test_njit_runs_with_the_compiler_switched_off():
    code = """
        import numpy as np
        import fastnn
        from fastnn.kernels import affine, conv2d, pool2d, fused
        from fastnn.testing import against_naive
        rng = np.random.default_rng(0)
        x, w, b = rng.normal(size=(2, 2, 5, 6)), rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)
        out = against_naive(conv2d.conv2d_forward, x, w, b, 2, 1, terms=12)
        against_naive(conv2d.conv2d_backward, out, x, w, 2, 1, terms=24)
        out, index = against_naive(pool2d.max_pool2d_forward, x, 2, 1)
        against_naive(pool2d.max_pool2d_backward, out, index, x.shape, 2, 1)
        rows, matrix = x.reshape(2, 60), rng.normal(size=(60, 3))
        against_naive(affine.affine_forward, rows, matrix, b, terms=60)
        against_naive(fused.conv2d_relu_pool_forward, x, w, b, 1, 1, 2, 2, terms=12)
        print(fastnn.get_backend())
    """
    assert printed(code, NUMBA_DISABLE_JIT="1") == "njit"
