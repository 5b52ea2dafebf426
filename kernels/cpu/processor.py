"""The model of this processor and the sizes of its caches, as the operating system reports them."""

import functools
import platform
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # on Linux
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SYSCTL = {"L1": "hw.l1dcachesize", "L2": "hw.l2cachesize", "L3": "hw.l3cachesize"}


def name() -> str:
    """Return the model name of the processor; on ARM the board's, or the numbers of implementer and part."""
    found: dict[str, str] = {}
    try:
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    except OSError:  # not Linux
        pass
    if name := found.get("model name") or found.get("Model"):
        return name
    if "CPU part" in found:
        return f"ARM implementer {found.get('CPU implementer')}, part {found['CPU part']}"
    if platform.system() == "Darwin":
        return output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


@functools.cache
def caches() -> dict[str, int]:
    """Return the bytes of the caches of data, "L1", "L2" and "L3"; those that the system does not report are missing.

    L1 and usually L2 belong to one core. They are those of the first core, so that every process gets the same.
    """
    found = dict(_linux(_CACHES))
    if not found and platform.system() == "Darwin":
        sizes = {level: output("sysctl", "-n", variable) for level, variable in _SYSCTL.items()}
        found = {level: int(size) for level, size in sizes.items() if size.isdecimal() and int(size)}
    return dict(sorted(found.items()))


def _linux(folder):
    """Yield the level and the bytes of each cache that is described in a folder of sysfs."""
    for entry in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((entry / file).read_text().strip() for file in ("level", "type", "size"))
            if kind != "Instruction" and level.isdecimal():
                number = size.rstrip("KMG")
                yield f"L{level}", int(number) * _UNITS.get(size[len(number) :], 1)
        except (OSError, ValueError):
            continue


def output(*command: str) -> str:
    """Return the output of a command; an empty string if it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
