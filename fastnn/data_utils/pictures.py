"""Reading of image files in the size of a network's input."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures

from . import npy

_MODES = {1: "L", 3: "RGB"}
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # for some other formats, Pillow runs external programs


@signatures.checked
def read_images(path: str | os.PathLike, shape: Sequence[int]) -> np.ndarray:
    """Read the image in a file, or the images in an .npy file, as pixels (N, C, H, W) uint8.

    Images are cropped around the centre to the proportions of `shape`, and resized. Transparent parts become white,
    colours become grey if C is 1, and 16-bit values are scaled from 0-65535 to 0-255. Of an animation, the first image
    is read.

    path: PNG, JPEG, GIF, BMP or WebP; or .npy with uint8 or uint16 (H, W), (H, W, C), (C, H, W), or N of the latter two
    shape: (C, H, W), with C of 1 or 3
    Raises FileNotFoundError if there is no file, ValueError if it contains no such image or `shape` is invalid. Warns
    if a 16-bit image uses 12 bits or fewer: cameras write such files, which are nearly black unless scaled.
    """
    path = arguments.path("read_images", "path", path)
    shape = arguments.lengths("read_images", "shape", shape, 3)
    if len(shape) != 3 or shape[0] not in _MODES or min(shape) < 1:
        raise ValueError(
            f"read_images: shape={tuple(shape)} is not the shape of an image; expected (C, H, W) with C of 1 or 3; "
            f"pass an .npy file with inputs of that shape"
        )
    if not path.is_file():
        raise FileNotFoundError(f"read_images: path={str(path)!r} is not a file; expected an image; check the name")
    given = _from_array(path) if path.suffix == ".npy" else [_opened(path)]
    return np.stack([_fitted(image, shape) for image in given])


def _opened(path: Path) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = path.read_bytes()  # reading from a file object may allocate as much as a damaged file claims
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"read_images: path={str(path)!r} contains no readable image ({error}); expected PNG, JPEG or .npy; "
            f"convert it"
        ) from error
    key = upright.info.get("transparency")  # the transparent value, or one number per palette entry
    depth = content[24] if image.format == "PNG" else 8  # bits per sample
    if upright.mode == "RGB" and depth == 16 and key is not None:
        raise ValueError(
            f"read_images: path={str(path)!r} has 16-bit colours with a transparent one; expected 8 bits, or an "
            f"alpha channel; convert it"
        )
    if upright.mode == "L" and depth < 8 and key is not None:
        upright.info["transparency"] = key * 255 // (2**depth - 1)  # Pillow has already scaled the pixels
    if upright.mode[0] not in "IF":
        return upright.convert("RGBA")
    values = np.asarray(upright)  # Pillow would clip these at 255
    plain = Image.fromarray(_eight_bits(path, values)).convert("RGBA")
    if key is not None:
        plain.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return plain


def _eight_bits(path: Path, values: np.ndarray) -> np.ndarray:
    """Scale values from 0-65535 to 0-255, rounded. PNG scales samples of 9 to 15 bits to this range too."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or not 0 <= low <= high < 2**16:
        found = "floats" if values.dtype.kind == "f" else f"values from {low:,} to {high:,}"
        raise ValueError(
            f"read_images: path={str(path)!r} holds {found}; expected integers from 0 to 65,535; scale them to 0 to 255"
        )
    if 0 < high < 2**12:
        warnings.warn(
            f"read_images: path={str(path)!r} has 16 bits per pixel, but no value above {high:,}; read as 16 bits, it "
            f"is nearly black; if its pixels have 12 bits or fewer, scale them to 0 to 65,535",
            stacklevel=5,
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_array(path: Path) -> list[Any]:
    from PIL import Image

    try:
        array = npy.read(path)
    except ValueError as error:
        raise ValueError(
            f"read_images: path={str(path)!r} contains no array (it {error}); expected what numpy.save wrote; check "
            f"the file"
        ) from error
    images = array if array.ndim == 4 else array[None]
    if images.ndim == 4 and images.shape[-1] not in _MODES and images.shape[1] in _MODES:
        images = images.transpose(0, 2, 3, 1)
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in _MODES)
    if array.dtype.kind != "u" or array.dtype.itemsize > 2 or not images.size or not fits:
        raise ValueError(
            f"read_images: path={str(path)!r} holds {array.dtype} {array.shape}; expected pixels as uint8 or uint16 "
            f"(H, W), (H, W, 3) or (3, H, W), or several of these; convert it"
        )
    if array.dtype.itemsize == 2:
        images = _eight_bits(path, images)
    planes = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
    return [Image.fromarray(np.ascontiguousarray(plane)).convert("RGBA") for plane in planes]


def _fitted(image: Any, shape: Sequence[int]) -> np.ndarray:
    """Crop and resize an image to pixels (C, H, W)."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    white = Image.new("RGBA", image.size, "white")
    plain = Image.alpha_composite(white, image).convert(_MODES[channels])
    if plain.size != (width, height):
        plain = ImageOps.fit(plain, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(plain, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
