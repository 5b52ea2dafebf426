"""Images in files, as pixels of the size that a network takes."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments, npy
from fastnn.kernels import calls

_MODES = {1: "L", 3: "RGB"}
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # Pillow would have other programs open some of the others


@calls.checked
def read_images(path: str | os.PathLike, shape: Sequence[int]) -> np.ndarray:
    """The image in a file, or the images in an .npy file, as pixels (N, C, H, W) uint8 of the given shape (C, H, W).

    An image of other proportions is cut to these around its middle; then it is scaled. Transparent parts become white,
    colours grey where C is 1.

    path: PNG, JPEG, GIF, BMP or WebP; or .npy with uint8 (H, W), (H, W, C), (C, H, W), or N of the latter two
    Raises FileNotFoundError, and ValueError for a file without such an image, or a shape that is none of an image.
    """
    path = arguments.path("read_images", "path", path)
    shape = arguments.lengths("read_images", "shape", shape, 3)
    if len(shape) != 3 or shape[0] not in _MODES or min(shape) < 1:
        raise ValueError(
            f"read_images: shape={tuple(shape)} is none of an image; expected (C, H, W) with C of 1 or 3; pass an .npy "
            f"file with inputs of that shape"
        )
    if not path.is_file():
        raise FileNotFoundError(f"read_images: path={str(path)!r} is no file; expected an image; check the name")
    given = _from_array(path) if path.suffix == ".npy" else [_opened(path)]
    return np.stack([_fitted(image, shape) for image in given])


def _opened(path: Path) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = io.BytesIO(path.read_bytes())  # of a file, Python reserves memory for what is asked of it
        with Image.open(content, formats=_FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"read_images: path={str(path)!r} holds no image that can be read ({error}); expected PNG, JPEG or .npy; "
            f"convert it"
        ) from error


def _from_array(path: Path) -> list[Any]:
    from PIL import Image

    try:
        array = npy.read(path)
    except ValueError as error:
        raise ValueError(
            f"read_images: path={str(path)!r} holds no array (it {error}); expected what numpy.save wrote; check the "
            f"file"
        ) from error
    images = array if array.ndim == 4 else array[None]
    if images.ndim == 4 and images.shape[-1] not in _MODES and images.shape[1] in _MODES:
        images = images.transpose(0, 2, 3, 1)
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in _MODES)
    if array.dtype != np.uint8 or not images.size or not fits:
        raise ValueError(
            f"read_images: path={str(path)!r} holds {array.dtype} {array.shape}; expected pixels as uint8 (H, W), "
            f"(H, W, 3) or (3, H, W), or several of these; convert it"
        )
    planes = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
    return [Image.fromarray(np.ascontiguousarray(plane)).convert("RGBA") for plane in planes]


def _fitted(image: Any, shape: Sequence[int]) -> np.ndarray:
    """Pixels (C, H, W)."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    white = Image.new("RGBA", image.size, "white")
    plain = Image.alpha_composite(white, image).convert(_MODES[channels])
    if plain.size != (width, height):
        plain = ImageOps.fit(plain, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(plain, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
