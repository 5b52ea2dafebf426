"""How long the compilation of all GPU kernels takes; needs numba-cuda with its compiler, but no GPU.

    python benchmarks/gpu_compile.py                    launch every kernel in the simulator, by running its tests, then
                                                        compile it for all types that it was launched with
    python benchmarks/gpu_compile.py --types FILE       with the types that an earlier run wrote to FILE
    python benchmarks/gpu_compile.py --slowest 10       also print the slowest kernels

Kernels are compiled into an empty folder by two processes, then loaded from it. Printed are the seconds of the
processors, which do not depend on what else the machine does, with those of the imports.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parents[1]
CAPABILITY, PROCESSES = (9, 0), 2


def main() -> int:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as place:
        file = arguments.types or Path(place, "types.json")
        if not file.exists():
            launch_all(file)
        work = [(name, words) for name, lists in json.loads(file.read_text("utf-8")).items() for words in lists]
        work.sort(key=lambda one: "_product " not in one[0])  # the slowest first
        os.environ["FASTNN_CUBINS"] = str(Path(place, "cubins"))
        for how in ("compiled", "loaded"):
            began = time.perf_counter()
            seconds = compile_all(work)
            wall, total = time.perf_counter() - began, sum(seconds.values())
            print(
                f"{len(work)} kernels {how}: {total:.1f} s of processors, {total / PROCESSES:.1f} s for each of "
                f"{PROCESSES}; {wall:.1f} s passed"
            )
            if how == "compiled":
                slowest = sorted(seconds, key=lambda name: -seconds[name])[: arguments.slowest]
                print("\n".join(f"{seconds[name]:6.2f} s  {name}" for name in slowest))
    return 0


def launch_all(file: Path) -> None:
    """Write the types that each kernel is launched with in its tests in the simulator."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "FASTNN_TEST_SIGNATURES": str(file)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels/simulated"]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)


def compile_all(work: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Compile kernels in new processes; return each one's seconds of a processor, the first with imports."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        seconds = dict(zip((f"{name}({words})" for name, words in work), pool.map(compile_one, work), strict=True))
    return seconds


def compile_one(one: tuple[str, str]) -> float:
    """Compile a kernel, or load it, and return the seconds of a processor."""
    began = time.process_time()
    name, words = one
    from fastnn.kernels.gpu import tile_shapes  # noqa: F401  (makes the kernels of tiles)

    importlib.import_module(name.partition(":")[0])
    from fastnn.kernels.gpu import cubins
    from fastnn.kernels.gpu.launch import KERNELS

    cubins.compiled(KERNELS[name], tuple(words.split()), CAPABILITY)
    return time.process_time() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--types", type=Path, metavar="FILE", help="types of the kernels; written if it does not exist")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="kernels to print with their seconds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
