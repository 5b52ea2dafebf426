"""Assignment 1: k nearest neighbours, by squared Euclidean distances of images (N, ...)."""

from collections.abc import Callable, Mapping, Sequence

import torch

from fastnn.classifiers import KNearestNeighbor

__all__ = [
    "KnnClassifier",
    "compute_distances_no_loops",
    "compute_distances_one_loop",
    "compute_distances_two_loops",
    "hello",
    "knn_cross_validate",
    "knn_get_best_k",
    "predict_labels",
]


def hello() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from knn.py!")


def compute_distances_two_loops(x_train: torch.Tensor, x_test: torch.Tensor) -> torch.Tensor:
    """Return the squared distances (N, M) of x_train (N, ...) to x_test (M, ...), one pair at a time."""
    return _squared(KNearestNeighbor.compute_distances_two_loops, x_train, x_test)


def compute_distances_one_loop(x_train: torch.Tensor, x_test: torch.Tensor) -> torch.Tensor:
    """Return the squared distances (N, M) of x_train (N, ...) to x_test (M, ...), one test image at a time."""
    return _squared(KNearestNeighbor.compute_distances_one_loop, x_train, x_test)


def compute_distances_no_loops(x_train: torch.Tensor, x_test: torch.Tensor) -> torch.Tensor:
    """Return the squared distances (N, M) of x_train (N, ...) to x_test (M, ...), with a matrix product."""
    return _squared(KNearestNeighbor.compute_distances_no_loops, x_train, x_test)


def predict_labels(dists: torch.Tensor, y_train: torch.Tensor, k: int = 1) -> torch.Tensor:
    """Return the commonest label among the k nearest training images, the smaller one of equally common ones.

    dists (N, M): distances of training images to test images; y_train (N,). Returns labels (M,) int64.
    """
    votes = torch.nn.functional.one_hot(y_train[dists.topk(k, dim=0, largest=False).indices]).sum(dim=0)
    return votes.argmax(dim=1)  # the first of equal ones


class KnnClassifier:
    """A classifier by the labels of the k nearest training images x_train (N, ...), y_train (N,)."""

    def __init__(self, x_train: torch.Tensor, y_train: torch.Tensor) -> None:
        self.x_train, self.y_train = x_train, y_train
        self._classifier = _trained(x_train, y_train)

    def predict(self, x_test: torch.Tensor, k: int = 1) -> torch.Tensor:
        """Return the labels (M,) of x_test (M, ...); the (N, M) distances are never in memory at once."""
        return self._classifier.predict(_rows(x_test), k)

    def check_accuracy(self, x_test: torch.Tensor, y_test: torch.Tensor, k: int = 1, quiet: bool = False) -> float:
        """Return the accuracy in percent, and print it unless quiet."""
        correct = int((self.predict(x_test, k) == y_test).sum())
        accuracy = 100.0 * correct / len(y_test)
        if not quiet:
            print(f"Got {correct} / {len(y_test)} correct; accuracy is {accuracy:.2f}%")
        return accuracy


def knn_cross_validate(
    x_train: torch.Tensor,
    y_train: torch.Tensor,
    num_folds: int = 5,
    k_choices: Sequence[int] = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100),
) -> dict[int, list[float]]:
    """Return the accuracies in percent on each of num_folds parts of the data, by the other parts, for each k."""
    folds = list(zip(x_train.chunk(num_folds), y_train.chunk(num_folds), strict=True))
    found: dict[int, list[float]] = {}
    for k in k_choices:
        found[k] = []
        for number, (x, y) in enumerate(folds):
            others = folds[:number] + folds[number + 1 :]
            classifier = KnnClassifier(*(torch.cat(parts) for parts in zip(*others, strict=True)))
            found[k].append(classifier.check_accuracy(x, y, k, quiet=True))
    return found


def knn_get_best_k(k_to_accuracies: Mapping[int, Sequence[float]]) -> int:
    """Return the k with the highest mean accuracy, the smallest of equal ones."""
    return max(sorted(k_to_accuracies), key=lambda k: sum(k_to_accuracies[k]) / len(k_to_accuracies[k]))


def _squared(distances: Callable, x_train: torch.Tensor, x_test: torch.Tensor) -> torch.Tensor:
    """Return the squares of what a method of KNearestNeighbor computes, in the dtype of x_train."""
    labels = torch.zeros(len(x_train), dtype=torch.int64, device=x_train.device)
    return distances(_trained(x_train, labels), _rows(x_test)).square().T.to(x_train.dtype)


def _trained(x_train: torch.Tensor, y_train: torch.Tensor) -> KNearestNeighbor:
    classifier = KNearestNeighbor()
    classifier.train(_rows(x_train), y_train)
    return classifier


def _rows(images: torch.Tensor) -> torch.Tensor:
    return images.reshape(len(images), -1)
