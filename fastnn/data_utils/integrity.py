"""Checks that files of CIFAR-10 are the originals: by a manifest, by published digests, or by their content.

`unpack` writes a manifest in the format of `sha256sum` for the files of a verified archive.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

MANIFEST = "fastnn.sha256"
_MANIFEST_LIMIT = 4096  # bytes; nine lines need less than 900
_LINE = re.compile(rb"([0-9a-f]{64}) [ *]([\w.-]{1,64})")
_CLASSES = 10

# Source: torchvision/datasets/cifar.py in github.com/pytorch/vision
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
# Source: lib/torchvision/datasets/cifar10.rb in github.com/ankane/torchvision-ruby. The official page publishes no
# digests of single files, and no second source was found; so a match is trusted, but a mismatch is not an error.
SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


class ImageSet(NamedTuple):
    """Images (N, C, H, W) uint8 and labels (N,) of the training or test set, in any order."""

    name: str
    images: np.ndarray
    labels: np.ndarray


# Digests of all images with their labels, in any order; see `set_digest`. They have no public source, but were computed
# from a copy of the data set in another order than the official files. So a mismatch is only a warning.
SET_DIGESTS = {
    "training": "da4deb04c6280f774a388b07610759a5ae01a9710fc03d6ad017e9f61b5d8c6c",
    "test": "c570203eec5823a6c731546f5c4e31127f0555462fa8fcb643b37d5e4372b070",
}


def is_original(files: Sequence[Path]) -> bool:
    """Whether the files of a folder are known to be the originals; others, such as batches pickled anew, may be whole.

    Raises ValueError for a file that differs from its manifest, and for an unreadable manifest.
    """
    listed = read_manifest(files[0].parent / MANIFEST, [file.name for file in files])
    if listed is None:
        return all(_is_published(file) for file in files)
    for file in files:
        if (actual := _digest(file, "sha256")) != listed[file.name]:
            raise ValueError(
                f"load_CIFAR10: {file} has the SHA-256 {actual}; expected {listed[file.name]}, as in {MANIFEST} "
                f"beside it: it was changed after unpacking; delete the folder, or unpack the archive again"
            )
    return True


def check_content(folder: Path, sets: Sequence[ImageSet], files: Sequence[Path] = ()) -> None:
    """Check images of unknown origin: equal class sizes, no duplicates; warn if the set has another digest.

    Other images in files whose MD5 is published are an error: such files were damaged.

    The official page states the class sizes: "exactly 1000 randomly-selected images from each class" for testing, and
    "exactly 5000 images from each class" for training (https://www.cs.toronto.edu/~kriz/cifar.html). A copy of the
    data set was searched for equal images: there are none within or across the two sets. Similar images (Barz &
    Denzler, Do we train on test data? (2020)) are not duplicates.
    """
    seen: set[bytes] = set()
    others: list[str] = []
    expected_digests: list[str] = []
    for one in sets:
        counts, expected = np.bincount(one.labels, minlength=_CLASSES), len(one.labels) // _CLASSES
        if wrong := np.flatnonzero(counts != expected).tolist():
            raise ValueError(
                f"load_CIFAR10: {folder} holds {counts[wrong[0]]:,} {one.name} images of class {wrong[0]}; expected "
                f"{expected:,} of each class, as in CIFAR-10; replace the files with the original"
            )
        digests = _image_digests(one.images)
        before = len(seen)
        seen.update(digests)
        if repeated := before + len(digests) - len(seen):
            raise ValueError(
                f"load_CIFAR10: {folder} holds {repeated:,} images twice, found among those for {one.name}; expected "
                f"none, as in CIFAR-10; replace the files with the original"
            )
        if (actual := _set_digest(digests, one.labels)) != SET_DIGESTS[one.name]:
            others.append(f"its {one.name} images have the digest {actual}")
            expected_digests.append(SET_DIGESTS[one.name])
    if others and (published := [file.name for file in files if file.name in MD5]):
        raise ValueError(
            f"load_CIFAR10: {folder} differs from CIFAR-10: the md5 of {' or '.join(published[:2])} is not the "
            f"published one, and {' and '.join(others)}; expected {' and '.join(expected_digests)}; replace the files "
            f"with the original"
        )
    if others:
        warnings.warn(
            f"load_CIFAR10: {folder} may differ from CIFAR-10: {' and '.join(others)}; expected "
            f"{' and '.join(expected_digests)}, computed from a copy of CIFAR-10; to be sure, download the data set "
            f"with fastnn",
            stacklevel=6,
        )


def manifest_of(digests: dict[str, str]) -> bytes:
    """Format a manifest from names and SHA-256 digests."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def read_manifest(file: Path, names: Sequence[str]) -> dict[str, str] | None:
    """Read the SHA-256 digests of a manifest by file name; None if there is no manifest.

    Raises ValueError if the file has another format, names a file twice, or lacks one of `names`.
    """
    if not os.path.lexists(file):
        return None
    found: dict[str, str] = {}
    problem = "" if file.is_file() else "it is not a regular file"
    if not problem:
        with file.open("rb") as opened:
            content = opened.read(_MANIFEST_LIMIT + 1)
        if len(content) > _MANIFEST_LIMIT:
            problem = f"it has more than {_MANIFEST_LIMIT:,} bytes"
        for number, line in enumerate([] if problem else content.splitlines(), 1):
            match = _LINE.fullmatch(line)
            if not match or match[2].decode() in found:
                problem = f"line {number} is {line[:80]!r}"
                break
            found[match[2].decode()] = match[1].decode()
    if not problem and (missing := [name for name in names if name not in found]):
        problem = f"it lacks {', '.join(missing)}"
    if problem:
        raise ValueError(
            f"load_CIFAR10: {file} is not a manifest of this folder: {problem}; expected a line 'SHA-256  name' for "
            f"each of {len(names)} files; unpack the archive again, or delete the manifest to have the images checked"
        )
    return found


def set_digest(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of the sorted records, each of which is the SHA-256 of an image's pixels and a label byte."""
    return _set_digest(_image_digests(images), labels)


def _set_digest(digests: list[bytes], labels: np.ndarray) -> str:
    records = (digest + bytes([label]) for digest, label in zip(digests, labels.tolist(), strict=True))
    return hashlib.sha256(b"".join(sorted(records))).hexdigest()


def _image_digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.sha256(image.data).digest() for image in images.reshape(len(images), -1)]


def _is_published(file: Path) -> bool:
    """Whether the file has its published digest."""
    if expected := MD5.get(file.name):
        return _digest(file, "md5") == expected
    return file.name in SHA256 and _digest(file, "sha256") == SHA256[file.name]


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
