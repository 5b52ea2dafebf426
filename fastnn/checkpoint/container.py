"""The file format of checkpoints: HDF5 with a manifest and a digest, which is read without an HDF5 library.

libhdf5 trusts its input: a few changed bytes can cause a segmentation fault, an endless loop, or an allocation far
larger than the file. So h5py writes checkpoints and any HDF5 tool can read them, but `fastnn.checkpoint.load` reads
them by their manifest. A file consists of

    512 bytes     HDF5's user block, which libraries skip: one line of text (see `_LINE`), padded with NUL
    HDF5          as described in `fastnn.checkpoint`; all datasets are contiguous
    manifest      JSON: the value of the root group

where a value is one of

    ["dict", {key: value, ...}]   ["list", [value, ...]]   ["tuple", [value, ...]]   ["none"]
    ["str", text]                 ["int", digits]          beyond 64 bits
    [kind, dtype, shape, offset]  the other kinds; offset: position of the first byte in the file

The digest covers all bytes except itself and the padding, which must be NUL. It detects damage, but does not prove who
wrote the file. Therefore the sizes in the manifest are checked against the size of the file before memory is
allocated, all arrays together never exceed the size of the file, and reading gives only numbers and text.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import numpy as np

USER_BLOCK = 512  # bytes; the least that HDF5 allows

_LINE = "fastnn checkpoint {version}, fastnn {fastnn_version}, {size} bytes, manifest {length}, sha256 "
_HEADER = re.compile(
    rb"(fastnn checkpoint \d{1,9}, fastnn \S{1,99}, (\d{1,18}) bytes, manifest (\d{1,18}), sha256 )([0-9a-f]{64})\n\0+"
)
_BEGINNING = re.compile(rb"fastnn checkpoint (\d{1,9}), fastnn (\S{1,99}),")
_DTYPE = re.compile(r"[<>|][biufc]\d{1,2}")
_DTYPES_OF_LISTS = ("f8", "i8", "b1")


@contextlib.contextmanager
def hdf5(path: Path, version: int) -> Iterator[Any]:
    """Open an h5py.File in memory whose root group is a dict; at the end of the block, write it to `path` and sync.

    It is built in memory because on a full disk h5py raises RuntimeError, prints one for each open object, and may
    crash at the end of the process. Raises OSError if `path` cannot be written.
    """
    import h5py

    from fastnn import __version__

    content = io.BytesIO()
    with _new_file(content) as file:
        file.attrs["kind"] = "dict"
        yield file
    with h5py.File(content, "r") as file:
        entries = json.dumps(_entry(file), separators=(",", ":")).encode()
    content.seek(0, os.SEEK_END)
    content.write(entries)
    line = _LINE.format(version=version, fastnn_version=__version__, size=content.tell(), length=len(entries)).encode()
    with content.getbuffer() as buffer:
        digest = hashlib.sha256(line)
        digest.update(buffer[USER_BLOCK:])
        buffer[:USER_BLOCK] = (line + f"{digest.hexdigest()}\n".encode()).ljust(USER_BLOCK, b"\0")
        with open(path, "wb") as output:
            output.write(buffer)
            output.flush()
            os.fsync(output.fileno())


def new_group(parent: Any, name: str) -> Any:
    """Create a group whose members keep their order of insertion.

    Unlike `create_group`, this stores no time stamp, so that equal runs write equal bytes.
    """
    import h5py

    properties = _in_order(h5py.h5p.create(h5py.h5p.GROUP_CREATE))
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=properties))


def _new_file(content: Any) -> Any:
    """Create an h5py.File in a Python file object, with a user block; the root group is as in `new_group`."""
    import h5py

    properties = _in_order(h5py.h5p.create(h5py.h5p.FILE_CREATE))
    properties.set_userblock(USER_BLOCK)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, content)
    return h5py.File(h5py.h5f.create(b"checkpoint", h5py.h5f.ACC_TRUNC, properties, access))


def _in_order(properties: Any) -> Any:
    """Set the creation properties of a group: members in order, no time stamp."""
    import h5py

    properties.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    properties.set_obj_track_times(False)
    return properties


def versions(file: IO[bytes]) -> tuple[int, str] | None:
    """Read the format version and the fastnn version of a checkpoint; None if the file is not a checkpoint."""
    match = _BEGINNING.match(file.read(USER_BLOCK))
    return None if match is None else (int(match[1]), match[2].decode("ascii", "replace"))


def read(file: IO[bytes]) -> dict:
    """Read the tree of a checkpoint. Raises ValueError, TypeError or RecursionError if it is damaged."""
    file.seek(0)
    header = _HEADER.fullmatch(file.read(USER_BLOCK))
    if header is None:
        raise ValueError("its first line is malformed")
    size, expected, length = os.fstat(file.fileno()).st_size, int(header[2]), int(header[3])
    if size != expected:
        raise ValueError(f"it has {size:,} bytes of {expected:,}")
    if not 0 < length <= size - USER_BLOCK:
        raise ValueError(f"its manifest of {length:,} bytes does not fit")
    if _digest(file, header[1]) != header[4].decode():
        raise ValueError("its content is not what was written: the digest differs")
    file.seek(size - length)
    tree = _Contents(file, size - length).value(json.loads(file.read(length)))
    if not isinstance(tree, dict):
        raise ValueError(f"it holds a {type(tree).__name__}, not a dict")
    return tree


def _digest(file: IO[bytes], line: bytes) -> str:
    file.seek(USER_BLOCK)
    digest = hashlib.sha256(line)
    while chunk := file.read(1 << 16):
        digest.update(chunk)
    return digest.hexdigest()


def _entry(member: Any) -> list:
    """The manifest entry of an HDF5 object."""
    import h5py

    kind = member.attrs["kind"]
    if kind == "dict":
        return [kind, {unquote(name): _entry(member[name]) for name in member}]
    if kind in ("list", "tuple"):
        return [kind, [_entry(member[str(position)]) for position in range(len(member))]]
    if kind == "none":
        return [kind]
    if h5py.check_string_dtype(member.dtype) is not None:
        return [kind, member.asstr()[()]]
    return [kind, member.dtype.str, member.shape, member.id.get_offset() if member.size else 0]


class _Contents:
    """Reader of the values of a file whose arrays end before the byte `stop`."""

    def __init__(self, file: IO[bytes], stop: int) -> None:
        self._file = file
        self._stop = stop
        self._left = stop - USER_BLOCK  # bytes not yet read: arrays must not overlap

    def value(self, entry: Any) -> Any:
        match entry:
            case ["dict", dict(members)]:
                return {key: self.value(inner) for key, inner in members.items()}
            case ["list", list(members)]:
                return [self.value(inner) for inner in members]
            case ["tuple", list(members)]:
                return tuple([self.value(inner) for inner in members])
            case ["none"]:
                return None
            case ["str", str(text)]:
                return text
            case ["int", str(digits)]:
                return int(digits)
            case [str(kind), str(dtype), list(shape), int(offset)]:
                return self._numbers(kind, dtype, shape, offset)
        raise ValueError(f"its manifest holds {_shortened(entry)}")

    def _numbers(self, kind: str, dtype: str, shape: list, offset: int) -> Any:
        array = self._array(dtype, shape, offset)
        if kind == "array":
            return array
        if kind == "numbers" and array.ndim == 1 and array.dtype.str[1:] in _DTYPES_OF_LISTS:
            return array.tolist()
        if kind == "scalar" and array.ndim == 0:
            return array[()]
        if kind in ("float", "bool", "int") and array.ndim == 0 and type(array.item()).__name__ == kind:
            return array.item()
        raise ValueError(f"its manifest holds {_shortened([kind, dtype, shape])}")

    def _array(self, dtype: str, shape: list, offset: int) -> np.ndarray:
        if not _DTYPE.fullmatch(dtype) or not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError(f"its manifest holds an array of {_shortened([dtype, shape])}")
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        self._left -= size
        if self._left < 0 or not (size == 0 or USER_BLOCK <= offset <= self._stop - size):
            raise ValueError(
                f"its manifest claims {_shortened(size)} bytes at {_shortened(offset)}, which it does not contain"
            )
        self._file.seek(offset if size else 0)
        array = np.fromfile(self._file, dtype, count).reshape(shape)
        if array.dtype == bool and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError("it holds a boolean that is neither 0 nor 1")
        return array


def _shortened(value: Any) -> str:
    """A short form of a value from an untrusted file, for messages."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_shortened, value[:4])) + "]"
    return f"{value:.3g}" if type(value) is int and abs(value) < 10**300 else f"{str(value)[:40]!r}"
