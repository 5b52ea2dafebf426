"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes.

It is searched for in the folder `root`, in $FASTNN_DATA, where notebooks of the courses keep it (PLACES, below the
working folder) and in the user's cache; otherwise it is downloaded into that cache. A folder can be
`cifar-10-batches-bin` or `cifar-10-batches-py`, or contain one of these.
"""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.cache import user_cache
from fastnn.kernels.dispatch import signatures
from fastnn.kernels.dispatch import validation as checks

from . import layouts, splits
from .layouts import CIFAR10_CLASSES, Cifar10

VARIABLE = "FASTNN_DATA"
PLACES = (
    *(f"{course}/datasets" for course in ("cs231n", "nndl", "dl", "ite4052", "eecs598", "cs182", "deeplearning")),
    "datasets",
    ".",
)


@signatures.checked
def load_CIFAR10(
    root: str | os.PathLike | None = None, *, dtype: Any = np.float64
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load the whole data set, as the courses' function of this name does.

    root: folder to search first
    dtype: of the images: float64 as in the courses (1.5 GB), float32 (0.7 GB) or uint8 (0.2 GB)
    Returns X (50000, 32, 32, 3), y (50000,), X_test (10000, 32, 32, 3), y_test (10000,): RGB pixels from 0 to 255;
    labels from 0 to 9 as int64, with the names in CIFAR10_CLASSES.
    Raises FileNotFoundError if the data set is not found and cannot be downloaded, ValueError for damaged files,
    TypeError for another dtype. Warns if `root` (unless it is a missing place of a course, such as
    "cs231n/datasets/cifar-10-batches-py") or $FASTNN_DATA does not contain it, and if the images may not be CIFAR-10's.
    """
    dtype = arguments.dtype("load_CIFAR10", dtype, np.float64, np.float32, np.uint8)
    data = _read(arguments.path_or_none("load_CIFAR10", "root", root))
    X, X_test = (np.ascontiguousarray(images.transpose(0, 2, 3, 1), dtype=dtype) for images in (data.X, data.X_test))
    return X, data.y, X_test, data.y_test


@signatures.checked
def get_CIFAR10_data(
    num_training: int = 49000,
    num_validation: int = 1000,
    num_test: int = 1000,
    subtract_mean: bool = True,
    *,
    root: str | os.PathLike | None = None,
    dtype: Any = np.float32,
    preprocessing: bool = False,
) -> dict[str, np.ndarray]:
    """Load CIFAR-10 for convolutional networks, as the dict that Solver takes.

    num_training, num_validation: number of training images, the first of the 50,000, and of validation images, which
        follow them
    num_test: number of test images, the first of the 10,000
    subtract_mean: subtract the mean image of the training images from all three sets
    root: folder to search first
    dtype: float32, or float64 as in the courses, which takes twice the memory
    preprocessing: also return mean_image, scale and class_names, which a Solver saves for `fastnn predict`
    Returns X_train, y_train, X_val, y_val, X_test, y_test: images (N, 3, 32, 32), C-contiguous, with pixels from 0 to
    255 before the mean is subtracted; labels (N,) int64.
    Raises what `load_CIFAR10` raises, and ValueError for more images than exist.
    """
    function = "get_CIFAR10_data"
    available, available_test = (len(layouts.BATCHES) - 1) * layouts.IMAGES_PER_FILE, layouts.IMAGES_PER_FILE
    train = checks.integer(function, "num_training", num_training, 1, available)
    validation = checks.integer(function, "num_validation", num_validation, 0, available - train)
    test = checks.integer(function, "num_test", num_test, 0, available_test)
    dtype, subtract_mean = arguments.dtype(function, dtype), checks.flag(function, "subtract_mean", subtract_mean)
    preprocessing = checks.flag(function, "preprocessing", preprocessing)
    X, y, X_test, y_test = _read(arguments.path_or_none(function, "root", root))
    return splits.dictionary(
        (X[:train], y[:train]),
        (X[train : train + validation], y[train : train + validation]),
        (X_test[:test], y_test[:test]),
        subtract_mean,
        dtype,
        class_names=layouts.CIFAR10_CLASSES if preprocessing else None,
    )


