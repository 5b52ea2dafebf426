"""The arrays of a network in a file: under names, nothing that could be executed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy

_HDF5 = (".h5", ".hdf5")
_BUFFERS = "buffers/"  # in front of a buffer's name in an npz file, where parameters stand under their own


def save(
    name: str | os.PathLike, params: Mapping[str, np.ndarray], buffers: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write arrays to the file `name`: HDF5 (see `fastnn.checkpoint`) where it ends in .h5 or .hdf5, else npz.

    The file that was there stays whole until the new one is.
    """
    path = Path(name)
    params, buffers = ({key: to_numpy(value) for key, value in values.items()} for values in (params, buffers or {}))
    if path.suffix in _HDF5:
        from fastnn import checkpoint

        checkpoint.save(path, {"params": params, "buffers": buffers})
        return
    arrays: dict[str, Any] = {**params, **{_BUFFERS + key: value for key, value in buffers.items()}}
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:  # savez would append .npz to a name
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load(name: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read what `save` wrote: params, buffers (none in the files of older versions).

    Raises FileNotFoundError, and ValueError for a file of another kind.
    """
    path = Path(name)
    if path.suffix in _HDF5:
        from fastnn import checkpoint

        tree = checkpoint.load(path)
        if not isinstance(tree.get("params"), dict):
            raise ValueError(f"load: name={str(name)!r} holds {list(tree)}; expected 'params'; check the name")
        return tree["params"], tree.get("buffers", {})
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"load: name={str(name)!r} is no file; expected one written by save; check the name and the folder"
        ) from error
    except Exception as error:  # NumPy and zipfile have a dozen ways to say that a file is not theirs
        raise ValueError(
            f"load: name={str(name)!r} holds no named arrays ({error}); expected a file written by save; check the name"
        ) from error
    buffers = {key.removeprefix(_BUFFERS): arrays.pop(key) for key in list(arrays) if key.startswith(_BUFFERS)}
    return arrays, buffers
