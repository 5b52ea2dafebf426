"""Check and time the CUDA kernels and the networks' training steps against PyTorch on the same GPU.

    python benchmarks/gpu.py                       everything; writes results/gpu.json
    python benchmarks/gpu.py conv2d                only cases whose names contain a word, and no networks
    python benchmarks/gpu.py --minutes 10          what can be done in that time, networks first, then convolutions
    python benchmarks/gpu.py --table FILE          print the table of an earlier JSON file

Every case is checked against NumPy in float64, then timed with its arrays on the GPU, interleaved with PyTorch (cuDNN,
cuBLAS): in float32, and matrix products with TF32 as well. Calls are queued and synchronized at the end, as in
training. Networks are trained by Solver, which replays its iterations as a CUDA graph if possible; PyTorch's steps and
convolutions run eagerly and as a CUDA graph, convolutions also on images in its memory format `channels_last`.

The file is written after each case. A case that fails is a row with its error, and the others go on.
`benchmarks/gpu_first_run.py` checks a new GPU before it times these cases.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gpu_peers import brief, captured_step, peers, precision
from networks import STEPS, Network
from steps import RATE, noise

import fastnn
from fastnn import environment
from fastnn.benchmarking import measure, report, summary
from fastnn.benchmarking.cases import CASES, Case
from fastnn.benchmarking.table import markdown
from fastnn.kernels import to_device, to_numpy, use_backend
from fastnn.output import atomic
from fastnn.solver import Solver
from fastnn.training.graph_training import GraphTraining
from fastnn.training.placement import on_device

RESULTS = Path(__file__).parent / "results" / "gpu.json"
TF32_OPERATIONS = ("conv2d", "affine", "fused")
TF32_TOLERANCE = 2e-3  # relative to the largest expected element: TF32 has a 10-bit mantissa


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to time.

    rounds, settle: see `measure.alternate`; a GPU has no threads that need to settle
    queued, iterations: calls, and training iterations, between synchronizations
    tiny: small cases and networks, with PyTorch on the CPU, for the simulator
    """

    rounds: int = 3
    settle: float = 0.02
    queued: int = 20
    iterations: int = 100
    tiny: bool = False

    @property
    def device(self) -> str:
        """PyTorch's."""
        return "cpu" if self.tiny else "cuda"


TINY = Settings(rounds=1, settle=0.0, queued=1, iterations=2, tiny=True)


class Results:
    """The results so far, in a JSON file that is complete after each row.

    deadline: the time in seconds, as of `time.monotonic`, after which no case is begun
    """

    def __init__(self, path: Path, deadline: float = float("inf"), **first: Any) -> None:
        self.path, self.deadline = path, deadline
        self.found: dict[str, Any] = {**first, "networks": [], "operations": [], "left_out": []}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self) -> None:
        """Write the file."""
        atomic.write_text(self.path, json.dumps(self.found, indent=1) + "\n")

    def add(self, part: str, name: str, rows: Callable[[], Iterable[dict[str, Any]]]) -> None:
        """Add rows one by one to a part of the results, then the error, if there was one. Print and save each."""
        if time.monotonic() > self.deadline:
            self.found["left_out"].append(f"{part}: {name}")
            self.save()
            return
        try:
            for row in rows():
                self._keep(part, name, row)
        except Exception as error:  # whatever it is, the other cases are timed
            self._keep(part, name, {"name": name, "error": brief(error)})

    def _keep(self, part: str, name: str, row: dict[str, Any]) -> None:
        self.found.setdefault(part, []).append(row)
        self.save()
        print(f"{name}: {_words(row)}", flush=True)


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
    end = time.monotonic() + 60 * arguments.minutes
    results = Results(arguments.out, end, machine={**environment.describe(), **about_gpu()})
    time_all(results, [] if words else STEPS, chosen, Settings(rounds=arguments.rounds))
    print(f"\n{table(results.found)}\n\n{arguments.out} written.")
    return 0


def time_all(results: Results, networks: Iterable[Network], cases: Iterable[Case], settings: Settings) -> None:
    """Time networks, then convolutions, then other operations."""
    for network in networks:
        results.add("networks", network.name, lambda network=network: [steps(network, settings)])
    for case in sorted(cases, key=lambda case: case.operation != "conv2d"):
        for tf32 in (False, True) if case.operation in TF32_OPERATIONS else (False,):
            name = f"{case.name}{', TF32' * tf32}"
            results.add("operations", name, lambda case=case, tf32=tf32: operations(case, tf32, settings))


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

    packages = "numba-cuda", "cuda-core", "cuda-bindings", "cupy-cuda12x", "cupy-cuda13x"
    found: dict[str, Any] = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    found["cudnn"] = torch.backends.cudnn.version()
    return {"gpu": availability.device(), "driver": availability.driver_version(), "gpu_versions": found}


