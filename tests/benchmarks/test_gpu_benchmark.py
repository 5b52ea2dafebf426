"""`benchmarks/gpu.py` without a GPU, and the GPU results on the site."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

pytest.importorskip("numba", reason="its cases are those of the kernels that Numba compiles")

ROOT = Path(__file__).parents[2]
SCRIPT, RESULTS = ROOT / "benchmarks" / "gpu.py", ROOT / "benchmarks" / "results" / "gpu.json"
EXAMPLE = {
    "machine": {
        "gpu": "NVIDIA Example, compute capability 9.0",
        "gpu_versions": {"torch": "2.13.0", "torch_cuda": "13.0", "cudnn": 91900},
        "commit": "0123456789ab",
    },
    "networks": [
        {"network": "two-layer", "speedup": {"torch": 3.5, "torch graph": 1.25}},
        {"network": "with dropout", "speedup": {"torch": 2.0}},
    ],
    "operations": [
        {"operation": "conv2d", "case": "conv2d A", "pass": direction, "tf32": tf32, "speedup": {"torch": ratio}}
        for direction, tf32, ratio in (("forward", False, 0.9), ("backward", False, 0.8), ("forward", True, 0.7))
    ]
    + [
        {"operation": "normalization", "case": "batchnorm", "pass": "forward", "tf32": False, "speedup": {"torch": 9.0}}
    ],
}


def run(*arguments, **environment):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.skipif(any(line.name == "cuda" and line.available for line in fastnn.backends()), reason="there is a GPU")
def test_the_message_without_a_gpu():
    done = run()
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"gpu.py: there is no .*; expected an NVIDIA GPU; .*\n", done.stderr)


def test_the_table(tmp_path):
    (tmp_path / "gpu.json").write_text(json.dumps(EXAMPLE), encoding="utf-8")
    assert run("--table", tmp_path / "gpu.json").stdout.splitlines() == [
        "| training step | eager PyTorch | PyTorch's CUDA graph |",
        "| --- | ---: | ---: |",
        "| two-layer | 3.50 | 1.25 |",
        "| with dropout | 2.00 |  |",
        "",
        "| convolution | forward | backward | forward, TF32 | backward, TF32 |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| conv2d A | 0.90 | 0.80 | 0.70 |  |",
        "",
        "How many times as fast as PyTorch. NVIDIA Example, compute capability 9.0; CUDA 13.0, PyTorch 2.13.0, "
        "cuDNN 91900; commit 0123456789ab.",
    ]


def test_the_site_shows_the_measured_results_if_any():
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    if not RESULTS.exists():
        assert "**GPU figures are not measured yet.**" in text
        return
    shown = re.search(r"<!-- gpu -->\n(.*)<!-- /gpu -->", text, re.DOTALL)
    assert shown and shown[1] == run("--table", RESULTS).stdout
