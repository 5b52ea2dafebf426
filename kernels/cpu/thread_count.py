"""The default number of threads, and the environment variable that it comes from.

The first of these variables that is set: FASTNN_NUM_THREADS, NUMBA_NUM_THREADS, OMP_NUM_THREADS (which joblib and Dask
set in their workers); without them, the number of cores that this process may use.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VARIABLE = "FASTNN_NUM_THREADS"
OTHERS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")

_MEMBERSHIP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


class ThreadCount(NamedTuple):
    """A number of threads and its origin: an environment variable, or the cores."""

    number: int
    origin: str


def default() -> ThreadCount:
    """Return the default number of threads of this process.

    Raises ValueError if FASTNN_NUM_THREADS is not a positive integer; such values of the other variables are ignored.
    """
    if value := os.environ.get(VARIABLE):
        return ThreadCount(checked(VARIABLE, value), VARIABLE)
    for name in OTHERS:
        first = os.environ.get(name, "").partition(",")[0].strip()  # the outermost of nested levels
        if first.isdecimal() and int(first):
            return ThreadCount(int(first), name)
    return ThreadCount(cores(), "the cores of this process")


def checked(origin: str, value: str) -> int:
    """Convert text to a number of threads; raise ValueError unless it is a positive integer."""
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(
            f"{origin}: {value!r} is not a number of threads; expected an integer of at least 1; leave it out to use "
            f"all cores"
        )
    return int(value)


def cores() -> int:
    """Return the number of usable cores: the CPU affinity, limited by the container's CPU quota, rounded up."""
    return min([_affinity(), *map(math.ceil, _quotas())])


def _affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yield the CPU quota, in cores, of each Linux control group of this process that has one."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:  # version 2
            for folder in _folders(_GROUPS, path):
                yield from _quota(folder, "cpu.max")
        elif "cpu" in controllers.split(","):  # version 1
            for root in {_GROUPS / controllers, _GROUPS / "cpu"}:
                for folder in _folders(root, path):
                    yield from _quota(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _folders(root: Path, path: str) -> Iterator[Path]:
    """Yield the folders of a group and its parents; a container in its own namespace sees its group as the root."""
    group = root / path.lstrip("/")
    yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))


def _quota(folder: Path, *names: str) -> Iterator[float]:
    """Yield quota / period of a group, both in microseconds; nothing if it has no limit."""
    try:
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        if int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return
