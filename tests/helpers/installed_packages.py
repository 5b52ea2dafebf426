"""Processes that find the packages which a test installs into a folder; see the fixture `site`."""

import os
import subprocess
import sys


def run(folder, *arguments, **environment):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FASTNN_", "PYTEST"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env=kept | {"PYTHONPATH": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
