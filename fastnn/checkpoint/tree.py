"""Saving and loading of checkpoints: a nested dict of arrays, numbers, strings and lists in one HDF5 file.

    checkpoint.save("run.h5", {"params": {"W1": w, "b1": b}, "epoch": 3})
    checkpoint.load("run.h5")["params"]["W1"]

`fastnn.checkpoint.run` describes the tree of a training run.

Format version 2, readable by any HDF5 tool. The root group has the attributes `format` ("fastnn checkpoint"),
`format_version` and `fastnn_version`. Every object below it has the attribute `kind`:

    dict          group; its members in order, `%`, `/`, `.` and NUL in a key written as %25, %2F, %2E, %00
    list, tuple   group with the members "0", "1", ...
    numbers       dataset (n,): a list of n Python floats, or of ints within 64 bits, or of bools
    array         dataset: a NumPy array of booleans, integers, real or complex numbers
    scalar        dataset (): a NumPy scalar of one of these
    float, bool   dataset (): a Python number
    int           dataset (): int64; beyond 64 bits a string of decimal digits
    str           dataset (): UTF-8
    none          dataset without a value

Nothing is pickled, and nothing in a file is executed. `fastnn.checkpoint.container` describes the manifest that `load`
reads and the digest that detects damage.
"""

import difflib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation
from fastnn.output import atomic

from . import container, locks

FORMAT = "fastnn checkpoint"
FORMAT_VERSION = 2

_ARRAY_KINDS = "biufc"


@signatures.checked
def save(path: str | os.PathLike, tree: dict) -> None:
    """Write a tree to `path` atomically; an existing file becomes `<name>.prev`.

    The tree is written to `<name>.tmp` in the same folder, flushed to disk, read back and compared, and then renamed.
    If the process is killed, `path` is the old file or the new one. Missing folders are created. If `path` is a
    symbolic link, its target is replaced, and the link is kept.

    path: file
    tree: a dict with string keys whose values are dicts, lists, tuples, NumPy arrays and scalars of numbers or
        booleans, Python numbers, strings, booleans and None, nested to any depth.
    Raises TypeError or ValueError for anything else in the tree, OSError if the folder is not writable, and
    BlockingIOError if another process or thread has reserved this checkpoint (`fastnn.checkpoint.locks`).
    """
    path = arguments.path("save", "path", path)
    if not isinstance(tree, dict):
        raise TypeError(f"save: tree={type(tree).__name__} cannot be saved; expected a dict; wrap it in one")
    with locks.reserved(path), locks.clear_errors(path):
        target = atomic.target(path)
        with atomic.replacing(target) as temporary:
            _write_file(temporary, tree)
            _verify(temporary, tree)
            if target.exists():
                _keep_previous(target)
        _sync(target.parent)


@signatures.checked
def load(path: str | os.PathLike) -> dict:
    """Read the tree that `save` wrote; NumPy arrays and scalars keep their dtype.

    path: file
    Arrays take no more memory than the size of the file, whatever the file claims.

    Raises FileNotFoundError if the file does not exist, another OSError if it cannot be opened, ValueError if it is not
    a checkpoint, is damaged, or has another format version.
    """
    path = arguments.path("load", "path", path)
    if not path.is_file():
        raise FileNotFoundError(f"load: path={str(path)!r} is not a file; expected a checkpoint; {_nearest(path)}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise type(error)(
            f"load: path={str(path)!r} cannot be opened: {error}; expected a readable file; check its permissions"
        ) from error
    with file:
        _check_format(path, container.versions(file))
        try:
            return container.read(file)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"load: path={str(path)!r} is damaged: {error}; expected a whole fastnn checkpoint; "
                f"use {atomic.previous(path)!r} or an older copy"
            ) from error


def _write_file(path: Path, tree: dict) -> None:
    from fastnn import __version__

    with container.hdf5(path, FORMAT_VERSION) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fastnn_version"] = __version__
        for key, value in tree.items():
            _write(file, _name(key, "tree"), value, f"tree[{key!r}]")


def _verify(path: Path, tree: dict) -> None:
    try:
        identical = _same(tree, load(path))
    except ValueError as error:
        raise OSError(f"it cannot be read back ({error})") from error
    if not identical:
        raise OSError("it reads back differently")


