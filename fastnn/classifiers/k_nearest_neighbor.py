"""The k-nearest-neighbour classifier."""

import sys
from typing import Any

import numpy as np

from fastnn import fixed_backend
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.kernels.distances import nearest_neighbors, squared_distances

__all__ = ["KNearestNeighbor"]

_one_pair_at_a_time = fixed_backend.to_loops(squared_distances, "_one_pair_at_a_time", __name__)


class KNearestNeighbor:
    """A classifier that predicts the most frequent label among the k nearest training images.

        classifier = KNearestNeighbor()
        classifier.train(X_train, y_train)
        accuracy = np.mean(classifier.predict(X_test, k=5) == y_test)

    X_train, y_train: the training data; None before `train`
    Images are rows of real numbers, X (N, D): make them with X.reshape(len(X), -1). The distance is the Euclidean one;
    of training images at the same distance, the first ones count as nearest, and the smallest of the most frequent
    labels is predicted.
    Source: Cover & Hart, Nearest neighbor pattern classification (1967).
    """

    @signatures.checked
    def __init__(self) -> None:
        self.X_train: np.ndarray | None = None
        self.y_train: np.ndarray | None = None

    @signatures.checked
    def train(self, X: Any, y: Any) -> None:
        """Memorise the training data.

        X (num_train, D): images
        y (num_train,): integer labels from 0 on

        Arrays of float32 or float64 are not copied, so later changes to them change the predictions. Raises ValueError
        for shapes that do not match and for no images, TypeError for other dtypes.
        """
        function = "KNearestNeighbor.train"
        X = _rows(function, X)
        validation.not_empty(function, "X", X)
        self.y_train = validation.labels(function, "y", y, len(X), sys.maxsize)
        self.X_train = X

    @signatures.checked
    def predict(self, X: Any, k: int = 1, num_loops: int = 0) -> np.ndarray:
        """Predict the labels of images.

        X (num_test, D): images
        k: number of neighbours that vote, at most the number of training images
        num_loops: 0 finds the neighbours on the active backend, without the matrix of all distances; 1 and 2 compute
            that matrix with `compute_distances_one_loop` or `compute_distances_two_loops`
        Returns labels (num_test,) int64. Raises ValueError before `train`, and for images of another size.
        """
        function = "KNearestNeighbor.predict"
        X, X_train = self._checked(function, X)
        k = validation.integer(function, "k", k, minimum=1, maximum=len(X_train))
        num_loops = validation.integer(function, "num_loops", num_loops, minimum=0, maximum=2)
        if num_loops == 0:
            return self._vote(arrays.to_numpy(nearest_neighbors(X, X_train, k)))
        compute = self.compute_distances_one_loop if num_loops == 1 else self.compute_distances_two_loops
        return self.predict_labels(compute(X), k)

    @signatures.checked
    def compute_distances_two_loops(self, X: Any) -> np.ndarray:
        """Return the distance of each image to each training image.

        X (num_test, D): images
        Returns (num_test, num_train) float64.

        A loop in Python over test images and one over training images: the slow way, whatever the backend.
        """
        X, X_train = self._in_float64("KNearestNeighbor.compute_distances_two_loops", X)
        return np.sqrt(_one_pair_at_a_time(X, X_train))

    @signatures.checked
    def compute_distances_one_loop(self, X: Any) -> np.ndarray:
        """As `compute_distances_two_loops`, with a loop over test images only, in NumPy."""
        X, X_train = self._in_float64("KNearestNeighbor.compute_distances_one_loop", X)
        distances = np.empty((len(X), len(X_train)))
        with np.errstate(all="ignore"):  # NaN and infinity propagate
            for image, row in zip(X, distances, strict=True):
                np.sqrt(np.sum((X_train - image) ** 2, axis=1), out=row)
        return distances

    @signatures.checked
    def compute_distances_no_loops(self, X: Any) -> np.ndarray:
        """As `compute_distances_two_loops`, with a matrix product on the active backend."""
        X, X_train = self._in_float64("KNearestNeighbor.compute_distances_no_loops", X)
        distances = arrays.to_numpy(squared_distances(X, X_train))
        return np.sqrt(distances, out=distances)

    @signatures.checked
    def predict_labels(self, dists: Any, k: int = 1) -> np.ndarray:
        """Predict labels from distances.

        dists (num_test, num_train): distances to the training images
        k: as of `predict`
        Returns labels (num_test,) int64. Raises ValueError for another number of training images.
        """
        function = "KNearestNeighbor.predict_labels"
        dists = arrays.to_numpy(validation.floats(function, dists=(dists, "num_test num_train"))[0])
        count = len(self._trained(function))
        if dists.shape[1] != count:
            raise ValueError(
                f"{function}: dists.shape = {dists.shape} has {dists.shape[1]} columns; expected {count}, one for each "
                f"training image; compute it with compute_distances_no_loops after training"
            )
        k = validation.integer(function, "k", k, minimum=1, maximum=count)
        return self._vote(np.argsort(dists, axis=1, kind="stable")[:, :k])

    def _vote(self, neighbors: np.ndarray) -> np.ndarray:
        """Return the most frequent label of the training images with these indices (num_test, k)."""
        classes, labels = np.unique(np.asarray(self.y_train), return_inverse=True)
        votes = np.zeros((len(neighbors), len(classes)), np.int64)
        np.add.at(votes, (np.arange(len(neighbors))[:, None], labels.reshape(-1)[neighbors]), 1)
        return classes[votes.argmax(axis=1)]  # the first maximum, which is that of the smallest label

    def _trained(self, function: str) -> np.ndarray:
        if self.X_train is None:
            raise ValueError(
                f"{function}: there are no training images, X_train=None; expected (num_train, D); call train first"
            )
        return self.X_train

    def _checked(self, function: str, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return images, whose size is checked, and training images."""
        X, X_train = _rows(function, X), self._trained(function)
        if X.shape[1] != X_train.shape[1]:
            raise ValueError(
                f"{function}: X.shape = {X.shape} does not fit X_train.shape = {X_train.shape}; expected "
                f"(num_test, {X_train.shape[1]}); pass images of the size that the classifier was trained on"
            )
        return X, X_train

    def _in_float64(self, function: str, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """As `_checked`, as NumPy arrays of float64, so that the three ways of computing distances agree."""
        X, X_train = (arrays.to_numpy(value) for value in self._checked(function, X))
        return X.astype(np.float64, copy=False), X_train.astype(np.float64, copy=False)


def _rows(function: str, X: Any) -> np.ndarray:
    """Check images (N, D) of real numbers; integers become float64."""
    return validation.floats(function, X=(X, "N D"))[0]
