"""Linear classifiers trained by stochastic gradient descent: classes, and the functions that they are made of.

Scores are X @ W with images as rows X (N, D) of any real dtype, and a feature that is 1 in place of a bias. W has the
dtype of X, where that is float32 or float64, else float64; batches are converted to it, and X is never copied whole.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import optim, random
from fastnn.kernels import checks
from fastnn.kernels.affine import affine_forward
from fastnn.kernels.linear_losses import linear_softmax_loss, linear_svm_loss
from fastnn.nn import files
from fastnn.sampling import rows

from .linear_svm import svm_loss_naive, svm_loss_vectorized
from .softmax import softmax_loss_naive, softmax_loss_vectorized

__all__ = [
    "LinearClassifier",
    "LinearSVM",
    "Softmax",
    "predict_linear_classifier",
    "sample_batch",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "svm_loss_naive",
    "svm_loss_vectorized",
    "test_one_param_set",
    "train_linear_classifier",
]

_BLOCK = 1000  # images that are predicted at a time


def sample_batch(X: Any, y: Any, num_train: int, batch_size: int, *, seed: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw a batch from the first `num_train` images, with replacement. Returns X_batch, y_batch.

    X (N, ...), y (N,): arrays, or data sets such as h5py's; seed: see `fastnn.random`
    """
    function = "sample_batch"
    num_train = checks.integer(function, "num_train", num_train, minimum=1, maximum=min(len(X), len(y)))
    places = random.generator(seed).choice(num_train, checks.integer(function, "batch_size", batch_size, minimum=1))
    return rows(X, places), rows(y, places)


def train_linear_classifier(
    loss_func: Callable,
    W: np.ndarray | None,
    X: Any,
    y: Any,
    learning_rate: float = 1e-3,
    reg: float = 1e-5,
    num_iters: int = 100,
    batch_size: int = 200,
    verbose: bool = False,
    *,
    seed: Any = None,
) -> tuple[np.ndarray, list[float]]:
    """Train weights by stochastic gradient descent on batches drawn with replacement.

    loss_func: function (W, X, y, reg) -> (loss, dW), such as `svm_loss_vectorized`
    W: weights (D, K) to begin with, which are not modified; None: 0.001 times standard normal numbers, as many classes
        as the largest label plus 1
    X (N, D), y (N,): images and their labels; verbose: print the loss of every 100th iteration
    seed: where weights and batches are drawn from (see `fastnn.random`)
    Returns the trained weights and the loss of each iteration.
    Raises FloatingPointError where a loss is not finite; ValueError and TypeError for arguments that do not fit.
    """
    function, generator = "train_linear_classifier", random.generator(seed)
    X, y = _data(function, X, y)
    W = _weights(function, W, X, y, generator)
    history = _train(function, loss_func, W, X, y, learning_rate, reg, num_iters, batch_size, verbose, generator)
    return W, history


def predict_linear_classifier(W: np.ndarray, X: Any) -> np.ndarray:
    """The class of the highest score of each image: X (N, D), W (D, K) -> labels (N,) int64."""
    function = "predict_linear_classifier"
    (W,) = checks.floats(function, W=(W, "D K"))
    checks.not_empty(function, "W", W)
    predicted, no_bias = np.empty(len(X), np.int64), np.zeros(W.shape[1], W.dtype)
    for start in range(0, len(X), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(X)))
        scores = affine_forward(_converted(function, rows(X, block), W.dtype), W, no_bias)
        predicted[block] = np.argmax(scores, axis=1)
    return predicted


