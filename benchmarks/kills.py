"""Kill a training run repeatedly at random times and compare its result with that of an uninterrupted run.

    python benchmarks/kills.py                          twelve kills, about half a minute
    python benchmarks/kills.py --kills 100 --seed 7     other random times

The run has every kind of state: batch normalization, dropout, Adam, augmentation, a schedule, permutations of the
images. Its process gets SIGKILL, often while it writes a checkpoint, and another one resumes from the file. Exit code 1
if a file is unreadable after a kill, or the last checkpoints differ in a single byte.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn import checkpoint, nn
from fastnn.augment import Augment
from fastnn.data_utils import get_shapes_data
from fastnn.schedules import Cosine, Warmup
from fastnn.solver import Solver

NAME = "run.h5"
EVERY = 3  # iterations between checkpoints
BATCH_SIZE = 10
PER_EPOCH = 8


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.train:
        train(arguments.out, arguments.kills)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    folders = [arguments.out / name for name in ("whole", "killed")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    whole, killed = (folder / NAME for folder in folders)
    began = time.perf_counter()
    _start(arguments, whole.parent).communicate()
    moments = random.Random(arguments.seed)
    for number in range(arguments.kills):
        progress = kill_once(arguments, killed.parent, (number + 1) * PER_EPOCH // 2, moments)
        found = checkpoint.load(killed)["solver"]["iteration"] if killed.exists() else 0
        print(f"kill {number + 1:3} after iteration {progress:3}, readable: iteration {found:3}", flush=True)
    _start(arguments, killed.parent).communicate()
    if whole.read_bytes() != killed.read_bytes():
        print(
            f"different after {arguments.kills} kills: {', '.join(differing(*map(checkpoint.load, (whole, killed))))}"
        )
        return 1
    print(f"{time.perf_counter() - began:.0f} s on the backend {fastnn.get_backend()}")
    print(f"{arguments.kills} kills: the last checkpoint is identical to that of an uninterrupted run.")
    return 0


def train(folder: Path, kills: int) -> None:
    """Start or resume the run in a folder; print each iteration."""
    data = get_shapes_data(BATCH_SIZE * PER_EPOCH, 20, 0)
    callbacks = [lambda solver: print(solver.iteration, flush=True)]
    if (folder / NAME).exists():
        Solver.resume(folder / NAME, data, callbacks=callbacks).train()
        return
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, seed=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2, seed=2),
        nn.Linear(8 * 16 * 16, 10, seed=3),
        reg=1e-3,
    )
    Solver(
        model,
        data,
        update_rule="adam",
        schedule=Warmup(1, then=Cosine()),
        transform=Augment(padding=4, flip=0.5, cutout=8),
        sampling="epoch",
        batch_size=BATCH_SIZE,
        num_epochs=kills // 2 + 1,
        checkpoint_name=folder / NAME,
        checkpoint_every=EVERY,
        verbose=False,
        seed=4,
        callbacks=callbacks,
    ).train()


def kill_once(arguments: argparse.Namespace, folder: Path, target: int, moments: random.Random) -> int:
    """Kill a run at a random time after the target iteration; return the last iteration it printed."""
    process = _start(arguments, folder)
    iteration, began, first = 0, 0.0, 0
    for line in process.stdout:
        iteration = int(line)
        if not began:
            began, first = time.perf_counter(), iteration
        if iteration >= target:
            break
    else:
        sys.exit(f"kills: the run ended without a kill after iteration {iteration}, with exit code {process.wait()}")
    pace = (time.perf_counter() - began) / max(iteration - first, 1) or 0.1
    time.sleep(moments.uniform(0, EVERY * pace))
    process.kill()
    process.communicate()
    return iteration


def differing(whole: Any, killed: Any, where: str = "") -> list[str]:
    """The paths at which two trees have different values."""
    if isinstance(whole, dict) and isinstance(killed, dict) and list(whole) == list(killed):
        return [place for name in whole for place in differing(whole[name], killed[name], f"{where}/{name}")]
    return [] if np.array_equal(whole, killed) else [where or "/"]


def _start(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen:
    command = [sys.executable, __file__, "--train", "--out", str(folder), "--kills", str(arguments.kills)]
    if arguments.backend:
        command += ["--backend", arguments.backend]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=12, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the times; default %(default)s")
    parser.add_argument("--backend", type=_backend, help="default: FASTNN_BACKEND, or the default backend")
    parser.add_argument("--out", type=Path, default=Path("runs/kills"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    return parser


def _backend(name: str) -> str:
    fastnn.set_backend(name)
    return name


if __name__ == "__main__":
    sys.exit(main())
