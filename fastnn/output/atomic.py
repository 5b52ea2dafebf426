"""Files that are written whole or not at all: to a temporary file first, which then takes the place of the old one."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def target(path: str | os.PathLike) -> Path:
    """The file that a path leads to, through symbolic links; it need not exist.

    Raises OSError where the links form a circle.
    """
    found = Path(os.path.realpath(path))
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    return found


def previous(path: Path) -> str:
    """The name of the checkpoint before the one at `path`, which lies beside the file itself, also behind a link."""
    return f"{target(path) if path.is_symlink() else path.name}.prev"


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary file to write to, `<name>.tmp`; at the end of the block it is renamed to what `path` leads to.

    A symbolic link stays, and its target is replaced; the new file gets the permissions of the old one. After an error
    inside the block the old file is as it was. A device or pipe is written directly.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)
        return
    old = target(path)
    temporary = old.with_name(old.name + ".tmp")
    try:
        mode = stat.S_IMODE(old.stat().st_mode) if old.exists() else None
        if mode is not None:
            temporary.touch(0o600)  # nobody else reads what is to be private
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, old)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
