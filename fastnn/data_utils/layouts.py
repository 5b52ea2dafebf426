"""CIFAR-10 on disk, in the two layouts of its official page, read into one form.

Binary (`cifar-10-batches-bin/data_batch_1.bin` ... `test_batch.bin`): per image one byte of label and 3072 of pixels.
Python (`cifar-10-batches-py/data_batch_1` ... `test_batch`): pickled dicts with `data` (N, 3072) and `labels`.
In both, the pixels of an image are its red, green and blue plane, each row by row.
Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); https://www.cs.toronto.edu/~kriz/cifar.html
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import safe_pickle

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SHAPE = (3, 32, 32)
IMAGES_PER_FILE = 10_000
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_PIXELS = 3 * 32 * 32
MD5 = {  # of the files in the archives of the official page
    "data_batch_1.bin": "d3e1fec73adfe109fd69225804b65741",
    "data_batch_2.bin": "044c43b51f2c40ef792b5a08ad80c22e",
    "data_batch_3.bin": "62cd83cd14182587dbc6e502334da81d",
    "data_batch_4.bin": "eabb811ff409eb1951a6378c08cad694",
    "data_batch_5.bin": "b64424ddc9d38f1ad2cbba5cce76dd01",
    "test_batch.bin": "21427325ea5da7cf321cadac6d84a323",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


class Layout(NamedTuple):
    """One of the two layouts: the folder's name, the ending of its files, and the function that reads one of them."""

    folder: str
    suffix: str
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]


class Cifar10(NamedTuple):
    """The whole data set: images (N, 3, 32, 32) uint8, labels (N,) int64; five files for training, one for testing."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def find(root: Path) -> tuple[Path, Layout] | None:
    """The folder with the batches, `root` itself or one of its two known subfolders; the binary layout first."""
    for layout in LAYOUTS:
        for folder in (root / layout.folder, root):
            if any((folder / (batch + layout.suffix)).is_file() for batch in BATCHES):
                return folder, layout
    return None


def read(folder: Path, layout: Layout) -> Cifar10:
    """Read all six files.

    Raises FileNotFoundError where one is missing, ValueError where one has another size or digest than the original.
    """
    files = [folder / (batch + layout.suffix) for batch in BATCHES]
    if missing := [file.name for file in files if not file.is_file()]:
        raise FileNotFoundError(
            f"load_CIFAR10: {folder} lacks {', '.join(missing)}; expected {len(files)} files, {files[0].name} to "
            f"{files[-1].name}; unpack the archive again, or delete the folder"
        )
    images = np.empty((len(files), IMAGES_PER_FILE, *IMAGE_SHAPE), np.uint8)
    labels = np.empty((len(files), IMAGES_PER_FILE), np.int64)
    for position, file in enumerate(files):
        pixels, labels[position] = layout.read(file)
        images[position] = pixels.reshape(images[position].shape)
    X, y = images[:-1].reshape(-1, *IMAGE_SHAPE), labels[:-1].reshape(-1)
    return Cifar10(X, y, images[-1], labels[-1])


def _read_binary(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) and labels (N,), uint8."""
    size, expected = file.stat().st_size, IMAGES_PER_FILE * (1 + _PIXELS)
    if size != expected:
        raise ValueError(
            f"load_CIFAR10: {file} has {size:,} bytes; expected {expected:,}, for each of {IMAGES_PER_FILE:,} images "
            f"1 label and {_PIXELS} pixels; replace the file with the original"
        )
    _check_md5(file)
    records = np.fromfile(file, np.uint8).reshape(IMAGES_PER_FILE, 1 + _PIXELS)
    _check_labels(file, records[:, 0].tolist())
    return records[:, 1:], records[:, 0]


def _read_python(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) uint8 and labels (N,) int64."""
    size, least = file.stat().st_size, IMAGES_PER_FILE * _PIXELS
    most = least + IMAGES_PER_FILE * 1024  # labels and file names take about 30 bytes per image
    if not least <= size <= most:
        raise ValueError(
            f"load_CIFAR10: {file} has {size:,} bytes; expected {least:,} to {most:,} for {IMAGES_PER_FILE:,} images; "
            f"replace the file with the original"
        )
    _check_md5(file)
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
            f"load_CIFAR10: 'labels' in {file} is no list of {IMAGES_PER_FILE} ints; expected one per image; replace "
            f"the file with the original"
        )
    _check_labels(file, labels)
    return pixels, np.array(labels, dtype=np.int64)


def _check_md5(file: Path) -> None:
    """Refuse a file of the right size in which something was changed: a wrong pixel is seen in no other way."""
    with file.open("rb") as opened:
        actual = hashlib.file_digest(opened, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if actual != MD5.get(file.name, actual):
        raise ValueError(
            f"load_CIFAR10: {file} has the md5 {actual}; expected {MD5[file.name]}, as in CIFAR-10; replace the file "
            f"with the original"
        )


def _check_labels(file: Path, labels: list[int]) -> None:
    if min(labels) < 0 or max(labels) >= len(CIFAR10_CLASSES):
        raise ValueError(
            f"load_CIFAR10: {file} holds labels from {min(labels)} to {max(labels)}; expected 0 to "
            f"{len(CIFAR10_CLASSES) - 1}; replace the file with the original"
        )


LAYOUTS = (Layout("cifar-10-batches-bin", ".bin", _read_binary), Layout("cifar-10-batches-py", "", _read_python))
