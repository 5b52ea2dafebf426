"""Measure the memory of a long training, which must not grow.

python tests/helpers/endurance.py                  10,000 steps; exit status 0 if memory does not grow
python tests/helpers/endurance.py 100000           as many as you like
"""

import gc
import mmap
import os
import sys
from pathlib import Path

import numpy as np

from fastnn import nn
from fastnn.augment import Augment
from fastnn.solver import Solver

ROUNDS = 10  # measurements; those before the third are warm-up: caches and the allocator's pools fill
GROWTH = 2 << 20  # allowed bytes in addition to the histories
HISTORY = 100  # bytes a step: losses, and accuracies of epochs
STATUS = Path("/proc/self/statm")


def solver(steps, **options):
    """Return a Solver of a small network with all kinds of state: buffers, masks, moments, augmentation, sampling."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((72, 3, 8, 8)).astype(np.float32), rng.integers(0, 4, 72)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, seed=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1, seed=2),
        nn.Linear(64, 4, seed=3),
    )
    options = {"transform": Augment(padding=1), "sampling": "epoch", "clip_norm": 5.0, "seed": 4, **options}
    data = {"X_train": X[:64], "y_train": y[:64], "X_val": X[64:], "y_val": y[64:]}
    epochs = -(-steps // 8)
    return Solver(model, data, update_rule="adam", batch_size=8, num_epochs=epochs, verbose=False, **options)


def growth(steps, report=lambda line: None, leak=None):
    """Return the growth of the process in bytes from the third measurement to the last."""
    measured = []

    def measure(solver):
        if leak is not None:
            leak.append(mmap.mmap(-1, 1 << 14))  # the allocator may keep freed memory
            leak[-1].write(bytes(1 << 14))
        if solver.iteration % (steps // ROUNDS) == 0:
            gc.collect()
            measured.append(int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
            report(f"{solver.iteration:7,} steps: {measured[-1] / 1e6:6.1f} MB")

    solver(steps, callbacks=[measure]).train()
    return measured[-1] - measured[2]


def is_flat(steps, grown):
    return grown < GROWTH + HISTORY * steps


def main(steps):
    grown = growth(steps, print)
    flat = is_flat(steps, grown)
    print(f"grew by {grown / 1e6:.2f} MB: {'flat' if flat else 'NOT flat'}")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 10_000))
