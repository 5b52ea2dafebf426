"""Check and time the CUDA kernels and the networks' training steps against PyTorch on the same GPU.

    python benchmarks/gpu.py                       everything; writes results/gpu.json
    python benchmarks/gpu.py conv2d                only cases whose names contain a word, and no networks
    python benchmarks/gpu.py --table FILE          print the table of an earlier JSON file

Every case is checked against NumPy in float64, then timed with its arrays on the GPU, interleaved with PyTorch (cuDNN,
cuBLAS): in float32, and matrix products with TF32 as well. Calls are queued and synchronized at the end, as in
training. Networks are trained by Solver, which replays its iterations as a CUDA graph if possible; PyTorch's steps run
eagerly and as a CUDA graph.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from networks import STEPS, Network
from steps import RATE, noise

import fastnn
from fastnn import environment
from fastnn.benchmarking import measure, report, summary
from fastnn.benchmarking.cases import CASES, Case
from fastnn.benchmarking.table import markdown
from fastnn.kernels import to_device, to_numpy, use_backend
from fastnn.solver import Solver
from fastnn.training.graph_training import GraphTraining
from fastnn.training.placement import on_device

RESULTS = Path(__file__).parent / "results" / "gpu.json"
TF32_OPERATIONS = ("conv2d", "affine", "fused")
TF32_TOLERANCE = 2e-3  # relative to the largest expected element: TF32 has a 10-bit mantissa
QUEUED, ITERATIONS = 20, 100  # calls, and iterations, between synchronizations


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    if problem := missing():
        print(f"gpu.py: {problem}", file=sys.stderr)
        return 2
    words = [word.lower() for word in arguments.words]
    chosen = [case for case in CASES if not words or any(word in case.name.lower() for word in words)]
    results = {
        "machine": {**environment.describe(), **about_gpu()},
        "operations": [result for case in chosen for result in operations(case, arguments.rounds)],
        "networks": [] if words else [steps(network, arguments.rounds) for network in STEPS],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(results)}\n\n{arguments.out} written.")
    return 0


def missing() -> str:
    """The reason why nothing can be timed here, or an empty string."""
    (line,) = (line for line in fastnn.backends() if line.name == "cuda")
    if not line.available or "simulated" in line.device:
        found = line.reason or f"the GPU is {line.device}"
        return f"{found}; expected an NVIDIA GPU; run it on a machine with one ({line.remedy or 'and without it'})"
    try:
        import torch
    except ImportError as error:
        return f"importing torch failed ({error}); expected PyTorch to compare with; install it for the same GPU"
    return "" if torch.cuda.is_available() else "PyTorch finds no GPU; expected a build for CUDA; install one"


def about_gpu() -> dict[str, Any]:
    """The GPU, its driver and library versions."""
    import torch

    from fastnn.kernels.gpu import availability

    packages = ("numba-cuda", "cuda-core", "cuda-bindings")
    return {
        "gpu": availability.device(),
        "driver": availability.driver_version(),
        "gpu_versions": {name: importlib.metadata.version(name) for name in packages}
        | {"cupy": __import__("cupy").__version__, "torch": torch.__version__}
        | {"torch_cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()},
    }


def operations(case: Case, rounds: int) -> list[dict[str, Any]]:
    """Check and time the passes of a case; matrix products also with TF32."""
    found = []
    for tf32 in (False, True) if case.operation in TF32_OPERATIONS else (False,):
        with precision(tf32), peers_on_gpu():
            arrays = case.inputs(np.float32)
            with use_backend("cuda"):
                ours = case.calls({name: to_device(array) for name, array in arrays.items()})
            check(case, report.reference(case, arrays), ours, tf32)
            theirs = case.torch_calls(arrays)
            for direction in case.passes:
                calls = {"cuda": ours[direction], **({"torch": theirs[direction]} if direction in theirs else {})}
                queued = {name: _queued(call, QUEUED) for name, call in calls.items()}
                timings = measure.alternate(queued, rounds, around=report.around)
                seconds = {name: timing.median / QUEUED for name, timing in timings.items()}
                cost, unit = case.cost(direction, 4)
                rate = {name: cost / value for name, value in seconds.items()}
                entry = {"case": case.name, "operation": case.operation, "pass": direction, "tf32": tf32}
                found.append({**entry, "seconds": seconds, "unit": unit, "rate": rate, **_speedup(seconds)})
                print(f"{case.name}, {direction}{', TF32' if tf32 else ''}: {_words(found[-1])}", flush=True)
    return found


def check(case: Case, expected: dict[str, tuple], calls: dict[str, Callable], tf32: bool) -> None:
    """Compare with the reference, within `TF32_TOLERANCE` if TF32 is used."""
    if not tf32:
        report.check(case, expected, "cuda", calls, np.float32)
        return
    with use_backend("cuda"):
        for direction, call in calls.items():
            results = call()
            results = results if isinstance(results, tuple) else (results,)
            for actual, wanted in zip(results, expected[direction], strict=True):
                if wanted.dtype.kind == "f" and actual is not None:
                    limit = TF32_TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0)))
                    difference = float(np.abs(to_numpy(actual) - wanted).max(initial=0))
                    if not difference <= limit:
                        raise report.WrongResult(
                            f"gpu: {case.name}, {direction}, TF32, is off by {difference:.2g}; expected {limit:.2g}"
                        )


def steps(network: Network, rounds: int) -> dict[str, Any]:
    """Time training iterations of a network in fastnn and PyTorch."""
    import torch
    from peers import check as check_equivalence
    from peers import torch_step

    check_equivalence(network, 8)
    data, entry = noise(network), {"network": network.name, "images": network.solver_arguments()["batch_size"]}
    with use_backend("cuda"):
        arguments = {**network.solver_arguments(), "transform": None, "schedule": None}
        arguments["optim_config"] = {**arguments["optim_config"], "learning_rate": RATE}
        solver = Solver(network.build(np.random.default_rng(0)), data, seed=0, verbose=False, **arguments)
        with on_device(solver):
            solver._iterate()
            training = GraphTraining(solver)
            training.advance(4)  # traced and captured

            def ours() -> None:
                for _ in range(ITERATIONS if training.reason else 1):
                    solver._iterate() if training.reason else training.advance(ITERATIONS)

            eager = torch_step(network, RATE, data, fused=True, device="cuda")
            calls = {"cuda": ours, "torch": _queued(eager, ITERATIONS)}
            with contextlib.suppress(RuntimeError):  # PyTorch cannot capture some networks
                calls["torch graph"] = _queued(graph(network, data), ITERATIONS)
            before = fastnn.transfers()
            timings = measure.alternate(calls, rounds, around=lambda name: report.around(name.partition(" ")[0]))
            moved = sum(fastnn.transfers()) - sum(before)
            torch.cuda.synchronize()
    seconds = {name: timing.median / ITERATIONS for name, timing in timings.items()}
    entry |= {"seconds": seconds, "reason": training.reason, "bytes_moved": moved, **_speedup(seconds)}
    print(f"{network.name}: {_words(entry)}", flush=True)
    return entry


def graph(network: Network, data: dict[str, np.ndarray]) -> Callable[[], Any]:
    """PyTorch's step as a CUDA graph, captured as in its documentation."""
    import torch
    from peers import torch_step

    step = torch_step(network, RATE, data, fused=True, device="cuda", capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        step()
    return captured.replay


@contextlib.contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """Context in which both fastnn and PyTorch may use TF32, or neither."""
    import torch

    with mock.patch.dict(os.environ, {"FASTNN_TF32": str(int(tf32))}):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True  # cuDNN times its algorithms and chooses the fastest
        yield


@contextlib.contextmanager
def peers_on_gpu() -> Iterator[None]:
    """Context in which the cases' PyTorch calls use tensors on the GPU."""
    import torch

    from_numpy = torch.from_numpy
    with mock.patch.object(torch, "from_numpy", lambda array: from_numpy(array).cuda()):
        yield


def _queued(call: Callable[[], Any], times: int) -> Callable[[], None]:
    """A function that makes `times` calls and synchronizes at the end."""

    def queued() -> None:
        import torch

        for _ in range(times):
            call()
        torch.cuda.synchronize()  # the whole device, fastnn's streams included

    return queued


def _speedup(seconds: dict[str, float]) -> dict[str, dict[str, float]]:
    return {"speedup": {name: value / seconds["cuda"] for name, value in seconds.items() if name != "cuda"}}


def _words(result: dict[str, Any]) -> str:
    parts = [f"{1e6 * result['seconds']['cuda']:.1f} us"]
    return ", ".join([*parts, *(f"{ratio:.2f} times as fast as {name}" for name, ratio in result["speedup"].items())])


def table(results: dict[str, Any]) -> str:
    """The Markdown table of the README: speedups over PyTorch."""
    about = results["machine"]
    rows = []
    for one in results["networks"]:
        rows.append([one["network"], *(_decimals(one["speedup"].get(name)) for name in ("torch", "torch graph"))])
    lines = [markdown(["training step", "eager PyTorch", "PyTorch's CUDA graph"], rows)]
    rows, columns = [], [(direction, tf32) for tf32 in (False, True) for direction in ("forward", "backward")]
    convolutions = [one for one in results["operations"] if one["operation"] == "conv2d" and one["speedup"]]
    for case, passes in summary.grouped(convolutions, "case").items():
        found = {(one["pass"], one["tf32"]): one["speedup"]["torch"] for one in passes}
        rows.append([case, *(_decimals(found.get(column)) for column in columns)])
    headings = [direction + ", TF32" * tf32 for direction, tf32 in columns]
    lines.append(markdown(["convolution", *headings], rows))
    versions = about["gpu_versions"]
    where = f"{about['gpu']}; CUDA {versions['torch_cuda']}, PyTorch {versions['torch']}, cuDNN {versions['cudnn']}"
    return "\n".join([*lines, f"How many times as fast as PyTorch. {where}; commit {about['commit']}."])


def _decimals(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("words", nargs="*", help="words in names of cases; default everything")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file, default %(default)s")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each, default %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
