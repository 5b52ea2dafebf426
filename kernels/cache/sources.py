"""A digest of the package's own sources: compiled code belongs to the sources that it was compiled from.

It depends on what the files hold, not on their times, owner or place, so compiled code survives a copy of the package
by tar, zip, rsync or an image layer, and clocks that differ. Files are read through the loader of the package: it may
be in a zip archive, or consist of byte code alone.
"""

import functools
import hashlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

KERNELS = __package__.rpartition(".")[0]
_HEADER = 16  # bytes of a .pyc file: among them the time of the source


@functools.cache
def digest() -> str:
    """Of all files of the package: compiled code contains what was inlined from others. Empty where there are none."""
    return _digest(resources.files(KERNELS))


def _digest(folder: Any) -> str:
    found = [(name, hashlib.sha256(content).hexdigest()) for name, content in _files(folder, "")]
    return hashlib.sha256(repr(found).encode()).hexdigest() if found else ""


def _files(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the source files in a folder and those below, in alphabetical order."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        if name.endswith(".py"):
            yield name, entry.read_bytes()
        elif name.endswith(".pyc"):
            yield name, entry.read_bytes()[_HEADER:]
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{name}/")
