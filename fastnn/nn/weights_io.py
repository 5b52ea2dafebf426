"""Saving and loading of named arrays, without anything that could be executed."""

import contextlib
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.data_utils import npy
from fastnn.kernels import to_numpy
from fastnn.output import atomic

from . import safetensors_io

_HDF5, _SAFETENSORS = (".h5", ".hdf5"), ".safetensors"
_BUFFERS = "buffers/"  # prefix of the names of buffers in an npz file; parameters have none
_LENGTHS = 26  # offset of the lengths of name and extra fields in the header of a zip member


def save(
    name: str | os.PathLike, params: Mapping[str, np.ndarray], buffers: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write arrays to the file `name`: HDF5 (see `fastnn.checkpoint`) if it ends in .h5 or .hdf5, else npz.

    If it ends in .safetensors, that format, without buffers.

    name: path
    params, buffers: arrays by name

    An existing file, or the target of a symbolic link, is replaced atomically. Raises OSError if the folder is not
    writable.
    """
    path = arguments.path("save", "name", name)
    params, buffers = ({key: to_numpy(value) for key, value in values.items()} for values in (params, buffers or {}))
    if path.suffix in _HDF5:
        from fastnn import checkpoint

        checkpoint.save(path, {"params": params, "buffers": buffers})
        return
    if path.suffix == _SAFETENSORS:
        content = safetensors_io.pack("save", path, params)
        with _writing(name, path) as temporary:
            temporary.write_bytes(content)
        return
    arrays: dict[str, Any] = {**params, **{_BUFFERS + key: value for key, value in buffers.items()}}
    with (
        _writing(name, path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,  # np.savez leaves the file open if the disk is full
    ):
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


@contextlib.contextmanager
def _writing(name: str | os.PathLike, path: Path) -> Iterator[Any]:
    """Open a file that replaces `path` at the end of the block. Raises OSError with a clear message."""
    try:
        with atomic.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise type(error)(
            f"save: name={str(name)!r} could not be written: {error}; expected a writable folder with enough space; "
            f"choose another name"
        ) from error


def load(name: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read what `save` wrote: params, buffers (empty for files of older versions).

    Raises FileNotFoundError if the file does not exist, ValueError if it has another format, is damaged, or contains
    NaN or infinity. Arrays take no more memory than the size of the file, whatever the file claims.
    """
    path = arguments.path("load", "name", name)
    if path.suffix in _HDF5:
        from fastnn import checkpoint

        tree = checkpoint.load(path)
        params: Any = tree.get("params")
        buffers: Any = tree.get("buffers", {})
        if not _are_arrays(params) or not _are_arrays(buffers):
            raise ValueError(
                f"load: name={str(name)!r} holds {list(tree)[:5]}; expected 'params' and 'buffers' with arrays; "
                f"check the name"
            )
    elif path.suffix == _SAFETENSORS:
        params, buffers = safetensors_io.read("load", path), {}
    else:
        arrays = _read_npz(path)
        buffers = {key.removeprefix(_BUFFERS): arrays.pop(key) for key in list(arrays) if key.startswith(_BUFFERS)}
        params = arrays
    for key, array in (*params.items(), *buffers.items()):
        if not np.isfinite(array).all():
            count = array.size - int(np.isfinite(array).sum())
            raise ValueError(
                f"load: {key!r} in name={str(name)!r} holds NaN or infinity, {count} of {array.size} numbers; expected "
                f"finite ones; use a file that was saved before the training diverged"
            )
    return params, buffers


def is_exchanged(function: str, name: str | os.PathLike) -> bool:
    """Whether a file of this name has torch's names and layouts."""
    return arguments.path(function, "name", name).suffix == _SAFETENSORS


def _are_arrays(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(value, np.ndarray) for value in values.values())


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file. Unlike np.load, this does not unpack zip bombs."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            arrays, end = {}, 0  # the members must follow each other without gaps
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                    raise ValueError(f"{key!r} is compressed")
                file.seek(end + _LENGTHS)
                start = end + _LENGTHS + 4 + sum(struct.unpack("<2H", file.read(4)))  # after name and extra fields
                if member.header_offset != end or start + member.file_size > archive.start_dir:
                    raise ValueError(f"{key!r} does not follow the array before it")
                if key in arrays:
                    raise ValueError(f"{key!r} occurs twice")
                end = start + member.file_size
                arrays[key] = _array(key, archive.read(member))
            if end != archive.start_dir:
                raise ValueError(f"there is data after the last array, {key!r}" if arrays else "it is empty")
            return arrays
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"load: name={str(path)!r} is not a file; expected one written by save; check the name and the folder"
        ) from error
    except Exception as error:  # NumPy and zipfile raise many kinds of errors for invalid files
        raise ValueError(
            f"load: name={str(path)!r} contains no named arrays ({error}); expected a file written by save; "
            f"check the name"
        ) from error


def _array(key: str, content: bytes) -> np.ndarray:
    try:
        return npy.parse(content)
    except ValueError as error:
        raise ValueError(f"{key!r} {error}") from error
