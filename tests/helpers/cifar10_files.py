"""Small files in the layouts of CIFAR-10, with ten random images each."""

import hashlib
import struct

import numpy as np

from fastnn.data_utils import integrity, layouts

PER_FILE = 10


def small_cifar10(monkeypatch):
    """Replace the known digests of CIFAR-10 by those of `fake_cifar10`."""
    monkeypatch.setattr(layouts, "IMAGES_PER_FILE", PER_FILE)
    monkeypatch.setattr(integrity, "MD5", {})
    monkeypatch.setattr(integrity, "SHA256", {})
    pixels, labels = fake_cifar10()
    digests = [
        sorted(hashlib.sha256(image.tobytes()).digest() + bytes([label]) for image, label in zip(X, y, strict=True))
        for X, y in ((pixels[:5].reshape(-1, 3072), labels[:5].ravel()), (pixels[5].reshape(-1, 3072), labels[5]))
    ]
    training, test = (hashlib.sha256(b"".join(one)).hexdigest() for one in digests)
    monkeypatch.setattr(integrity, "SET_DIGESTS", {"training": training, "test": test})


def fake_cifar10(order=None):
    """Pixels (6, 10, 3, 32, 32) and labels (6, 10), uint8: five training images and one test image per class.

    order: a seed that shuffles the training images and the test images.
    """
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (6, PER_FILE, 3, 32, 32), np.uint8)
    labels = np.concatenate([rng.permutation(np.arange(5 * PER_FILE) % 10), rng.permutation(10)])
    if order is not None:
        rng = np.random.default_rng(order)
        places = np.concatenate([rng.permutation(5 * PER_FILE), 5 * PER_FILE + rng.permutation(PER_FILE)])
        pixels, labels = pixels.reshape(-1, 3, 32, 32)[places].reshape(pixels.shape), labels[places]
    return pixels, labels.reshape(6, PER_FILE).astype(np.uint8)


def binary_files(pixels, labels):
    """Return name -> content in the binary layout."""
    return {
        f"{batch}.bin": np.concatenate([labels[i][:, None], pixels[i].reshape(PER_FILE, -1)], axis=1).tobytes()
        for i, batch in enumerate(layouts.BATCHES)
    }


def python_files(pixels, labels):
    """Return name -> content in the Python layout."""
    return {
        batch: python2_pickle(pixels[i].reshape(PER_FILE, -1), labels[i].tolist())
        for i, batch in enumerate(layouts.BATCHES)
    }


def python2_pickle(pixels, labels):
    """Return a batch pickled as by Python 2 (protocol 2): str for bytes, numpy.core for numpy._core."""

    def text(content):
        return b"T" + struct.pack("<i", len(content)) + content

    rows, columns = (b"J" + struct.pack("<i", length) for length in pixels.shape)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01" + rows + columns + b"\x86" + dtype + b"\x89" + text(pixels.tobytes()) + b"tb"
    names = b"](" + b"".join(text(f"image_{label}.png".encode()) for label in labels) + b"e"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = [(b"batch_label", text(b"training batch 1 of 5")), (b"labels", numbers), (b"data", array + state)]
    items.append((b"filenames", names))
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in items) + b"u."


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