def _write(group: Any, name: str, value: Any, where: str) -> None:
    """Write one value as the member `name` of an HDF5 group; `where` is its position in the tree, for errors."""
    import h5py

    if isinstance(value, dict):
        member = container.new_group(group, name)
        for key, inner in value.items():
            _write(member, _name(key, where), inner, f"{where}[{key!r}]")
        kind = "dict"
    elif type(value) is list and _uniform(value):
        member = group.create_dataset(name, data=np.array(value))
        kind = "numbers"
    elif type(value) in (list, tuple):
        member = container.new_group(group, name)
        for position, inner in enumerate(value):
            _write(member, str(position), inner, f"{where}[{position}]")
        kind = type(value).__name__
    elif isinstance(value, (np.ndarray, np.generic)):
        validation.plain("save", where, value)
        if value.dtype.kind not in _ARRAY_KINDS:
            raise TypeError(
                f"save: {where} has dtype {value.dtype}; expected booleans or numbers; convert it, or save lists of "
                f"strings"
            )
        member = group.create_dataset(name, data=value)
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
    elif value is None:
        member = group.create_dataset(name, data=h5py.Empty("f"))
        kind = "none"
    elif type(value) in (bool, float, int, str):
        fits = type(value) is not int or -(2**63) <= value < 2**63
        try:
            member = group.create_dataset(name, data=value if fits else str(value))
        except ValueError as error:
            raise ValueError(f"save: {where}={value!r} cannot be stored: {error}; expected plain text") from error
        kind = type(value).__name__
    else:
        raise TypeError(
            f"save: {where} is a {type(value).__name__}; expected dicts, lists, arrays, numbers, strings and None; "
            f"convert it or leave it out"
        )
    member.attrs["kind"] = kind


def _uniform(values: list) -> bool:
    """Whether a list can be one dataset: Python numbers of one type, such as a loss history."""
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return all(-(2**63) <= value < 2**63 for value in values)
    return kinds in ({float}, {bool})


def _name(key: Any, where: str) -> str:
    """Convert a key of a dict to an HDF5 name."""
    if not isinstance(key, str) or not key:
        raise TypeError(f"save: {where} has the key {key!r}; expected non-empty strings; rename it, as in {str(key)!r}")
    return re.sub(r"[%/.\0]", lambda match: f"%{ord(match[0]):02X}", key)


def _check_format(path: Path, versions: tuple[int, str] | None) -> None:
    if versions is None:
        raise ValueError(
            f"load: path={str(path)!r} is not a checkpoint; expected one of format version {FORMAT_VERSION}, written "
            f"by fastnn; check the name, or if the file was damaged use {atomic.previous(path)!r}"
        )
    version, fastnn_version = versions
    if version != FORMAT_VERSION:
        raise ValueError(
            f"load: path={str(path)!r} has format version {version}; expected {FORMAT_VERSION}; use the fastnn that "
            f"wrote it, {fastnn_version}"
        )


def _same(expected: Any, actual: Any) -> bool:
    """Whether two trees are bitwise equal."""
    if type(expected) is not type(actual) and not isinstance(expected, (dict, np.ndarray)):
        return False
    if isinstance(expected, dict):
        return list(expected) == list(actual) and all(_same(expected[key], actual[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(expected) == len(actual) and all(map(_same, expected, actual))
    if isinstance(expected, (np.ndarray, np.generic, float)):
        expected, actual = np.asarray(expected), np.asarray(actual)
        return (
            expected.dtype == actual.dtype
            and expected.shape == actual.shape
            and (np.array_equal(expected, actual) or expected.tobytes() == actual.tobytes())
        )
    return expected == actual


def _keep_previous(path: Path) -> None:
    """Link the file at `path` as `<name>.prev` atomically; `path` itself remains."""
    previous = atomic.target(path.with_name(path.name + ".prev"))
    link = previous.with_name(previous.name + ".tmp")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        shutil.copy2(path, link)
    os.replace(link, previous)
    link.unlink(missing_ok=True)  # renaming a link onto itself leaves both names


def _sync(folder: Path) -> None:
    """Flush the directory entries of a folder to disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders; there the rename itself is durable
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nearest(path: Path) -> str:
    """Advice for a missing file: similar names in its folder."""
    if path.is_dir():
        return f"it is a folder; name the file in it, such as {str(path / 'checkpoint.h5')!r}"
    if not path.parent.is_dir():
        return f"the folder {str(path.parent)!r} does not exist either; check the path"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    near = difflib.get_close_matches(path.name, names, n=3) or [name for name in names if name.endswith(".h5")][:3]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else "check the name"
