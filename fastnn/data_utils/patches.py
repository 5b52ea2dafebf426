"""Image patches for the sparse autoencoder: cutting, storing in HDF5, preprocessing."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments, checkpoint, rng
from fastnn.checkpoint import container
from fastnn.kernels.dispatch import signatures, validation
from fastnn.output import atomic

DATASET = "data"
LUMINANCE = (0.2126, 0.7152, 0.0722)  # weights of red, green and blue: ITU-R Recommendation BT.709


@signatures.checked
def cut_patches(images: Any, count: int, size: int = 16, seed: Any = None) -> np.ndarray:
    """Cut square patches at random positions from random images.

    images (N, 3, H, W): RGB images, any integers or floats
    count: number of patches
    size: side of the patches in pixels, at most H and W
    seed: see `fastnn.rng`
    Returns patches (count, 3, size, size) in the dtype of images. Raises ValueError or TypeError for invalid arguments.
    """
    function = "cut_patches"
    images = _images(function, "images", images)
    count = validation.integer(function, "count", count, minimum=1)
    N, _, H, W = images.shape
    size = validation.integer(function, "size", size, minimum=1, maximum=min(H, W))
    source = rng.generator(seed)
    chosen, top, left = (source.choice(length, count) for length in (N, H - size + 1, W - size + 1))
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    return windows[chosen, :, top, left]


@signatures.quiet
@signatures.checked
def preprocess_patches(images: Any) -> np.ndarray:
    """Convert patches to inputs of the autoencoder: luminance minus the mean of each patch, scaled to [0.1, 0.9].

    The luminance 0.2126 R + 0.7152 G + 0.0722 B minus its mean over the patch is clipped to [-3s, 3s], where s is the
    standard deviation over all patches, and mapped linearly to [0.1, 0.9]. Patches without contrast become 0.5.

    images (N, 3, h, w): finite integers or floats of any scale; not modified
    Returns (N, h*w) float64. Raises ValueError or TypeError for invalid arguments.
    Source: Ng, Ngiam, Foo, Mai & Suen, UFLDL tutorial (2011), exercise: sparse autoencoder, sampleIMAGES.
    """
    function = "preprocess_patches"
    images = _images(function, "images", images)
    grey = np.einsum("nchw,c->nhw", images, np.array(LUMINANCE), dtype=np.float64, casting="same_kind").reshape(
        len(images), -1
    )
    if not np.isfinite(grey).all():
        raise ValueError(
            f"{function}: images contain NaN or infinity, or very large numbers; expected finite ones; check the data"
        )
    grey -= grey.mean(axis=1, keepdims=True)
    limit = 3 * grey.std()
    if limit:
        np.clip(grey, -limit, limit, out=grey)
        grey *= 0.4 / limit
    grey += 0.5
    return grey


@signatures.checked
def load_patches(path: str | os.PathLike) -> np.ndarray:
    """Load the patches of an HDF5 file and preprocess them.

    path: a file with the dataset `data` (N, 3, h, w), as in the course with h = w = 16, or from `save_patches`
    Returns (N, h*w) float64, see `preprocess_patches`.
    Raises FileNotFoundError if there is no file, ValueError or TypeError if it has other contents or is damaged. Files
    of other programs have no digest; of these, only contiguous datasets are read.
    """
    path, function = arguments.path("load_patches", "path", path), "load_patches"
    if not path.is_file():
        raise FileNotFoundError(
            f"{function}: path={str(path)!r} is not a file; expected an HDF5 file with the dataset {DATASET!r}; make "
            f"one with cut_patches and save_patches"
        )
    with path.open("rb") as file:
        is_checkpoint = container.versions(file) is not None
    images = checkpoint.load(path).get(DATASET) if is_checkpoint else _read_hdf5(function, path)
    return preprocess_patches(_images(function, DATASET, images))


@signatures.checked
def save_patches(path: str | os.PathLike, patches: Any) -> None:
    """Write patches to an HDF5 file for `load_patches`.

    path: a file in an existing folder
    patches (N, 3, h, w): as from `cut_patches`

    An existing file is replaced atomically. Raises ValueError or TypeError for other arrays, OSError if the folder is
    not writable.
    """
    function = "save_patches"
    patches, path = _images(function, "patches", patches), arguments.path(function, "path", path)
    try:
        with (
            atomic.replacing(path) as temporary,
            container.hdf5(temporary, checkpoint.FORMAT_VERSION) as file,
        ):
            file.create_dataset(DATASET, data=patches).attrs["kind"] = "array"
    except OSError as error:
        raise type(error)(
            f"{function}: path={str(path)!r} could not be written: {error}; expected a writable folder with enough "
            f"space; choose another path"
        ) from error


def _read_hdf5(function: str, path: Path) -> np.ndarray:
    """Read the dataset of an HDF5 file of another program, if it is contiguous and completely in the file.

    This uses h5py's low-level functions. The others read attributes, list groups and follow links, where libhdf5 may
    crash on damaged files.
    """
    import h5py

    if not h5py.is_hdf5(path):
        raise ValueError(
            f"{function}: path={str(path)!r} is not an HDF5 file; expected one with the dataset {DATASET!r}; check the "
            f"name"
        )
    try:
        with h5py.File(path, "r") as file:
            name = DATASET.encode()
            if name not in file.id or file.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise KeyError(name)
            dataset = h5py.h5d.open(file.id, name)
            problem = _problem(dataset, path.stat().st_size)
            images: Any = None if problem else h5py.Dataset(dataset)[()]
    except (KeyError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{function}: path={str(path)!r} has no readable dataset {DATASET!r}: {error}; expected images "
            f"(N, 3, h, w) under that name; check the name"
        ) from error
    if problem:
        raise ValueError(
            f"{function}: {DATASET!r} in path={str(path)!r} {problem}; expected contiguous numbers; read it with "
            f"h5py, if you trust it, and write it with save_patches"
        )
    return images


def _problem(dataset: Any, size: int) -> str:
    """Why a dataset cannot be read; an empty string if it can."""
    import h5py

    settings, kind = dataset.get_create_plist(), dataset.get_type().get_class()
    if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        return "contains no pixels"
    if settings.get_layout() != h5py.h5d.CONTIGUOUS:
        return "is chunked, compressed, or assembled from other files"
    if settings.get_external_count():
        return "is stored in another file"
    claimed = math.prod(dataset.shape) * dataset.get_type().get_size()
    if not claimed <= min(size, dataset.get_storage_size()):
        return f"claims {claimed:,} bytes of a file of {size:,}"
    return ""


def _images(function: str, name: str, images: Any) -> np.ndarray:
    """Check images (N, 3, h, w): a non-empty array of real numbers, whose dtype is kept."""
    images = validation.array(function, name, images)
    if images.dtype.kind not in "iuf":
        raise TypeError(
            f"{function}: {name}.dtype = {images.dtype} holds no pixels; expected integers or floats; convert it with "
            f"{name}.astype(np.float32)"
        )
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"{function}: {name}.shape = {images.shape} holds no colour images; expected (N, 3, h, w); for channels "
            f"last pass {name}.transpose(0, 3, 1, 2)"
        )
    validation.not_empty(function, name, images)
    return images