def operations(case: Case, tf32: bool, settings: Settings) -> Iterator[dict[str, Any]]:
    """Check a case, then time each pass."""
    case = case.tiny() if settings.tiny else case
    with precision(tf32):
        arrays = case.inputs(np.float32)
        with use_backend("cuda"):
            ours = case.calls({name: to_device(array) for name, array in arrays.items()})
        check(case, report.reference(case, arrays), ours, tf32)
        theirs, errors = peers(case, arrays, tf32, settings.device)
        for direction in case.passes:
            calls = {"cuda": ours[direction]} | {name: of[direction] for name, of in theirs.items() if direction in of}
            queued = {name: _queued(call, settings.queued, settings) for name, call in calls.items()}
            before = fastnn.transfers()
            timings = measure.alternate(queued, settings.rounds, settings.settle, around=_around)
            moved = sum(fastnn.transfers()) - sum(before)
            seconds = {name: timing.median / settings.queued for name, timing in timings.items()}
            cost, unit = case.cost(direction, 4)
            rate = {name: cost / value for name, value in seconds.items()}
            entry = {"case": case.name, "operation": case.operation, "pass": direction, "tf32": tf32}
            entry |= {"errors": errors} if errors else {}
            yield {**entry, "seconds": seconds, "unit": unit, "rate": rate, "moved": moved, **_speedup(seconds)}


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


def steps(network: Network, settings: Settings) -> dict[str, Any]:
    """Time training iterations of a network in fastnn and PyTorch."""
    from peers import check as check_equivalence
    from peers import torch_step

    check_equivalence(network, 2 if settings.tiny else 8)
    data, entry = noise(network), {"network": network.name, "images": network.solver_arguments()["batch_size"]}
    times, errors = settings.iterations, {}
    with use_backend("cuda"):
        arguments = {**network.solver_arguments(), "transform": None, "schedule": None}
        arguments["optim_config"] = {**arguments["optim_config"], "learning_rate": RATE}
        solver = Solver(network.build(np.random.default_rng(0)), data, seed=0, verbose=False, **arguments)
        with on_device(solver):
            solver._iterate()
            training = GraphTraining(solver)
            training.advance(4)  # traced and captured

            def ours() -> None:
                for _ in range(times if training.reason else 1):
                    solver._iterate() if training.reason else training.advance(times)

            calls = {"cuda": ours}
            for name, step in (("torch", torch_step), ("torch graph", captured_step)):
                try:
                    peer = step(network, RATE, data, fused=True, device=settings.device)
                    calls[name] = _queued(peer, times, settings)
                except Exception as error:  # PyTorch cannot capture some networks
                    errors[name] = brief(error)
            before = fastnn.transfers()
            timings = measure.alternate(calls, settings.rounds, settings.settle, around=_around)
            moved = sum(fastnn.transfers()) - sum(before)
            _synchronize(settings)
            training.close()
    seconds = {name: timing.median / times for name, timing in timings.items()}
    entry |= {"errors": errors} if errors else {}
    return {**entry, "seconds": seconds, "reason": training.reason, "bytes_moved": moved, **_speedup(seconds)}


def _around(name: str) -> contextlib.AbstractContextManager:
    return report.around(name.partition(" ")[0])


def _synchronize(settings: Settings) -> None:
    if not settings.tiny:
        import torch

        torch.cuda.synchronize()  # the whole device, fastnn's streams included


def _queued(call: Callable[[], Any], times: int, settings: Settings) -> Callable[[], None]:
    """A function that makes `times` calls and synchronizes at the end."""

    def queued() -> None:
        for _ in range(times):
            call()
        _synchronize(settings)

    return queued


def _speedup(seconds: dict[str, float]) -> dict[str, dict[str, float]]:
    return {"speedup": {name: value / seconds["cuda"] for name, value in seconds.items() if name != "cuda"}}


def _words(row: dict[str, Any]) -> str:
    if "seconds" not in row:
        return row.get("error") or ", ".join(f"{name} {value}" for name, value in row.items() if name != "name")
    parts = [f"{row.get('pass', '')} {1e6 * row['seconds']['cuda']:.1f} us".strip()]
    return ", ".join([*parts, *(f"{ratio:.2f} times as fast as {name}" for name, ratio in row["speedup"].items())])


def table(results: dict[str, Any]) -> str:
    """The Markdown table of docs/gpu.md: speedups over PyTorch."""
    about = results["machine"]
    rows = []
    for one in _timed(results["networks"]):
        rows.append([one["network"], *(_decimals(one["speedup"].get(name)) for name in ("torch", "torch graph"))])
    lines = [markdown(["training step", "eager PyTorch", "PyTorch's CUDA graph"], rows)]
    rows, columns = [], [(direction, tf32) for tf32 in (False, True) for direction in ("forward", "backward")]
    convolutions = [one for one in _timed(results["operations"]) if one["operation"] == "conv2d" and one["speedup"]]
    for case, passes in summary.grouped(convolutions, "case").items():
        found = {(one["pass"], one["tf32"]): one["speedup"]["torch"] for one in passes}
        rows.append([case, *(_decimals(found.get(column)) for column in columns)])
    headings = [direction + ", TF32" * tf32 for direction, tf32 in columns]
    lines.append(markdown(["convolution", *headings], rows))
    versions = about["gpu_versions"]
    where = f"{about['gpu']}; CUDA {versions['torch_cuda']}, PyTorch {versions['torch']}, cuDNN {versions['cudnn']}"
    return "\n".join([*lines, f"How many times as fast as PyTorch. {where}; commit {about['commit']}."])


def _timed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "error" not in row]


def _decimals(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("words", nargs="*", help="words in names of cases; default everything")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file, default %(default)s")
    parser.add_argument("--rounds", type=int, default=Settings.rounds, help="turns of each, default %(default)s")
    parser.add_argument("--minutes", type=float, default=60, help="begin no case after them, default %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
