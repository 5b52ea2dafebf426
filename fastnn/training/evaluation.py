"""Predicted classes and labels, checked as strictly as in training."""

from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, validation

from .sampling import is_in_memory, labelled, rows

BLOCK = 1000  # images in one forward pass


def first_not_finite(scores: np.ndarray) -> int | None:
    """The first row whose highest score is NaN or infinite, so that it has no class; None if every row has one.

    A score of minus infinity excludes its class, as in `fastnn.layers.softmax_loss`.
    """
    wrong = np.flatnonzero(~np.isfinite(scores.max(axis=1)))
    return int(wrong[0]) if wrong.size else None


def predicted(function: str, scores: Any, images: Any, indices: Any, name: str = "X") -> np.ndarray:
    """Return the class with the highest score for each image: scores (N, K) -> (N,) int64.

    images (N, ...): the images, and indices (N,): their positions in the data set `name`, both for errors
    Raises FloatingPointError if the highest score of an image is NaN or infinite.
    """
    scores = validation.array(function, "scores", arrays.to_numpy(validation.array(function, "scores", scores)))
    if scores.dtype.kind not in "fiub" or scores.ndim != 2 or len(scores) != len(images) or not scores.shape[1]:
        raise ValueError(
            f"{function}: the scores are {scores.dtype} of the shape {scores.shape}; expected real numbers "
            f"({len(images)}, K), K at least 1; let the model return one row of scores for each image"
        )
    row = first_not_finite(scores)
    if row is not None:
        image, highest = f"{name}[{indices[row]}]", scores[row].max()
        is_finite = np.isfinite(np.asarray(arrays.to_numpy(images[row : row + 1]), np.float64)).all()
        cause = (
            f"{image} is finite: check the parameters"
            if is_finite
            else f"{image} contains NaN or infinity: check the data"
        )
        raise FloatingPointError(
            f"{function}: the highest score of {image} is {highest}; expected a finite number; {cause}"
        )
    return np.argmax(scores, axis=1)


def labels(function: str, name: str, given: Any, classes: int, indices: Any = None) -> np.ndarray:
    """Check labels (N,), from 0 to classes - 1, and return them in host memory.

    indices (N,): their positions in the data set, for errors
    Raises ValueError or TypeError as a loss function does; unlike there, booleans count as 0 and 1.
    """
    given = arrays.to_numpy(validation.array(function, name, given))
    given = given.astype(np.int64) if given.dtype.kind == "b" else given
    return validation.labels(function, name, given, len(given), classes, indices)


def accuracy(solver: Any, X: Any, y: Any, num_samples: Any, batch_size: Any) -> float:
    """Implement `Solver.check_accuracy`."""
    function = "Solver.check_accuracy"
    part = next((f"_{part}" for part in ("train", "val") if X is getattr(solver, f"X_{part}")), "")  # for errors
    X, y = labelled(function, X=X, y=y)
    num_samples = arguments.count_or_none(function, "num_samples", num_samples)
    batch_size = validation.integer(function, "batch_size", batch_size, minimum=1)
    count = len(X)
    chosen = None
    if num_samples is not None and count > num_samples:
        chosen = solver._generator.choice(count, num_samples)
        if not is_in_memory(X):
            chosen.sort()  # read a file from front to back
        count = num_samples
    parallel = solver._parallel if solver._parallel is not None and solver._parallel.is_evaluating else None
    ranks = None if parallel is None else parallel.ranks
    correct, error = 0, None
    for start in range(0, count, batch_size) if ranks is None else ranks.share(range(0, count, batch_size)):
        batch = slice(start, min(start + batch_size, count))
        images, given = (rows(array, batch if chosen is None else chosen[batch]) for array in (X, y))
        scores, indices = solver.model.loss(images), range(count)[batch] if chosen is None else chosen[batch]
        try:
            best = predicted(function, scores, images, indices, f"X{part}")
        except FloatingPointError as one:
            if parallel is None:
                raise
            error = one
            break
        correct += int(np.sum(best == labels(function, f"y{part}", given, np.shape(scores)[1], indices)))
    return (correct if parallel is None else parallel.count(correct, error)) / count
