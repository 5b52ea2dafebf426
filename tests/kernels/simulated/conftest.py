"""Tests of the cuda backend in the simulator; `tests/kernels/gpu/test_cuda.py` runs them in a separate process."""

import json
import os
from pathlib import Path

import pytest
from numba import config

import fastnn

SIGNATURES = "FASTNN_TEST_SIGNATURES"  # the file to which launched kernels and their types are written

if not config.ENABLE_CUDASIM:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _on_cuda(_switch_as_in_a_new_process):
    with fastnn.use_backend("cuda"):
        yield


def pytest_sessionfinish():
    if path := os.environ.get(SIGNATURES):
        from fastnn.kernels.gpu.launch import KERNELS

        seen = {
            name: sorted(map(" ".join, kernel.signatures))
            for name, kernel in KERNELS.items()
            if name.startswith("fastnn.")
        }
        Path(path).write_text(json.dumps(seen, indent=1), encoding="utf-8")
