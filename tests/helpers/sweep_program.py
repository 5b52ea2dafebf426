"""A sweep as users write it: python sweep_program.py WORKERS, in a new folder.

Each trial leaves a file `began-<a>`: process id, threads. From the third on they wait until there is a file `go`.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

import fastnn
from fastnn.kernels.cpu import thread_count
from fastnn.sweep import grid, sweep, workers

LEDGER = "ledger.jsonl"
TRIALS = grid(a=[1, 2, 3, 4, 5, 6])


class Trial:
    """What a trial does; a worker that unpickles it loads the data, which would be too large to send."""

    def __init__(self):
        self.data = np.arange(2.0**20)

    def __reduce__(self):
        return Trial, ()

    def __call__(self, params):
        new = Path(f"new-{params['a']}-{os.getpid()}")
        new.write_text(f"{os.getpid()} {thread_count.default().number}")
        new.rename(f"began-{params['a']}")
        while params["a"] > 2 and not Path("go").exists():
            time.sleep(0.005)
        if params["a"] == 5:
            raise ValueError("five")
        return {
            "val_acc": self.data[params["a"]] / 8,
            "draw": np.random.uniform(),
            "backend": fastnn.get_backend(),
        }


if __name__ == "__main__":
    Path("parent").write_text(str(os.getpid()))
    asked = sys.argv[1]
    with fastnn.use_backend("naive"), workers(int(asked) if asked.isdecimal() else asked) as executor:
        sweep(Trial(), TRIALS, LEDGER, executor, seed=7)
