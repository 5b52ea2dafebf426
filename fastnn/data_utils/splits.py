"""From images as they are stored to what a model trains on: floats, centred, contiguous."""

import numpy as np


def dictionary(
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    subtract_mean: bool,
    dtype: np.dtype,
    scale: float = 1.0,
) -> dict[str, np.ndarray]:
    """The dict that Solver takes, from pairs of uint8 images and labels.

    Images become (images - mean image of the training images) * scale, in `dtype`, C-contiguous.
    """
    mean = training[0].mean(axis=0, dtype=np.float64) if subtract_mean else 0.0
    data = {}
    for name, (images, labels) in (("train", training), ("val", validation), ("test", test)):
        X = np.empty(images.shape, dtype)
        np.subtract(images, mean, out=X, dtype=np.float64, casting="same_kind")  # buffered: no float64 copy
        if scale != 1:
            X *= dtype.type(scale)
        data[f"X_{name}"], data[f"y_{name}"] = X, labels.copy()
    return data
