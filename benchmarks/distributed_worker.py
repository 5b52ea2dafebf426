"""One kind of training step, timed in blocks whenever a file asks for it: a worker of `bench_distributed.py`.

    python benchmarks/distributed_worker.py KIND NETWORK FOLDER --images N --steps N [--rank R --size S]

KIND: fastnn (one process), ranks (processes of MPI), or torch (DistributedDataParallel, gloo)
FOLDER: `turn` holds the name of the worker whose turn it is and the number of the block; rank 0 answers in a file
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from networks import STEPS, Network
from steps import RATE, noise, solver_step, with_batches_of

_PAUSE = 0.005  # seconds between two looks at the file
_PATIENCE = 900  # seconds without another turn after which the benchmark must have been killed


def network_of(name: str, images: int) -> Network:
    return with_batches_of(next(one for one in STEPS if one.name == name), images)


@contextlib.contextmanager
def fastnn_step(
    network: Network, comm: Any = None, size: int = 1, afterwards: bool = False
) -> Iterator[tuple[Callable, Callable, Callable]]:
    """Yield a step, a barrier, and a function that returns the seconds of waiting and the bytes sent so far.

    afterwards: send all gradients after the backward pass
    """
    from fastnn.distributed import data_parallel

    step = solver_step(network, noise(network), comm=comm, shards=size)
    solver = step.__self__  # type: ignore[attr-defined]
    with data_parallel.session(solver) as parallel:
        solver._parallel = parallel
        if parallel is None:
            yield step, lambda: None, lambda: (0.0, 0)
        else:
            ranks = parallel.ranks
            step()
            parallel._tree.hides &= not afterwards
            yield step, lambda: ranks.gather(None), lambda: (ranks.waited, parallel._tree.sent)


@contextlib.contextmanager
def torch_step(network: Network, folder: Path, rank: int, size: int) -> Iterator[tuple[Callable, Callable, Callable]]:
    """Yield the same of PyTorch's DistributedDataParallel; what it waits and sends is not known."""
    import torch
    from peers import parallel_step

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder.absolute()}/torch", rank=rank, world_size=size)
    try:
        yield parallel_step(network, RATE, noise(network), rank, size), torch.distributed.barrier, lambda: (0.0, 0)
    finally:
        torch.distributed.destroy_process_group()


def serve(folder: Path, name: str, is_first: bool, steps: int, work: tuple[Callable, Callable, Callable]) -> None:
    """Time blocks of steps until the turn is that of nobody."""
    step, barrier, counted = work
    for _ in range(2):
        step()
    done = None
    while (turn := json.loads((folder / "turn").read_text(encoding="utf-8")))[0]:
        if time.time() - (folder / "turn").stat().st_mtime > _PATIENCE:
            return
        if turn[0] != name or turn[1] == done:
            time.sleep(_PAUSE)
            continue
        done = turn[1]
        barrier()
        step()  # brings its arrays back into the caches
        waited, sent = counted()
        times = [time.perf_counter()]
        for _ in range(steps):
            step()
            times.append(time.perf_counter())
        found = [(after - before) / steps for after, before in zip(counted(), (waited, sent), strict=True)]
        if is_first:
            own = {"seconds": (times[-1] - times[0]) / steps, "fastest": min(np.diff(times))}
            answer(folder / f"{name}.{done}", {**own, "waited": found[0], "sent": found[1]})


def answer(path: Path, content: Any) -> None:
    """Write a file at once."""
    new = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    new.write_text(json.dumps(content), encoding="utf-8")
    new.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("kind", choices=("fastnn", "ranks", "torch"))
    parser.add_argument("network")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="of this worker")
    parser.add_argument("--images", type=int, required=True, help="in the batch of all ranks")
    parser.add_argument("--steps", type=int, required=True, help="in a block")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--afterwards", action="store_true", help="ranks send gradients after the backward pass")
    given = parser.parse_args()
    network = network_of(given.network, given.images)
    rank, size = given.rank, given.size
    if given.kind == "torch":
        work = torch_step(network, given.folder, rank, size)
    elif given.kind == "ranks":
        from mpi4py import MPI

        from fastnn.distributed.mpi import MPICommunicator

        comm = MPICommunicator(MPI.COMM_WORLD)
        rank, size = comm.rank, comm.size
        work = fastnn_step(network, comm, size, given.afterwards)
    else:
        work = fastnn_step(network)
    np.random.seed(0)
    with work as functions:
        serve(given.folder, given.name, rank == 0, given.steps, functions)


if __name__ == "__main__":
    sys.exit(main())
