"""Each rank's share of the cores of its machine."""

import contextlib
import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator

from fastnn.kernels.cpu import thread_count

from .ranks import Ranks


@contextlib.contextmanager
def shared(ranks: Ranks) -> Iterator[None]:
    """Share the cores of each machine among its ranks during the block, unless a variable sets the threads."""
    count = None
    if ranks.comm.node is not None and ranks.size > 1:
        found = ranks.gather((ranks.comm.node, _cores()))
        count = threads(ranks.rank, found)
    if count is None or not thread_count.default().origin.startswith("the cores"):
        yield
        return
    kernels = importlib.import_module("fastnn.kernels.cpu.threads")
    with kernels.use_num_threads(count):
        yield


def threads(rank: int, found: list[tuple[str, list[int]]]) -> int:
    """The number of threads of a rank, given the machine of each rank and the cores that it may use.

    A core that several ranks may use counts for each of them as a fraction of a core.
    """
    node, own = found[rank]
    users = Counter(core for other, usable in found if other == node for core in usable)
    share = sum(1 / users[core] for core in own)
    return max(1, int(share + 1e-6))


def _cores() -> list[int]:
    """The numbers of the cores that this process may use; as many as its quota allows."""
    usable = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))
    return usable[: thread_count.cores()]
