"""Files that are written by one at a time."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastnn.output import atomic

_reserved: dict[Path, int] = {}  # what this process has reserved, and in which thread


def take(file: Any) -> None:
    """Lock an open file until it is closed, or its process ends, however that ends.

    Raises BlockingIOError where the lock is taken, another OSError where the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(2**30)  # a byte that nobody reads
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def reserved(path: str | os.PathLike) -> Iterator[None]:
    """Inside the block no other process, and no other thread, writes the checkpoint `path`; in one thread, blocks nest.

    While it lasts there is a file `<name>.lock`; one that a killed process left behind is taken over. A symbolic link
    and its target are one checkpoint. Where the file system has no locks, all may write. Missing folders are
    created.
    Raises BlockingIOError where somebody else is writing it, another OSError where the folder cannot be written.
    """
    path = Path(path)
    with in_words(path):
        key, here = atomic.target(path), threading.get_ident()
    if _reserved.get(key) == here:
        yield
        return
    with contextlib.ExitStack() as stack:
        with in_words(path):
            key.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(key.with_name(key.name + ".lock")))
        try:
            _reserved[key] = here
            yield
        finally:
            _reserved.pop(key, None)


@contextlib.contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Errors of the system inside the block say which checkpoint could not be written, and what to do."""
    try:
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            f"save: path={str(path)!r} is being written by another run; expected one at a time under a name; choose "
            f"another name, or wait for its end"
        ) from error
    except OSError as error:
        raise type(error)(
            f"save: path={str(path)!r} could not be written: {error}; expected a writable folder with enough space; "
            f"choose another path"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that exists only as long."""
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(open(path, "ab"))
            try:
                take(file)
            except BlockingIOError:
                raise
            except OSError:  # a file system without locks
                break
            if _is_at(path, file):  # else its last owner removed it after we had opened it, and it guards nothing
                break
            stack.close()
        try:
            yield
        finally:
            if sys.platform == "win32":  # where an open file cannot be removed
                stack.close()
            with contextlib.suppress(OSError):
                path.unlink()


def _is_at(path: Path, file: Any) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
