"""Small data sets of torch tensors for the tests of EECS 498/598; import it only where torch is installed."""

import torch

from fastnn.courses import eecs598


def blobs(count=60, classes=3, dtype=torch.float64):
    """Points (count, 4) around a centre for each class, the last feature 1."""
    eecs598.reset_seed(1)
    y = torch.arange(count) % classes
    X = torch.randn(count, 4, dtype=dtype) * 0.3 + 2 * torch.nn.functional.one_hot(y, 4)
    X[:, 3] = 1
    return X, y


def data_of(X, y):
    return {"X_train": X, "y_train": y, "X_val": X[:30], "y_val": y[:30]}
