"""The backend cuda without a GPU: its own tests in numba's simulator, and what its kernels compile to."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
pytest.importorskip("numba.cuda", reason="the backend cuda needs numba")
CAPABILITIES = ((8, 0), (9, 0))
NO_COMPILER = importlib.util.find_spec("numba_cuda") is None or importlib.util.find_spec("nvidia") is None
TRAPS = {
    "arithmetic in float64": r"\.f64",
    "division of 64-bit whole numbers": r"\b(div|rem)\.[su]64",
    "memory of a thread's own, which is slow": r"__local_depot",
}


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    """Run the tests in the simulator; the kernels that they launched, each with the types of its arguments."""
    path = tmp_path_factory.mktemp("cuda") / "signatures.json"
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "FASTNN_TEST_SIGNATURES": str(path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / "cuda")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=FOLDER.parent)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_kernel_passes_its_tests_in_the_simulator(signatures):
    """The tests themselves run in the fixture."""
    files = sorted(path.parent.name for path in (FOLDER.parent / "kernels").glob("*/cuda.py"))
    tested = {name.split(".")[2] for name in signatures} - {"gpu"}
    assert tested == set(files)
    assert [name for name, words in signatures.items() if not words] == []


@pytest.mark.skipif(NO_COMPILER, reason="needs numba-cuda with its compiler: pip install 'numba-cuda[cu13]'")
def test_kernels_compile_without_traps(signatures):
    from fastnn.kernels.gpu import cubins
    from fastnn.kernels.gpu.launch import KERNELS

    for name, lists in signatures.items():
        importlib.import_module(name.partition(":")[0])
        for words in (words.split() for words in lists):
            for capability in CAPABILITIES:
                text = cubins.ptx(KERNELS[name].function, tuple(words), capability)
                in_float64 = any(word.endswith("f8") for word in words)
                for trap, pattern in TRAPS.items():
                    if not (in_float64 and "float64" in trap):
                        assert not re.search(pattern, text), f"{name}({', '.join(words)}) for {capability}: {trap}"
                assert cubins.link(text, capability)
