"""Settings of glibc's malloc, which affect PyTorch's times: the default, and tuned to reuse large arrays.

By default each large array is newly mapped and its pages are faulted in at the first write. The settings are read when
a process starts, so a tuned run needs a separate process.
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
    """Return "tuned" if this process was started with all settings of `TUNED`, else "default"."""
    return "tuned" if all(os.environ.get(name) for name in TUNED) else "default"


def run_tuned(arguments: Sequence[str] = ()) -> dict:
    """Run `fastnn bench` with these arguments in a process with tuned malloc; return its result.

    Raises RuntimeError with its standard error if it fails.
    """
    command = [sys.executable, "-m", "fastnn", "bench", *arguments, "--json", "-"]
    done = subprocess.run(command, env=os.environ | TUNED, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"run_tuned: fastnn bench ended with exit code {done.returncode}; expected 0; "
            f"it said: {done.stderr.strip()}"
        )
    return json.loads(done.stdout)
