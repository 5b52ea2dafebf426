"""Locks that let one process and one thread at a time write a checkpoint."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastnn.output import atomic

_reserved: dict[Path, int] = {}  # reserved by this process: path -> thread


def take(file: Any) -> None:
    """Lock an open file until it is closed or the process ends, even if it is killed.

    Raises BlockingIOError if the lock is held elsewhere, another OSError if the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(2**30)  # a byte beyond the end, which is never read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def reserved(path: str | os.PathLike) -> Iterator[None]:
    """Reserve the checkpoint `path` for this thread; blocks of one thread nest.

    The lock is a file `<name>.lock`, which exists as long as the block; one that a killed process left behind is
    reused. A symbolic link and its target are one checkpoint. On a file system without locks nothing is reserved.
    Missing folders are created.
    Raises BlockingIOError if another process or thread is writing it, another OSError if the folder is not writable.
    """
    path = Path(path)
    with clear_errors(path):
        key, thread = atomic.target(path), threading.get_ident()
    if _reserved.get(key) == thread:
        yield
        return
    with contextlib.ExitStack() as stack:
        with clear_errors(path):
            key.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(key.with_name(key.name + ".lock")))
        try:
            _reserved[key] = thread
            yield
        finally:
            _reserved.pop(key, None)


@contextlib.contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Convert OSErrors inside the block to ones that name the checkpoint and say what to do."""
    try:
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            f"save: path={str(path)!r} is being written by another run; expected one run at a time under a name; "
            f"choose another name, or wait until it ends"
        ) from error
    except OSError as error:
        raise type(error)(
            f"save: path={str(path)!r} could not be written: {error}; expected a writable folder with enough space; "
            f"choose another path"
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file that exists only during the block."""
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(open(path, "ab"))
            try:
                take(file)
            except BlockingIOError:
                raise
            except OSError:  # a file system without locks
                break
            if _is_at(path, file):  # else its last owner removed it after we opened it
                break
            stack.close()
        try:
            yield
        finally:
            if sys.platform == "win32":  # Windows cannot remove an open file
                stack.close()
            with contextlib.suppress(OSError):
                path.unlink()


def _is_at(path: Path, file: Any) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
