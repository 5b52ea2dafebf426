"""Reading of CIFAR-10 in its two official layouts.

Binary (`cifar-10-batches-bin/data_batch_1.bin` ... `test_batch.bin`): per image a label byte and 3072 pixel bytes.
Python (`cifar-10-batches-py/data_batch_1` ... `test_batch`): pickled dicts with `data` (N, 3072) and `labels`.
In both, the pixels of an image are its red, green and blue planes, each row by row.
Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); https://www.cs.toronto.edu/~kriz/cifar.html
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import integrity, safe_pickle

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SHAPE = (3, 32, 32)
IMAGES_PER_FILE = 10_000
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_PIXELS = 3 * 32 * 32


class Layout(NamedTuple):
    """One of the two layouts.

    folder: name of the folder
    suffix: suffix of the file names
    sizes: smallest and largest size of a file, in bytes per image
    read: function that returns the pixels (N, 3072) uint8 and the labels of a file
    """

    folder: str
    suffix: str
    sizes: tuple[int, int]
    read: Callable[[Path], tuple[np.ndarray, list[int]]]


class Cifar10(NamedTuple):
    """The data set: images (N, 3, 32, 32) uint8 and labels (N,) int64, for training and testing."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def find(root: Path) -> tuple[Path, Layout] | None:
    """Find the folder with the batches: `root` or one of its two standard subfolders; the binary layout first."""
    for layout in LAYOUTS:
        for folder in (root / layout.folder, root):
            if any((folder / (batch + layout.suffix)).is_file() for batch in BATCHES):
                return folder, layout
    return None


def read(folder: Path, layout: Layout) -> Cifar10:
    """Read all six files.

    Raises FileNotFoundError if one is missing, ValueError if one is not a batch of CIFAR-10 or differs from the
    original. Warns if it is not known whether they are the original files.
    """
    files = [folder / (batch + layout.suffix) for batch in BATCHES]
    if missing := [file.name for file in files if not file.is_file()]:
        raise FileNotFoundError(
            f"load_CIFAR10: {folder} lacks {', '.join(missing)}; expected {len(files)} files, {files[0].name} to "
            f"{files[-1].name}; unpack the archive again, or delete the folder"
        )
    for file in files:
        _check_size(file, *layout.sizes)
    is_original = integrity.is_original(files)
    images = np.empty((len(files), IMAGES_PER_FILE, *IMAGE_SHAPE), np.uint8)
    labels = np.empty((len(files), IMAGES_PER_FILE), np.int64)
    for position, file in enumerate(files):
        pixels, classes = layout.read(file)
        _check_labels(file, classes)
        labels[position] = classes
        images[position] = pixels.reshape(images[position].shape)
    X, y = images[:-1].reshape(-1, *IMAGE_SHAPE), labels[:-1].reshape(-1)
    if not is_original:
        sets = (integrity.ImageSet("training", X, y), integrity.ImageSet("test", images[-1], labels[-1]))
        integrity.check_content(folder, sets, files)
    return Cifar10(X, y, images[-1], labels[-1])


def _check_size(file: Path, least: int, most: int) -> None:
    least, most = IMAGES_PER_FILE * least, IMAGES_PER_FILE * most
    if not least <= (size := file.stat().st_size) <= most:
        expected = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        raise ValueError(
            f"load_CIFAR10: {file} has {size:,} bytes; expected {expected} for {IMAGES_PER_FILE:,} images; replace the "
            f"file with the original"
        )


def _read_binary(file: Path) -> tuple[np.ndarray, list[int]]:
    records = np.fromfile(file, np.uint8).reshape(IMAGES_PER_FILE, 1 + _PIXELS)
    return records[:, 1:], records[:, 0].tolist()


def _read_python(file: Path) -> tuple[np.ndarray, list[int]]:
    batch = safe_pickle.load_dict(file)
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (IMAGES_PER_FILE, _PIXELS):
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ValueError(
            f"load_CIFAR10: 'data' in {file} is {found}; expected uint8 ({IMAGES_PER_FILE}, {_PIXELS}); replace the "
            f"file with the original"
        )
    if not isinstance(labels, list) or len(labels) != IMAGES_PER_FILE or {type(label) for label in labels} != {int}:
        raise ValueError(
            f"load_CIFAR10: 'labels' in {file} is not a list of {IMAGES_PER_FILE} ints; expected one per image; "
            f"replace the file with the original"
        )
    return pixels, labels


def _check_labels(file: Path, labels: list[int]) -> None:
    if min(labels) < 0 or max(labels) >= len(CIFAR10_CLASSES):
        raise ValueError(
            f"load_CIFAR10: {file} holds labels from {min(labels)} to {max(labels)}; expected 0 to "
            f"{len(CIFAR10_CLASSES) - 1}; replace the file with the original"
        )


LAYOUTS = (
    Layout("cifar-10-batches-bin", ".bin", (1 + _PIXELS, 1 + _PIXELS), _read_binary),
    Layout("cifar-10-batches-py", "", (_PIXELS, _PIXELS + 1024), _read_python),  # labels and names: about 30 bytes each
)
