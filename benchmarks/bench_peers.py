"""Training steps beside what users pick today: PyTorch eager and compiled, JAX, scikit-learn.

    python benchmarks/bench_peers.py                    networks with a target, and the residual one
    python benchmarks/bench_peers.py two-layer --rounds 3

Each peer runs in a process of its own, and they have turns: while one works the others sleep. All have tuned malloc,
and PyTorch its fused optimisers. Losses are compared before anything is timed. Requires PyTorch; torch.compile needs a
C++ compiler; JAX and scikit-learn are left out where they are missing.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import steps
from networks import STEPS, TARGETED, Network

from fastnn import environment
from fastnn.benchmarking import malloc, measure
from fastnn.benchmarking.table import digits, duration, markdown

NETWORKS = (*TARGETED, STEPS[-1])
PEERS = {"torch": "PyTorch", "compile": "torch.compile", "jax": "JAX", "scikit-learn": "scikit-learn"}
SETTLE = 0.25  # seconds before a turn is timed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", help="words in names of networks; default all")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each peer, default %(default)s")
    parser.add_argument("--child", nargs=2, metavar=("PEER", "NETWORK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return _take_turns(*arguments.child)
    chosen = [one for one in NETWORKS if not arguments.names or any(word in one.name for word in arguments.names)]
    results = []
    for network in chosen:
        results.append(time_peers(network, arguments.rounds))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    print(f"\n{table(results)}\n{environment.describe()['cpu']}, {environment.threads()} threads.")
    return 0


def time_peers(network: Network, rounds: int = 8, settle: float = SETTLE) -> dict[str, Any]:
    """Seconds per step of fastnn and of each peer that is there, in turns, and the others over fastnn."""
    with contextlib.ExitStack() as stack:
        children = {name: stack.enter_context(_child(name, network)) for name in ("fastnn", *PEERS)}
        children = {name: child for name, child in children.items() if _line(child)["ready"]}
        samples: dict[str, list[float]] = {name: [] for name in children}
        for _ in range(rounds):
            for name, child in children.items():
                child.stdin.write(f"{settle}\n")
                child.stdin.flush()
                samples[name] += _line(child)["samples"]
    timings = {name: measure.timing(values) for name, values in samples.items()}
    ours = timings["fastnn"].median
    return {
        "network": network.name,
        "images": network.solver_arguments()["batch_size"],
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "speedup": {name: timing.median / ours for name, timing in timings.items() if name != "fastnn"},
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    rows = []
    for one in results:
        ratios = [digits(one["speedup"].get(name)) for name in PEERS]
        rows.append([one["network"], str(one["images"]), duration(one["seconds"]["fastnn"]["median"]), *ratios])
    return markdown(["network", "batch", "ours", *(f"{title} / ours" for title in PEERS.values())], rows)


@contextlib.contextmanager
def _child(peer: str, network: Network) -> Iterator[Any]:
    """A process of a peer, which sleeps until it has a turn."""
    command = [sys.executable, __file__, "--child", peer, network.name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | malloc.TUNED, **pipes) as child:
        try:
            yield child
        finally:
            child.stdin.close()


def _line(child: Any) -> dict[str, Any]:
    """The next line of a process, as JSON."""
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(
            f"bench_peers: {' '.join(child.args[-2:])} ended; expected a line of JSON; see its error above"
        )
    return json.loads(line)


# ---- in the process of a peer ----


def _take_turns(peer: str, name: str) -> int:
    network = next(one for one in NETWORKS if one.name == name)
    step = _step(peer, network)
    print(json.dumps({"ready": step is not None}), flush=True)
    if step is None:
        return 0
    for line in sys.stdin:
        print(json.dumps({"samples": measure.turn(step, float(line))}), flush=True)
    return 0


def _step(peer: str, network: Network) -> Callable[[], Any] | None:
    """A training step of a peer; None where it is not installed, or has no such network."""
    data = steps.noise(network)
    if peer == "fastnn":
        return steps.solver_step(network, data)
    if peer in ("torch", "compile"):
        import peers

        peers.check(network, 8)
        return peers.torch_step(network, steps.RATE, data, fused=True, compiled=peer == "compile")
    if peer == "jax" and importlib.util.find_spec("jax"):
        import peers_jax

        peers_jax.check(network, 8)
        return peers_jax.jax_step(network, steps.RATE, data)
    if peer == "scikit-learn" and importlib.util.find_spec("sklearn"):
        return _scikit_learn_step(network, data)
    return None


def _scikit_learn_step(network: Network, data: dict[str, np.ndarray]) -> Callable[[], Any] | None:
    """A step of MLPClassifier, for networks of affine layers and ReLUs."""
    from sklearn.neural_network import MLPClassifier

    weights = [value for value in network.build(np.random.default_rng(0)).params.values() if value.ndim > 1]
    rule, size = network.training["update_rule"], network.solver_arguments()["batch_size"]
    if any(weight.ndim > 2 for weight in weights) or rule not in ("sgd", "adam"):
        return None
    hidden = [weight.shape[1] for weight in weights[:-1]]
    options = {"solver": rule, "alpha": 0.0, "batch_size": size, "learning_rate_init": steps.RATE, "momentum": 0.0}
    classifier = MLPClassifier(hidden, **options)
    X, y = data["X_train"].reshape(len(data["X_train"]), -1), data["y_train"]
    classifier.partial_fit(X[:size], y[:size], classes=np.arange(10))

    def step() -> None:
        places = np.random.randint(0, len(X), size)
        classifier.partial_fit(X[places], y[places])

    return step


if __name__ == "__main__":
    sys.exit(main())
