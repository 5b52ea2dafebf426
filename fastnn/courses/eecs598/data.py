"""CIFAR-10 as torch tensors. `fastnn.data_utils` finds and reads it."""

import numpy as np
import torch

from fastnn.data_utils import cifar10 as files
from fastnn.data_utils import layouts

from .devices import usable
from .random_state import reset_seed

__all__ = ["cifar10", "preprocess_cifar10"]


def cifar10(
    num_train: int | None = None, num_test: int | None = None, x_dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x_train, y_train, x_test, y_test: images (N, 3, 32, 32) with pixels from 0 to 1, labels (N,) int64.

    num_train, num_test: the number of images, the first of the files; None: all
    Raises what `fastnn.data_utils.get_CIFAR10_data` raises.
    """
    data = files.get_CIFAR10_data(
        (len(layouts.BATCHES) - 1) * layouts.IMAGES_PER_FILE if num_train is None else num_train,
        0,
        layouts.IMAGES_PER_FILE if num_test is None else num_test,
        subtract_mean=False,
        dtype=np.float64 if x_dtype == torch.float64 else np.float32,
    )
    tensors = []
    for name in ("train", "test"):
        tensors += [torch.from_numpy(data.pop(f"X_{name}")).div_(255).to(x_dtype), torch.from_numpy(data[f"y_{name}"])]
    x_train, y_train, x_test, y_test = tensors
    return x_train, y_train, x_test, y_test


def preprocess_cifar10(
    cuda: bool = True,
    show_examples: bool = True,
    bias_trick: bool = False,
    flatten: bool = True,
    validation_ratio: float = 0.2,
    dtype: torch.dtype = torch.float32,
) -> dict[str, torch.Tensor]:
    """Return X_train, y_train, X_val, y_val, X_test, y_test: pixels from 0 to 1 minus the mean of their channel.

    cuda: put the tensors on the GPU; with a warning they stay on the CPU if torch can use none
    show_examples: draw some images of each class, in a notebook below the cell, otherwise to cifar10_examples.png;
        also calls `reset_seed(0)`
    bias_trick: append a feature that is 1 to every image
    flatten: return rows (N, 3072) instead of images (N, 3, 32, 32)
    validation_ratio: fraction of the training images, taken from the end, for validation
    dtype: of the images
    Raises ValueError for bias_trick without flatten, and what `fastnn.data_utils.get_CIFAR10_data` raises.
    """
    function = "preprocess_cifar10"
    if bias_trick and not flatten:
        raise ValueError(
            f"{function}: bias_trick=True needs rows to append to, but flatten=False; expected flattened images; pass "
            f"flatten=True or bias_trick=False"
        )
    if not 0 <= validation_ratio < 1:
        raise ValueError(
            f"{function}: validation_ratio={validation_ratio} is out of range; expected a fraction of the training "
            f"images, at least 0 and less than 1; pass 0.2"
        )
    device = usable(function, "cuda" if cuda else "cpu")
    X, y, X_test, y_test = cifar10(x_dtype=dtype)
    if show_examples:
        reset_seed(0)
        files.show(X[:_SHOWN].numpy(), y[:_SHOWN].numpy())
    X, X_test = X.to(device), X_test.to(device)
    mean = X.mean(dim=(0, 2, 3), keepdim=True)
    X, X_test = (_features(images.sub_(mean), flatten, bias_trick) for images in (X, X_test))
    train = int(len(X) * (1 - validation_ratio))
    y, y_test = y.to(device), y_test.to(device)
    return {
        "X_val": X[train:], "y_val": y[train:], "X_train": X[:train], "y_train": y[:train],
        "X_test": X_test, "y_test": y_test,
    }  # fmt: skip


_SHOWN = 500  # the images among which examples are found


def _features(images: torch.Tensor, flatten: bool, bias_trick: bool) -> torch.Tensor:
    rows = images.reshape(len(images), -1) if flatten else images
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1) if bias_trick else rows
