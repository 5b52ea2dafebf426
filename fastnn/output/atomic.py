"""Atomic writing of files: a temporary file is written first, and then renamed to replace the old one."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def target(path: str | os.PathLike) -> Path:
    """Resolve the symbolic links of a path; the target need not exist.

    Raises OSError if the links form a circle.
    """
    found = Path(os.path.realpath(path))
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    return found


def previous(path: Path) -> str:
    """The name of the previous checkpoint of `path`, which is in the folder of the file itself, not of a link to it."""
    return f"{target(path) if path.is_symlink() else path.name}.prev"


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary file `<name>.tmp` to write to, and rename it to `path` at the end of the block.

    If `path` is a symbolic link, its target is replaced; the new file gets the permissions of the old one. After an
    error inside the block the old file is unchanged. A device or pipe is written directly.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)
        return
    old = target(path)
    temporary = old.with_name(old.name + ".tmp")
    try:
        mode = stat.S_IMODE(old.stat().st_mode) if old.exists() else None
        if mode is not None:
            temporary.touch(0o600)  # private until it has its permissions
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, old)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text to a file atomically, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
