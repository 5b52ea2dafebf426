"""The first hour with a GPU: check the kernels on it, then time them, the most important first.

    python benchmarks/gpu_first_run.py --minutes 60
    NUMBA_ENABLE_CUDASIM=1 python benchmarks/gpu_first_run.py --tiny --out FILE    the same steps, without a GPU

Steps, each printed and saved in results/gpu.json before the next begins:

    versions        of everything, and the backends; ends here unless cuda is offered
    products        affine and convolution in float32 and TF32 at odd sizes, on unrounded normal numbers, compared with
                    float64; the largest error, as a fraction of the sum of the magnitudes of an output's products
    training        a Solver that replays CUDA graphs, and one that launches each kernel: the same bits
    memcheck, racecheck    both of these on tiny sizes, in NVIDIA's compute-sanitizer
    tests           those of tests/kernels/gpu without the long ones
    networks, operations   as in `gpu.py`: training steps of networks, then convolutions, then the other operations

A step that fails is saved with its error, and the next one begins. The exit status is 1 if one failed, 2 without cuda.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import gpu
import numpy as np
from gpu_peers import precision
from networks import STEPS, Network
from steps import with_batches_of

import fastnn
from fastnn import environment, nn
from fastnn.benchmarking.cases import CASES
from fastnn.kernels import affine, conv2d, to_device, to_numpy, use_backend
from fastnn.kernels.gpu import products as matrix_products
from fastnn.solver import Solver

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "kernels" / "gpu" / "test_gpu.py"
LONG = "not sanitizer and not full_size and not thousand and not tensor_cores"
CHECKS = ("products", "training")
TOOLS = ("memcheck", "racecheck")
AFFINE = ((1, 1, 1), (37, 131, 61), (100, 3072, 100), (129, 515, 257), (257, 8, 1030))  # N, D, M
TINY_AFFINE = ((1, 1, 1), (5, 7, 3), (4, 8, 12))
CONVOLUTIONS = (  # N, C, H, W, F, window, stride, pad
    (1, 1, 1, 1, 1, 1, 1, 0), (3, 3, 31, 29, 5, 3, 2, 1), (7, 5, 13, 17, 67, 5, 1, 2), (2, 64, 33, 31, 130, 3, 1, 1),
    (50, 3, 32, 32, 32, 7, 1, 3), (2, 7, 9, 9, 3, 3, 3, 0),
)  # fmt: skip
TINY_CONVOLUTIONS = ((1, 1, 1, 1, 1, 1, 1, 0), (2, 3, 5, 4, 3, 3, 1, 1), (2, 1, 6, 5, 2, 2, 2, 1))
# of the sum of magnitudes: float32 is rounded at every addition, TF32 has factors with a 10-bit mantissa
LIMITS = {False: 1e-5, True: 1.5e-3}


def main() -> int:
    arguments = _parser().parse_args()
    end, tiny = time.monotonic() + 60 * arguments.minutes, arguments.tiny
    line = next(line for line in fastnn.backends() if line.name == "cuda")
    backends = {one.name: one.device or one.reason or "available" for one in fastnn.backends()}
    print("\n".join(f"{name}: {about}" for name, about in backends.items()))
    if not line.available or (not tiny and (problem := gpu.missing())):
        print(f"gpu_first_run.py: {problem if line.available else f'{line.reason}; {line.remedy}'}", file=sys.stderr)
        return 2
    steps = arguments.only or (*CHECKS, *TOOLS, "tests", "networks", "operations")
    machine = {**environment.describe(), **gpu.about_gpu()}
    results = gpu.Results(arguments.out, end, machine=machine, backends=backends)
    print("\n".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
    for step in steps:
        if step in CHECKS:
            results.add(step, step, lambda step=step: {"products": products, "training": training}[step](tiny))
        elif step in TOOLS:
            results.add(step, step, lambda step=step: [sanitized(step, arguments.out)])
        elif step == "tests":
            results.add(step, step, lambda: [tested()])
    settings = gpu.TINY if tiny else gpu.Settings()
    gpu.time_all(
        results,
        (TINY_NETWORKS if tiny else STEPS) if "networks" in steps else (),
        (TINY_CASES if tiny else CASES) if "operations" in steps else (),
        settings,
    )
    failed = [part for part, rows in results.found.items() if part not in ("machine", "backends") and _failed(rows)]
    print(f"\n{gpu.table(results.found)}\n\n{arguments.out} written; failed: {', '.join(failed) or 'nothing'}.")
    return int(bool(failed))


def products(tiny: bool) -> Iterator[dict[str, Any]]:
    """Errors of affine and convolution, forward and backward."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, dtype=np.float32)

    for N, D, M in TINY_AFFINE if tiny else AFFINE:
        x, w, b, dout = normal(N, D), normal(D, M), normal(M), normal(N, M)
        yield from compared(
            f"affine {N}x{D}x{M}",
            lambda x, w, b, dout: (affine.affine_forward(x, w, b), *affine.affine_backward(dout, x, w)),
            (x, w, b, dout),
        )
    for N, C, H, W, F, size, stride, pad in TINY_CONVOLUTIONS if tiny else CONVOLUTIONS:
        x, w, b = normal(N, C, H, W), normal(F, C, size, size), normal(F)
        dout = normal(N, F, (H + 2 * pad - size) // stride + 1, (W + 2 * pad - size) // stride + 1)
        yield from compared(
            f"conv2d {N}x{C}x{H}x{W} {F}f{size} s{stride} p{pad}",
            lambda x, w, b, dout, stride=stride, pad=pad: (
                conv2d.conv2d_forward(x, w, b, stride, pad),
                *conv2d.conv2d_backward(dout, x, w, stride, pad),
            ),
            (x, w, b, dout),
        )


def compared(name: str, function: Any, arrays: tuple[np.ndarray, ...]) -> Iterator[dict[str, Any]]:
    """Compare a function on the GPU with NumPy in float64, in float32 and TF32."""
    with use_backend("vectorized"):
        wide = [array.astype(np.float64) for array in arrays]
        expected, magnitudes = function(*wide), function(*map(np.abs, wide))
    for tf32 in (False, True):
        on_tiles = mock.patch.object(matrix_products, "CHOSEN", matrix_products.on_tiles)  # in the simulator too
        with precision(tf32), use_backend("cuda"), on_tiles:
            actual = [*map(to_numpy, function(*map(to_device, arrays)))]
        error = max(
            float((np.abs(one - other) / np.maximum(sizes, 1e-30)).max(initial=0))
            for one, other, sizes in zip(actual, expected, magnitudes, strict=True)
        )
        row = {"case": name, "tf32": tf32, "largest_error": error, "limit": LIMITS[tf32]}
        yield row if error <= LIMITS[tf32] else {**row, "error": f"off by {error:.2g}; expected {LIMITS[tf32]:.2g}"}


def training(tiny: bool) -> Iterator[dict[str, Any]]:
    """Train by graphs and kernel by kernel, and compare the bits of losses and parameters."""
    size, filters, batches = (4, 2, 4) if tiny else (32, 32, 12)
    generator = np.random.default_rng(0)
    X = generator.standard_normal((4 * batches, 3, size, size), dtype=np.float32)
    y = generator.integers(0, 10, len(X))
    for tf32 in (False, True):
        results = []
        for callbacks in ((), (lambda solver: None,)):
            layers = nn.Conv2d(3, filters, 3, padding=1, seed=0), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)
            model = nn.Sequential(
                *layers, nn.Flatten(), nn.Dropout(0.2, seed=1), nn.Linear(filters * size * size // 4, 10, seed=2)
            )
            with precision(tf32), use_backend("cuda"):
                data = {"X_train": X, "y_train": y, "X_val": X[:4], "y_val": y[:4]}
                solver = Solver(
                    model, data, update_rule="adam", batch_size=4, num_epochs=2, num_train_samples=4, verbose=False,
                    seed=3, callbacks=callbacks,
                )  # fmt: skip
                solver.train()
            arrays = [np.array(solver.loss_history), *map(np.asarray, solver.model.params.values())]
            results.append((solver._graph_training.reason, [array.tobytes() for array in arrays]))
        (reason, by_graph), (_, one_by_one) = results
        row = {
            "tf32": tf32,
            "iterations": len(solver.loss_history),
            "reason": reason,
            "same_bits": by_graph == one_by_one,
        }
        yield row if row["same_bits"] and not reason else {**row, "error": reason or "the bits differ"}


def sanitized(tool: str, out: Path) -> dict[str, Any]:
    """Run both checks on tiny sizes in compute-sanitizer, with each array in its own allocation."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        return {"skipped": "compute-sanitizer was not found; it is part of the CUDA toolkit"}
    inside = [__file__, "--tiny", "--out", str(out.with_suffix(f".{tool}.json")), "--only", *CHECKS]
    program = f"import cupy, runpy, sys; cupy.cuda.set_allocator(None); sys.argv = {inside!r}; "
    program += f"sys.path.insert(0, {str(Path(__file__).parent)!r}); runpy.run_path({__file__!r}, run_name='__main__')"
    return _ended([sanitizer, "--tool", tool, "--error-exitcode", "99", sys.executable, "-c", program])


def tested() -> dict[str, Any]:
    """Run the tests on a GPU, without the long ones."""
    return _ended([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS), "-k", LONG])


def _ended(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    row = {"status": done.returncode, "output": (done.stdout + done.stderr)[-2000:]}
    return {**row, "error": f"it ended with {done.returncode}"} if done.returncode else row


def _failed(rows: list[Any]) -> bool:
    return any(isinstance(row, dict) and "error" in row for row in rows)


def _linear(generator: Any) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 2, seed=generator), nn.ReLU(), nn.Linear(2, 10, seed=generator))


TINY_NETWORKS = (with_batches_of(Network("tiny", (0.0, 0.0), _linear, {**STEPS[0].training, "num_epochs": 1}), 2),)
TINY_CASES = tuple(
    {case.operation: case for case in CASES if case.operation in ("conv2d", "affine", "activations")}.values()
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--minutes", type=float, default=60, help="begin nothing after them, default %(default)s")
    parser.add_argument("--out", type=Path, default=gpu.RESULTS, help="JSON file, default %(default)s")
    parser.add_argument("--tiny", action="store_true", help="small sizes, also in the simulator")
    steps = (*CHECKS, *TOOLS, "tests", "networks", "operations")
    parser.add_argument("--only", nargs="+", choices=steps, metavar="STEP", help=f"of {', '.join(steps)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
