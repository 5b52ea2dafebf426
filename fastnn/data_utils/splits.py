"""Preprocessing of stored images for training: centring, scaling, conversion to contiguous floats."""

from collections.abc import Sequence

import numpy as np


def dictionary(
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    subtract_mean: bool,
    dtype: np.dtype,
    scale: float = 1.0,
    class_names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Make the dict that Solver takes from pairs of uint8 images and labels.

    Images become (images - mean image of the training images) * scale, in `dtype`, C-contiguous.
    class_names: if given, the dict also contains mean_image (C, H, W), scale () and class_names (K,)
    """
    mean = training[0].mean(axis=0, dtype=np.float64) if subtract_mean else np.zeros(training[0].shape[1:])
    data = {}
    for name, (images, labels) in (("train", training), ("val", validation), ("test", test)):
        data[f"X_{name}"], data[f"y_{name}"] = inputs(images, mean, scale, dtype), labels.copy()
    if class_names is not None:
        data |= {"mean_image": mean, "scale": np.array(scale), "class_names": np.array(class_names)}
    return data


def inputs(images: np.ndarray, mean_image: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """Return (images - mean_image) * scale in `dtype`, C-contiguous."""
    X = np.empty(images.shape, dtype)
    np.subtract(images, mean_image, out=X, dtype=np.float64, casting="same_kind")  # buffered: no float64 copy
    if scale != 1:
        X *= dtype.type(scale)
    return X
