"""Train the networks of `benchmarks/networks.py` on CIFAR-10 and write their accuracies.

    python benchmarks/accuracy.py                          all of them, about twenty minutes on two cores
    python benchmarks/accuracy.py softmax residual         networks whose names contain one of these words
    python benchmarks/accuracy.py --table FILE             print the table of an earlier JSON file

CIFAR-10 is found as described in docs/commands.md. The validation images are the 1000 after the 49,000 training images,
the test images the 10,000; both accuracies are those of the parameters with the best validation accuracy. Seeds are
fixed: results are reproducible on the same machine and backend. Exit code 1 if a goal was missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from networks import NETWORKS, Network

import fastnn
from fastnn import environment
from fastnn.benchmarking.table import markdown
from fastnn.data_utils import get_CIFAR10_data
from fastnn.solver import Solver

SEED = 0
RESULTS = Path(__file__).parent / "results" / "accuracy.json"


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    chosen = [network for network in NETWORKS if _is_selected(network, arguments.names)]
    if not chosen:
        sys.exit(f"accuracy: no network name contains one of {arguments.names}; expected {[n.name for n in NETWORKS]}")
    report: dict[str, Any] = {"machine": environment.describe(), "results": []}
    if arguments.out.exists() and arguments.names:  # keep the results of other networks
        report["results"] = json.loads(arguments.out.read_text(encoding="utf-8"))["results"]
    known = {result["name"]: result for result in report["results"]}
    for network, result in _training(chosen, arguments):
        known[network.name] = {**known.get(network.name, {"name": network.name}), **result}
        report["results"] = [known[other.name] for other in NETWORKS if other.name in known]
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(line(known[network.name]), flush=True)
    print(f"\n{table(report)}\n\n{arguments.out} written.")
    return int(not all(_has_reached(result) for result in report["results"] if "goals" in result))


def _training(chosen: list[Network], arguments: argparse.Namespace) -> Iterator[tuple[Network, dict[str, Any]]]:
    raw = get_CIFAR10_data(num_test=10_000)
    scaled = {name: array / np.float32(64) if name.startswith("X") else array for name, array in raw.items()}
    for network in chosen:
        yield network, train(network, raw if network.raw else scaled, arguments.seed, arguments.verbose)


def train(network: Network, data: dict[str, np.ndarray], seed: int, verbose: bool) -> dict[str, Any]:
    """Train a network; return the results of its best parameters."""
    model_seed, solver_seed = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    model = network.build(model_seed)
    solver = Solver(model, data, seed=solver_seed, print_every=0, verbose=verbose, **network.solver_arguments())
    began = time.perf_counter()
    solver.train()
    seconds = time.perf_counter() - began
    return {
        "validation_accuracy": solver.best_val_acc,
        "test_accuracy": solver.check_accuracy(data["X_test"], data["y_test"]),
        "goals": network.goals,
        "epochs": solver.epoch,
        "seconds": round(seconds, 1),
        "backend": fastnn.get_backend(),
        "seed": seed,
        "parameters": sum(array.size for array in model.params.values()),
        "validation_history": solver.val_acc_history,
    }


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    about, results = report["machine"], report["results"]
    headings = ["network", "parameters", "epochs", "validation", "test", "seconds"]
    rows = []
    for result in results:
        accuracies = [f"{result[name]:.3f}" for name in ("validation_accuracy", "test_accuracy")]
        cells = [f"{result['parameters']:,}", str(result["epochs"]), *accuracies, f"{result['seconds']:.0f}"]
        rows.append([result["name"], *cells])
    backends = ", ".join(sorted({result["backend"] for result in results}))
    return f"{markdown(headings, rows)}\nBackend {backends}; {about['cpu']}, {about['cores']} cores."


def line(result: dict[str, Any]) -> str:
    """The results of a network in one line."""
    parts = []
    if "goals" in result:
        validation, test = result["goals"]
        parts = [
            f"validation {result['validation_accuracy']:.3f}" + (f" (goal {validation})" if validation else ""),
            f"test {result['test_accuracy']:.4f}" + (f" (goal {test})" if test else ""),
            "reached" if _has_reached(result) else "MISSED",
            f"{result['epochs']} epoch{'s' * (result['epochs'] != 1)}, {result['seconds']:.0f} s",
        ]
    return f"{result['name']}: {', '.join(parts)}"


def _has_reached(result: dict[str, Any]) -> bool:
    validation, test = result["goals"]
    return result["validation_accuracy"] >= validation and result["test_accuracy"] >= test


def _is_selected(network: Network, words: list[str]) -> bool:
    return not words or any(word.lower() in network.name.lower() for word in words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", help="words in names of networks; default all networks")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file, default %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of this file")
    parser.add_argument("--verbose", action="store_true", help="print the accuracies of each epoch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
