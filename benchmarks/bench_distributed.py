"""Data-parallel training steps: two ranks of one thread, one process of two threads, and PyTorch's DDP, in turns.

    python benchmarks/bench_distributed.py                    tables, for three networks
    python benchmarks/bench_distributed.py --json FILE        also the figures, "-" for stdout
    python benchmarks/bench_distributed.py --only residual    one network

All processes of a network are started at once, and take turns: each times a block of steps while the others sleep.
"Waits" is the part of a step that rank 0 waits for other ranks and their data. Gradients travel while the backward pass
goes on, or all of them after it in "sent afterwards", as those of a network of less than a megabyte always do. Weak
scaling: two ranks with twice the batch, over one process of one thread. DDP (gloo) hides its communication too, and its
two processes use one thread each and fused optimisers.

The last table is a model, not a measurement: of more nodes like this machine, on faster or slower networks.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from distributed_worker import answer, network_of

from fastnn import environment

NETWORKS = {  # images in a batch, steps in a block
    "conv 64 3x3 - pool - 500 - 10": (500, 3),
    "residual, 8 convolutions": (128, 3),
    "(conv-bn-relu-pool) x 3, no penalty": (64, 10),
}
ONE, STRONG, WEAK, THREADS, DDP = "one thread", "two ranks", "two ranks, weak", "two threads", "DDP"
AFTER = "sent afterwards"  # by two ranks
WORKER = Path(__file__).with_name("distributed_worker.py")
MPIEXEC = Path(sysconfig.get_path("scripts"), "mpiexec")
HAS_TORCH = importlib.util.find_spec("torch") is not None
# of the model
NODES, GIGABITS, LATENCY = (4, 8, 16, 32, 64), (10, 25, 100), 20e-6
BACKWARD, BUCKET = 2 / 3, 2**20  # part of a step during which gradients appear; bytes of a bucket


def commands(network: str, images: int, steps: int, size: int, folder: Path) -> dict[str, list[tuple[list[str], int]]]:
    """The processes of each worker: their commands, and their threads. size: bytes of the parameters"""

    def command(kind: str, name: str, count: int, *more: str) -> list[str]:
        options = ["--name", name, "--images", str(count), "--steps", str(steps), *more]
        return [sys.executable, str(WORKER), kind, network, str(folder), *options]

    ranks = [str(MPIEXEC), "-n", "2"]
    found = {
        THREADS: [(command("fastnn", THREADS, images), 2)],
        ONE: [(command("fastnn", ONE, images), 1)],
        STRONG: [([*ranks, *command("ranks", STRONG, images)], 1)],
        AFTER: [([*ranks, *command("ranks", AFTER, images, "--afterwards")], 1)],
        WEAK: [([*ranks, *command("ranks", WEAK, 2 * images)], 1)],
    }
    if size < BUCKET:
        del found[AFTER]
    if HAS_TORCH:
        found[DDP] = [(command("torch", DDP, images, "--rank", str(rank), "--size", "2"), 1) for rank in range(2)]
    return found


@contextlib.contextmanager
def workers(
    network: str, images: int, steps: int, size: int, folder: Path
) -> Iterator[dict[str, list[subprocess.Popen]]]:
    """Start all workers of a network; end them after the block."""
    answer(folder / "turn", ["nobody", 0])
    started = {}
    try:
        for name, processes in commands(network, images, steps, size, folder).items():
            started[name] = [
                subprocess.Popen(
                    command,
                    env={**os.environ, "FASTNN_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)},
                    stdin=subprocess.DEVNULL,
                )
                for command, threads in processes
            ]
        yield started
    finally:
        answer(folder / "turn", ["", 0])
        for processes in started.values():
            for process in processes:
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()


def measure(network: str, images: int, steps: int, rounds: int) -> dict[str, Any]:
    """Time blocks of all workers in turns; return medians of seconds, waiting and bytes sent per step."""
    blocks: dict[str, list[dict[str, float]]] = {}
    params = network_of(network, images).build(np.random.default_rng(0)).params
    size = sum(value.nbytes for value in params.values())
    with tempfile.TemporaryDirectory() as made, workers(network, images, steps, size, Path(made)) as started:
        for turn in range(-1, rounds):  # the first is not counted
            for name, processes in started.items():
                block = block_of(Path(made), name, turn, processes)
                blocks.setdefault(name, []).append(block)
    return {
        "network": network,
        "images": images,
        "parameter_bytes": size,
        "workers": {
            name: {key: statistics.median(block[key] for block in found[1:]) for key in found[0]}
            | {"fastest": min(block["fastest"] for block in found[1:])}
            for name, found in blocks.items()
        },
        "ratios": {  # medians over rounds of the ratios within a round
            f"{first} / {second}": statistics.median(
                a["seconds"] / b["seconds"] for a, b in zip(blocks[first][1:], blocks[second][1:], strict=True)
            )
            for first, second in ((STRONG, THREADS), (STRONG, DDP), (STRONG, AFTER), (ONE, STRONG), (WEAK, ONE))
            if first in blocks and second in blocks
        },
    }


def block_of(folder: Path, name: str, turn: int, processes: list[subprocess.Popen]) -> dict[str, float]:
    """Give a worker its turn, and return what it answers."""
    path = folder / f"{name}.{turn}"
    answer(folder / "turn", [name, turn])
    while not path.exists():
        for process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"bench_distributed: {name} ended with exit code {process.returncode}")
        time.sleep(0.02)
    return json.loads(path.read_text(encoding="utf-8"))


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['network']}, batch {result['images']}, {result['parameter_bytes'] / 1e6:.1f} MB of parameters"]
    lines.append(f"  {'':18}{'ms a step':>10}{'fastest':>9}{'waits':>9}{'sent, MB':>10}")
    for name, found in result["workers"].items():
        row = f"  {name:18}{1e3 * found['seconds']:10.1f}{1e3 * found['fastest']:9.1f}"
        if found["sent"]:
            row += f"{found['waited'] / found['seconds']:9.1%}{found['sent'] / 1e6:10.1f}"
        lines.append(row)
    texts = {
        f"{STRONG} / {THREADS}": "two ranks over one process of two threads",
        f"{STRONG} / {DDP}": "two ranks over PyTorch's DDP",
        f"{STRONG} / {AFTER}": "two ranks over the same that send all gradients after the backward pass",
        f"{ONE} / {STRONG}": "strong scaling: one thread over two ranks (at best 2)",
        f"{WEAK} / {ONE}": "weak scaling: two ranks, twice the batch, over one thread (at best 1)",
    }
    return "\n".join([*lines, *(f"  {result['ratios'][key]:6.2f}  {texts[key]}" for key in result["ratios"])])


def modelled(seconds: float, size: float, nodes: int, gigabits: float, hidden: bool) -> float:
    """Seconds of a step of `nodes` nodes that each take `seconds` for their part of the batch, in a model.

    size: bytes of the gradients, of which a node sends 2 (nodes - 1) / nodes; there and back, every level of the tree
    costs the latency of a message. Hidden: buckets travel during the backward pass, all but the last
    """
    levels, rate = math.log2(nodes), gigabits * 1e9 / 8
    travel = 2 * (nodes - 1) / nodes * size / rate + 2 * levels * LATENCY
    if not hidden:
        return seconds + travel
    buckets = math.ceil(size / BUCKET)
    last = travel / buckets
    return seconds + max(travel + 2 * levels * LATENCY * (buckets - 1) - BACKWARD * seconds, last)


def model_table(result: dict[str, Any]) -> str:
    """The efficiency of weak scaling: the step of one node over that of many, each with the batch of one."""
    seconds, size = result["workers"][THREADS]["seconds"], result["parameter_bytes"]
    lines = [
        f"{result['network']}: MODEL of nodes like this machine, each with a batch of {result['images']}",
        f"  {'nodes':>9}" + "".join(f"{f'{rate} Gb/s':>20}" for rate in GIGABITS),
        f"  {'':9}" + f"{'after':>11}{'hidden':>9}" * len(GIGABITS),
    ]
    for nodes in NODES:
        cells = [
            seconds / modelled(seconds, size, nodes, rate, hidden) for rate in GIGABITS for hidden in (False, True)
        ]
        pairs = zip(cells[::2], cells[1::2], strict=True)
        lines.append(f"  {nodes:9}" + "".join(f"{after:11.0%}{hidden:9.0%}" for after, hidden in pairs))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="networks whose names contain this")
    parser.add_argument("--rounds", type=int, default=7, help="default %(default)s")
    parser.add_argument("--images", type=int, help="in a batch; default: as in the network's training")
    parser.add_argument("--steps", type=int, help="in a block; default: those of a second or two")
    parser.add_argument("--json", metavar="FILE", help="write the figures; - for stdout instead of the tables")
    given = parser.parse_args()
    chosen = {name: sizes for name, sizes in NETWORKS.items() if given.only in name}
    results = [
        measure(name, given.images or images, given.steps or steps, given.rounds)
        for name, (images, steps) in chosen.items()
    ]
    text = json.dumps({"machine": environment.describe(), "rounds": given.rounds, "results": results}, indent=1)
    if given.json and given.json != "-":
        Path(given.json).write_text(text, encoding="utf-8")
    print(text if given.json == "-" else "\n\n".join([*map(table, results), *map(model_table, results)]))


if __name__ == "__main__":
    main()
