"""Programs on several processes of MPI."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason="mpi4py has no wheel here")

MPIEXEC = Path(sysconfig.get_path("scripts"), "mpiexec")
HELPERS = Path(__file__).parent

# a training with which others are compared; `options` and callbacks by the script
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {helpers!r})
from mpi4py import MPI
from sharded_runs import make
comm = MPI.COMM_WORLD
def last(callback):
    return [callback] if comm.rank == comm.size - 1 else []
{script}
"""


def start(size, script, folder, *, runner=("-m", "mpi4py"), **environment):
    """Start `size` processes of a script, in a folder."""
    path = folder / f"program{len(list(folder.glob('program*.py')))}.py"
    path.write_text(PROGRAM.format(helpers=str(HELPERS), script=script))
    return launch(size, [sys.executable, *runner, str(path)], folder, **environment)


def launch(size, command, folder, **environment):
    """Start `size` processes of a command, in a folder."""
    if not MPIEXEC.exists():
        pytest.skip("mpiexec is not in this environment: mpich has no wheel here")
    return subprocess.Popen(
        [str(MPIEXEC), "-n", str(size), *command],
        cwd=folder,
        env={**os.environ, "FASTNN_BACKEND": "vectorized", "OPENBLAS_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, **options):
    """Run a script to its end; return its exit code, output and errors."""
    with start(*arguments, **options) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err