class LinearClassifier:
    """What LinearSVM and Softmax share; a classifier of your own derives from this and defines `loss`.

        classifier = Softmax()
        loss_history = classifier.train(X_train, y_train, learning_rate=1e-2, reg=1e-4, num_iters=1500)
        accuracy = np.mean(classifier.predict(X_val) == y_val)

    seed: where weights and batches are drawn from (see `fastnn.random`)
    W: the weights (D, K); None until the first training
    """

    def __init__(self, *, seed: Any = None) -> None:
        self.W: np.ndarray | None = None
        self._generator = random.generator(seed)

    def train(
        self,
        X: Any,
        y: Any,
        learning_rate: float = 1e-3,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> list[float]:
        """Train W, from where it is, by `num_iters` steps; see `train_linear_classifier`. Returns their losses."""
        function = f"{type(self).__name__}.train"
        X, y = _data(function, X, y)
        self.W = _weights(function, self.W, X, y, self._generator)  # trained in place: so `loss` sees it
        return _train(
            function, lambda _, *batch: self.loss(*batch), self.W, X, y,
            learning_rate, reg, num_iters, batch_size, verbose, self._generator,
        )  # fmt: skip

    def predict(self, X: Any) -> np.ndarray:
        """The class of the highest score of each image: X (N, D) -> labels (N,) int64."""
        return predict_linear_classifier(self._trained("predict"), X)

    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        """The loss of images X (N, D) with labels y (N,), its penalty reg * sum(W * W) included, and dW (D, K)."""
        raise NotImplementedError(
            f"{type(self).__name__}: loss is missing; expected loss(X, y, reg) -> (loss, dW); define it, or use "
            f"LinearSVM or Softmax"
        )

    def save(self, name: str | os.PathLike) -> None:
        """Write W to a file of that name, as data only: HDF5 where it ends in .h5, else NumPy's npz."""
        files.save(name, {"W": self._trained("save")})
        print(f"{os.fspath(name)} saved.")

    def load(self, name: str | os.PathLike) -> None:
        """Read the W that `save` wrote, without executing anything in the file. ValueError for another file."""
        function = f"{type(self).__name__}.load"
        params = checks.keys(function, "the file", files.load(name)[0], required=["W"])
        (self.W,) = checks.floats(function, W=(params["W"], "D K"))

    def _trained(self, method: str) -> np.ndarray:
        if self.W is None:
            raise ValueError(
                f"{type(self).__name__}.{method}: there are no weights, W=None; expected (D, K); call train or load "
                f"first, or assign W"
            )
        return self.W


class LinearSVM(LinearClassifier):
    """A linear classifier with the multiclass hinge loss."""

    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        return linear_svm_loss(self._trained("loss"), X, y, reg)


class Softmax(LinearClassifier):
    """A linear classifier with the cross-entropy of the softmax of its scores."""

    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        return linear_softmax_loss(self._trained("loss"), X, y, reg)


def test_one_param_set(
    classifier: LinearClassifier,
    data_dict: dict[str, Any],
    lr: float,
    reg: float,
    num_iters: int = 2000,  # noqa: PT028
) -> tuple[LinearClassifier, float, float]:
    """Train a classifier with one learning rate and penalty. Returns it, its training and its validation accuracy.

    data_dict: X_train, y_train, X_val, y_val
    """
    names = ("X_train", "y_train", "X_val", "y_val")
    data = checks.keys("test_one_param_set", "data_dict", data_dict, required=names, optional=data_dict)
    classifier.train(data["X_train"], data["y_train"], lr, reg, num_iters)
    train_acc, val_acc = (
        float(np.mean(classifier.predict(data[f"X_{part}"]) == np.asarray(data[f"y_{part}"])))
        for part in ("train", "val")
    )
    return classifier, train_acc, val_acc


test_one_param_set.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test, whatever its name


def _train(
    function: str,
    loss_func: Callable,
    W: np.ndarray,
    X: Any,
    y: Any,
    learning_rate: float,
    reg: float,
    num_iters: int,
    batch_size: int,
    verbose: bool,
    generator: Any,
) -> list[float]:
    """`train_linear_classifier` in place on W."""
    num_iters = checks.integer(function, "num_iters", num_iters, minimum=0)
    config = {"learning_rate": checks.number(function, "learning_rate", learning_rate, minimum=0)}
    history: list[float] = []
    for iteration in range(num_iters):
        images, labels = sample_batch(X, y, len(X), batch_size, seed=generator)
        loss, dW = loss_func(W, _converted(function, images, W.dtype), labels, reg)
        check_finite(function, float(loss), iteration, learning_rate)
        history.append(float(loss))
        with np.errstate(over="ignore", invalid="ignore"):  # the next loss tells
            optim.sgd(W, dW, config, out=W)
        if verbose and iteration % 100 == 0:
            print(f"iteration {iteration} / {num_iters}: loss {history[-1]:f}")
    return history


def check_finite(function: str, loss: float, iteration: int, learning_rate: float) -> None:
    """Raise FloatingPointError unless the loss is finite."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{function}: loss = {loss} in iteration {iteration} with learning_rate={learning_rate:g}; expected a "
            f"finite number; lower learning_rate or reg, and check that the data holds no NaN or infinity"
        )


def _data(function: str, X: Any, y: Any) -> tuple[Any, Any]:
    """X (N, D) and y (N,), N at least 1: arrays, or data sets in a file; lists become arrays."""
    X, y = (np.asarray(given) if isinstance(given, (list, tuple)) else given for given in (X, y))
    if len(np.shape(X)) != 2 or len(X) == 0 or np.shape(y) != (len(X),):
        raise ValueError(
            f"{function}: X.shape = {np.shape(X)} and y.shape = {np.shape(y)} are no data to train on; expected (N, D) "
            f"and (N,), N at least 1; make images rows with X.reshape(len(X), -1)"
        )
    return X, y


def _weights(function: str, W: Any, X: Any, y: Any, generator: Any) -> np.ndarray:
    """A copy of W, or small random weights where it is None."""
    if W is not None:
        return checks.floats(function, W=(np.array(W), "D K"))[0]
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return (0.001 * generator.standard_normal((X.shape[1], int(np.max(y)) + 1))).astype(dtype)


def _converted(function: str, X: Any, dtype: np.dtype) -> np.ndarray:
    X = checks.array(function, "X", X)
    if X.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: X.dtype = {X.dtype} holds no real numbers; expected floats or integers; convert X with "
            f"np.asarray(X, dtype=np.float32)"
        )
    return X.astype(dtype, copy=False)
