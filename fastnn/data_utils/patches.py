"""Small patches of images for the sparse autoencoder: cut, stored in HDF5, and preprocessed."""

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
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue: ITU-R Recommendation BT.709


@signatures.checked
def cut_patches(images: Any, count: int, size: int = 16, seed: Any = None) -> np.ndarray:
    """Square patches from random places of random images.

    images (N, 3, H, W): red, green, blue; any integers or floats
    count, size: of the patches; size at most H and W, in pixels
    seed: see `fastnn.rng`
    Returns patches (count, 3, size, size) in the dtype of images. Raises ValueError or TypeError for other arguments.
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
    """What the autoencoder learns from: luminance without each image's mean, in [0.1, 0.9].

    The luminance 0.2126 R + 0.7152 G + 0.0722 B less its mean over each image is clipped at three standard deviations
    s of the whole set, -3s to 3s, which then become 0.1 and 0.9. Images without contrast become 0.5.

    images (N, 3, h, w): finite integers or floats of any scale; not modified
    Returns (N, h*w) float64. Raises ValueError or TypeError for other arguments.
    Source: Ng, Ngiam, Foo, Mai & Suen, UFLDL tutorial (2011), exercise: sparse autoencoder, sampleIMAGES.
    """
    function = "preprocess_patches"
    images = _images(function, "images", images)
    grey = np.einsum("nchw,c->nhw", images, np.array(LUMINANCE), dtype=np.float64, casting="same_kind").reshape(
        len(images), -1
    )
    if not np.isfinite(grey).all():
        raise ValueError(
            f"{function}: images contain NaN or infinity, or numbers close to it; expected finite ones; check their "
            f"origin"
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
    """The patches of an HDF5 file, preprocessed.

    path: a file with the dataset `data` (N, 3, h, w), as in the course with h = w = 16, or from `save_patches`
    Returns (N, h*w) float64, see `preprocess_patches`.
    Raises FileNotFoundError where there is no file, ValueError or TypeError for one that holds something else, or is
    damaged. A file of other programs has no digest that would tell; of its library only as much is used as leads to
    one dataset in one piece.
    """
    path, function = arguments.path("load_patches", "path", path), "load_patches"
    if not path.is_file():
        raise FileNotFoundError(
            f"{function}: path={str(path)!r} is not a file; expected an HDF5 file with the dataset {DATASET!r}; make "
            f"one with cut_patches and save_patches"
        )
    with path.open("rb") as file:
        is_ours = container.versions(file) is not None
    images = checkpoint.load(path).get(DATASET) if is_ours else _read_hdf5(function, path)
    return preprocess_patches(_images(function, DATASET, images))


@signatures.checked
def save_patches(path: str | os.PathLike, patches: Any) -> None:
    """Write patches (N, 3, h, w), as `cut_patches` returns them, to an HDF5 file that `load_patches` reads.

    The file that was there stays whole until the new one is. Raises ValueError or TypeError for other arrays, OSError
    where the folder cannot be written.
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
    """The dataset of an HDF5 file by other programs: numbers in one piece, that the file really has.

    h5py's own steps would read attributes and list groups, where libhdf5 crashes on damaged files, and follow links.
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
            f"{function}: path={str(path)!r} has no legible dataset {DATASET!r}: {error}; expected images (N, 3, h, w) "
            f"under that name; check the name"
        ) from error
    if problem:
        raise ValueError(
            f"{function}: {DATASET!r} in path={str(path)!r} {problem}; expected numbers in one piece; read it with "
            f"h5py, if you trust it, and write it with save_patches"
        )
    return images


def _problem(dataset: Any, size: int) -> str:
    """Why a dataset is not read, though it is there."""
    import h5py

    settings, kind = dataset.get_create_plist(), dataset.get_type().get_class()
    if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        return "holds no pixels"
    if settings.get_layout() != h5py.h5d.CONTIGUOUS:
        return "lies in chunks, is compressed, or is put together from other files"
    if settings.get_external_count():
        return "lies in another file"
    claimed = math.prod(dataset.shape) * dataset.get_type().get_size()
    if not claimed <= min(size, dataset.get_storage_size()):
        return f"claims {claimed:,} bytes of a file of {size:,}"
    return ""


def _images(function: str, name: str, images: Any) -> np.ndarray:
    """`images` as an array (N, 3, h, w) of real numbers, not empty, in its own dtype."""
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
