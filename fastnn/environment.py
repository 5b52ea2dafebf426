"""Where something was timed: processor, its vector instructions, versions and commit."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import numpy as np

from fastnn.kernels.cpu import thread_count


def cpu_name() -> str:
    """The processor as its maker calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


def vector_features() -> list[str]:
    """The vector instruction sets that NumPy found on this processor, from the common to the newest."""
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def threads() -> int:
    """The threads that kernels run on, and PyTorch beside them (see `kernels.cpu.thread_count`)."""
    return thread_count.default().number


def versions() -> dict[str, str | None]:
    """Python and the packages that decide about speed; None where one is not installed."""
    from fastnn import __version__

    found: dict[str, str | None] = {"fastnn": __version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """The commit of the source tree that fastnn is imported from, with `+` where files differ from it; else None."""
    folder = str(Path(__file__).parent)
    name = _output("git", "-C", folder, "rev-parse", "--short=12", "HEAD")
    if not name:
        return None
    return name + ("+" if _output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no") else "")


def describe() -> dict:
    """All of it, for JSON."""
    return {
        "cpu": cpu_name(),
        "vector_features": vector_features(),
        "cores": thread_count.cores(),
        "system": platform.platform(),
        "versions": versions(),
        "commit": commit(),
    }


def _output(*command: str) -> str:
    """What a command prints, or nothing where it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
