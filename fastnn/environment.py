"""The environment of a measurement: processor, vector instructions, versions and commit."""

import importlib.metadata
import platform
from pathlib import Path

import numpy as np

from fastnn.kernels.cpu import processor, thread_count


def cpu_name() -> str:
    """The model name of the processor."""
    return processor.name()


def vector_features() -> list[str]:
    """The vector instruction sets that NumPy detected on this processor, oldest first."""
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def threads() -> int:
    """The number of threads of the kernels, and of PyTorch in benchmarks (see `kernels.cpu.thread_count`)."""
    return thread_count.default().number


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that determine speed; None for one that is not installed."""
    from fastnn import __version__

    found: dict[str, str | None] = {"fastnn": __version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "torch", "scikit-learn"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """The git commit that fastnn is imported from, followed by `+` if files were changed; None outside a repository."""
    folder = str(Path(__file__).parent)
    name = processor.output("git", "-C", folder, "rev-parse", "--short=12", "HEAD")
    if not name:
        return None
    return name + (
        "+" if processor.output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no") else ""
    )


def describe() -> dict:
    """The whole environment as a dict for JSON."""
    return {
        "cpu": cpu_name(),
        "vector_features": vector_features(),
        "cores": thread_count.cores(),
        "system": platform.platform(),
        "versions": versions(),
        "commit": commit(),
    }
