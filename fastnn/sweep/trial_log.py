"""The ledger of a sweep: a text file with one JSON object per line, one line per trial that ended.

    {"params": {"reg": 0.1}, "status": "finished", "reason": null, "train_acc": 0.5, "val_acc": 0.4, "seconds": 6.1, ...

Lines are only appended, in the order in which trials end, and each is flushed to disk before the next is written. If
the process was killed while writing a line, the incomplete line is dropped when the sweep is resumed. If a trial was
repeated, its last line counts. Trials that a broken executor left are "not run". A sweep locks the file until its
process ends; workers never write it.
"""

import contextlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.checkpoint import locks
from fastnn.kernels.dispatch import signatures

FINISHED, FAILED, NOT_RUN = "finished", "failed", "not run"

_REQUIRED = {"params", "status", "reason", "train_acc", "val_acc", "seconds", "number"}
_BEGINNING = b'{"params": {'


class TrialLog:
    """Context manager for the records of a sweep, by the keys of their params; with a path, also in a file.

    names: names of the hyperparameters; an existing ledger must have the same ones
    """

    def __init__(self, path: str | os.PathLike | None, names: list[str]) -> None:
        self.path = None if path is None else Path(path)
        self.names = names
        self._records: dict[Any, dict[str, Any]] = {}
        self._file: Any = None

    def __enter__(self) -> "TrialLog":
        if self.path is None:
            return self
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            _lock(self._file, self.path)
            self._file.seek(0)
            self._take_over(self._file.read())
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()

    def __getitem__(self, key: Any) -> dict[str, Any]:
        return self._records[key]

    def get(self, key: Any) -> dict[str, Any] | None:
        """The record of a trial; None if it is not done."""
        return self._records.get(key)

    def add(self, records: Mapping[Any, dict[str, Any]]) -> None:
        """Add records by their keys, and flush them to disk."""
        if self._file is not None:
            self._append("".join(json.dumps(one, allow_nan=False) + "\n" for one in records.values()).encode())
        self._records.update(records)

    def numbers(self, keys: Iterable[Any]) -> dict[Any, int]:
        """The number of each trial: that of its record, or else the smallest free one, in the order of the keys.

        In a new ledger that is its place, counted from 1, in whatever order the trials end.
        """
        taken = {key: record["number"] for key, record in self._records.items()}
        free = itertools.filterfalse(set(taken.values()).__contains__, itertools.count(1))
        return {key: taken[key] if key in taken else next(free) for key in keys}

    @staticmethod
    def key(value: Any) -> Any:
        """A hashable key, equal for equal params in any order; 1 equals 1.0 but not True."""
        if isinstance(value, dict):
            return frozenset((name, TrialLog.key(inner)) for name, inner in value.items())
        if isinstance(value, list):
            return tuple(map(TrialLog.key, value))
        return (type(value), value) if isinstance(value, bool) else value

    def _take_over(self, content: bytes) -> None:
        """Read an existing file and repair its end; the file is only changed if all of it is valid."""
        records, length = _parse("sweep", self.path, content)
        for record in records:
            if self.names and set(record["params"]) != set(self.names):
                raise ValueError(
                    f"sweep: ledger={str(self.path)!r} contains trials over {list(record['params'])}; expected "
                    f"{self.names} as in this sweep; choose another ledger"
                )
            self._records[self.key(record["params"])] = record
        if length < len(content):
            self._file.truncate(length)
        elif content and not content.endswith(b"\n"):
            self._append(b"\n")

    def _append(self, line: bytes) -> None:
        length = self._file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(length)
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OSError:
        return type(error)(
            f"sweep: ledger={str(self.path)!r} could not be written: {error}; expected a file in a writable folder "
            f"with enough space; choose another ledger"
        )


@signatures.checked
def load_ledger(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read the records of a ledger in the order of their numbers, also while a sweep writes it.

    path: file
    Raises FileNotFoundError or another OSError if it cannot be read, ValueError if it is not a ledger.
    """
    path = arguments.path("load_ledger", "path", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"load_ledger: path={str(path)!r} is not a file; expected the ledger of a sweep; check the name"
        )
    records, _ = _parse("load_ledger", path, path.read_bytes())
    latest = {TrialLog.key(record["params"]): record for record in records}
    return sorted(latest.values(), key=lambda record: record["number"])


def plain(function: str, where: str, value: Any, not_finite: list[str]) -> Any:
    """Convert a value for JSON; numbers that are not finite become None, and are listed in `not_finite`."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{function}: {where} has the key {key!r}; expected strings; use {str(key)!r}")
        return {key: plain(function, f"{where}[{key!r}]", inner, not_finite) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(function, f"{where}[{i}]", inner, not_finite) for i, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        not_finite.append(f"{where} = {value}")
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(
        f"{function}: {where} is a {type(value).__name__}; expected numbers, strings, lists and dicts, as in JSON; "
        f"convert it or leave it out"
    )


def _parse(function: str, path: Path | None, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Parse the records of a file; return them and their length in bytes, after which there is an incomplete line."""
    records: list[dict[str, Any]] = []
    length = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        record = _record(line)
        if record is not None:
            records.append(record)
        elif line.strip():
            if (records or line.startswith(_BEGINNING[: len(line)])) and _is_torn(line):
                break
            raise ValueError(
                f"{function}: line {number} of ledger={str(path)!r} is not a record of a trial: {line[:60]!r}; "
                f"expected a file that `sweep` wrote; choose another one, or remove the line"
            )
        length += len(line)
    return records, length


def _is_torn(line: bytes) -> bool:
    """Whether a line is incomplete: it has no newline and is not valid JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return not line.endswith(b"\n")
    return False


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line, parse_constant=_reject)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not set(record) >= _REQUIRED:
        return None
    numbers = [record["number"], *([record["val_acc"]] if record["status"] == FINISHED else [])]
    if not all(isinstance(value, (int, float)) for value in numbers):
        return None
    if not isinstance(record["params"], dict) or record["status"] not in (FINISHED, FAILED, NOT_RUN):
        return None
    try:
        TrialLog.key(record["params"])
    except RecursionError:
        return None
    return record


def _reject(name: str) -> None:
    raise ValueError(name)


def _lock(file: Any, path: Path) -> None:
    """Lock the file against other writers until it is closed."""
    try:
        locks.take(file)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"sweep: ledger={str(path)!r} is being written by another sweep; expected one sweep at a time; wait "
            f"until it ends, or choose another ledger"
        ) from error
    except OSError as error:
        raise type(error)(
            f"sweep: ledger={str(path)!r} cannot be locked: {error}; expected a file system with locks; choose a "
            f"ledger on another one"
        ) from error
