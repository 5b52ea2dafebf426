"""A digest of the package's sources, which identifies the compiled code that belongs to them.

It depends on the contents of the files, not on their times, owners or paths, so compiled code survives a copy of the
package by tar, zip, rsync or an image layer. Files are read through the loader of the package, which may be a zip
archive or contain only byte code.
"""

import functools
import hashlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

KERNELS = __package__.rpartition(".")[0]
_HEADER = 16  # bytes of a .pyc file, which include the time of the source


@functools.cache
def digest() -> str:
    """Return the digest of all files of the package, since kernels inline one another; empty if there are none."""
    return _digest(resources.files(KERNELS))


def _digest(folder: Any) -> str:
    found = [(name, hashlib.sha256(content).hexdigest()) for name, content in _files(folder, "")]
    return hashlib.sha256(repr(found).encode()).hexdigest() if found else ""


def _files(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the source files in a folder and its subfolders, in alphabetical order."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        if name.endswith(".py"):
            yield name, entry.read_bytes()
        elif name.endswith(".pyc"):
            yield name, entry.read_bytes()[_HEADER:]
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{name}/")
