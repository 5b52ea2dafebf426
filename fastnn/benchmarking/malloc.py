"""glibc's malloc, on which PyTorch's times depend: as it is, and tuned so that large arrays are reused.

By default each large array is mapped anew and its pages are faulted in at the first write. The settings are read when
a process starts, so a tuned run is a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "20000000000",
    "MALLOC_TOP_PAD_": "67108864",
}


def state() -> str:
    """ "tuned" where this process was started with settings for all of them, else "default"."""
    return "tuned" if all(os.environ.get(name) for name in TUNED) else "default"


def run_tuned(arguments: Sequence[str] = ()) -> dict:
    """The result of `fastnn bench` with these arguments, run in a process with tuned malloc.

    Raises RuntimeError with what it left on stderr where it fails.
    """
    command = [sys.executable, "-m", "fastnn", "bench", *arguments, "--json", "-"]
    done = subprocess.run(command, env=os.environ | TUNED, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"run_tuned: fastnn bench ended with exit code {done.returncode}; expected 0; "
            f"it said: {done.stderr.strip()}"
        )
    return json.loads(done.stdout)