@signatures.checked
def preprocess_cifar10(
    bias_trick: bool = False,
    flatten: bool = True,
    validation_ratio: float = 0.2,
    dtype: Any = np.float32,
    show_examples: bool = False,
    *,
    root: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Load CIFAR-10 for linear classifiers and fully connected networks: pixels in [0, 1] minus the mean image.

    bias_trick: append a feature that is 1 to every image (flattened images only)
    flatten: return images as rows (N, 3072) instead of (N, 3, 32, 32)
    validation_ratio: fraction of the 50,000 images, taken from the end, for validation
    dtype: float32 or float64
    show_examples: draw samples of each class, in a notebook below the cell, otherwise to cifar10_examples.png
    root: folder to search first
    Returns X_train, y_train, X_val, y_val, X_test, y_test; the mean image is that of the training images.
    Raises what `load_CIFAR10` raises, and ValueError for bias_trick without flatten.
    """
    function = "preprocess_cifar10"
    dtype = arguments.dtype(function, dtype)
    ratio = checks.number(function, "validation_ratio", validation_ratio, minimum=0, below=1)
    flags = {"bias_trick": bias_trick, "flatten": flatten, "show_examples": show_examples}
    bias_trick, flatten, show_examples = (checks.flag(function, name, value) for name, value in flags.items())
    if bias_trick and not flatten:
        raise ValueError(
            f"{function}: bias_trick=True needs rows to append to, but flatten=False; expected flattened images; pass "
            f"flatten=True or bias_trick=False"
        )
    X, y, X_test, y_test = _read(arguments.path_or_none(function, "root", root))
    if show_examples:
        show(X, y)
    train = max(1, round(len(X) * (1 - ratio)))
    data = splits.dictionary((X[:train], y[:train]), (X[train:], y[train:]), (X_test, y_test), True, dtype, 1 / 255)
    if flatten:
        for name in ("X_train", "X_val", "X_test"):
            rows = data[name].reshape(len(data[name]), -1)
            data[name] = np.pad(rows, ((0, 0), (0, 1)), constant_values=1) if bias_trick else rows
    return data


@signatures.checked
def find_CIFAR10(root: str | os.PathLike | None = None) -> Path | None:
    """Return the folder that `load_CIFAR10` would read, or None if it would download; reads no file.

    root: as of `load_CIFAR10`
    """
    found = (layouts.find(folder) for _, folder in locations(arguments.path_or_none("find_CIFAR10", "root", root)))
    return next((folder for folder, _ in filter(None, found)), None)


def locations(root: str | os.PathLike | None = None) -> Iterator[tuple[str, Path]]:
    """Yield the folders to search for CIFAR-10, in order, each with the name of its source.

    Of PLACES, those that have it. The cache comes last; a user without a home folder has none.
    """
    for name, folder in (("root", root), (VARIABLE, os.environ.get(VARIABLE))):
        if folder:
            yield name, Path(os.path.expanduser(folder))  # without a home folder, ~ is kept
    for place in map(Path, PLACES):
        if layouts.find(place):
            yield "working folder", place
    if cache := user_cache.folder():
        yield "cache", cache


def _read(root: str | os.PathLike | None) -> Cifar10:
    """Read the data set from the first location that has it."""
    return layouts.read(*_locate(root))


def _locate(root: str | os.PathLike | None) -> tuple[Path, layouts.Layout]:
    for name, folder in locations(root):
        if found := layouts.find(folder):
            return found
        if name != "cache" and not _is_place(folder):
            warnings.warn(
                f"load_CIFAR10: {name}={os.fspath(folder)!r} does not contain CIFAR-10; expected a folder with "
                f"{layouts.LAYOUTS[0].folder} or {layouts.LAYOUTS[1].folder}; looking elsewhere",
                stacklevel=5,
            )
    from . import download

    return download.fetch(user_cache.folder())


def _is_place(folder: Path) -> bool:
    """Whether this is a missing folder of a course's repository."""
    parts = folder.parts[:-1] if folder.name in {layout.folder for layout in layouts.LAYOUTS} else folder.parts
    return Path(*parts[-2:]).as_posix() in PLACES[:-1] and not folder.exists()


def show(images: np.ndarray, labels: np.ndarray) -> None:
    """Draw examples of each class: below the cell of a notebook, otherwise to cifar10_examples.png."""
    from fastnn import vis_utils
    from fastnn.vis_utils import figures

    figure = figures.shown(vis_utils.show_examples(images, labels, CIFAR10_CLASSES))
    if figure is not None:
        path = "cifar10_examples.png"
        figure.savefig(path, dpi=150)
        print(f"{path} saved.")
