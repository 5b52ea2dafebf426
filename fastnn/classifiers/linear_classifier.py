"""Linear classifiers trained by stochastic gradient descent, as classes and as functions.

Scores are X @ W for images X (N, D) of any real dtype; a feature that is 1 acts as the bias. W has the dtype of X if
that is float32 or float64, else float64. Batches are converted to it; X is never copied as a whole.
"""

import math
import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn import arguments, optim, rng
from fastnn.devices import is_ours, place
from fastnn.kernels.affine import affine_forward
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.kernels.linear_losses import linear_softmax_loss, linear_svm_loss
from fastnn.nn import weights_io
from fastnn.output.streams import say
from fastnn.training import evaluation, nonfinite, sampling
from fastnn.training.sampling import labelled, rows

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


@signatures.checked
def sample_batch(X: Any, y: Any, num_train: int, batch_size: int, *, seed: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw a batch from the first `num_train` images, with replacement. Returns X_batch, y_batch.

    X (N, ...), y (N,): arrays, or data sets such as h5py's; seed: see `fastnn.rng`
    num_train, batch_size: number of images to draw from, and to draw
    """
    function = "sample_batch"
    X, y = labelled(function, X=X, y=y)
    num_train = validation.integer(function, "num_train", num_train, minimum=1, maximum=min(len(X), len(y)))
    indices = rng.generator(seed).choice(num_train, arguments.length(function, "batch_size", batch_size))
    return rows(X, indices), rows(y, indices)


@signatures.checked
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
    on_nonfinite: str = "warn",
) -> tuple[np.ndarray, list[float]]:
    """Train weights by stochastic gradient descent on batches drawn with replacement.

    loss_func: function (W, X, y, reg) -> (loss, dW), such as `svm_loss_vectorized`
    W: initial weights (D, K), which are not modified; None: 1e-6 times standard normal numbers, as in the course that
        has this function, with K the largest label plus 1
    X (N, D), y (N,): images and their labels
    learning_rate, reg: step of gradient descent, strength of the penalty
    num_iters, batch_size: iterations, images in each; verbose: print the loss of every 100th
    seed: source of random numbers for weights and batches (see `fastnn.rng`)
    on_nonfinite: "warn": a loss that is not finite ends training with a RuntimeWarning, as the last one of the history,
        and the weights are those of the lowest loss of every 100th iteration; "raise": it raises FloatingPointError
    Returns the trained weights and the loss of each iteration. Raises ValueError or TypeError for invalid arguments.
    """
    function, generator = "train_linear_classifier", rng.generator(seed)
    arguments.function(function, "loss_func", loss_func)
    X, y, W = _data(function, X, y, W)
    settings = _settings(function, learning_rate, reg, num_iters, batch_size, verbose, on_nonfinite)
    W = _weights(W, X, y, generator, 1e-6)
    if is_ours(loss_func):
        X, y, W = place(X), place(y), arrays.to_device(W)
    history = _train(function, loss_func, W, X, y, settings, generator)
    return arrays.to_numpy(W), history


@signatures.checked
def predict_linear_classifier(W: np.ndarray, X: Any) -> np.ndarray:
    """Return the class with the highest score for each image: X (N, D), W (D, K) -> labels (N,) int64.

    Raises FloatingPointError if the highest score of an image is NaN or infinite.
    """
    function = "predict_linear_classifier"
    (W,) = validation.floats(function, W=(W, "D K"))
    validation.not_empty(function, "W", W)
    X = _images(function, X)
    _check_width(function, X, W)
    predicted, no_bias = np.empty(len(X), np.int64), np.zeros(W.shape[1], W.dtype)
    for start in range(0, len(X), evaluation.BLOCK):
        block = slice(start, min(start + evaluation.BLOCK, len(X)))
        images = arguments.real(function, "X", rows(X, block), W.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # the scores are checked below
            scores = affine_forward(images, W, no_bias)
        predicted[block] = evaluation.predicted(function, scores, images, range(len(X))[block])
    return predicted


class LinearClassifier:
    """Base class of LinearSVM and Softmax; to define a classifier, derive from it and define `loss`.

        classifier = Softmax()
        loss_history = classifier.train(X_train, y_train, learning_rate=1e-2, reg=1e-4, num_iters=1500)
        accuracy = np.mean(classifier.predict(X_val) == y_val)

    seed: source of random numbers for weights and batches (see `fastnn.rng`)
    W: the weights (D, K); None before training; a tensor after training on tensors
    saved_text: what `save` prints, with {} for the name
    """

    saved_text: ClassVar[str] = "{} saved."
    _become_tensors = ("W",)  # see `fastnn.kernels.dispatch.tensors`

    @signatures.checked
    def __init__(self, *, seed: Any = None) -> None:
        self.W: np.ndarray | None = None
        self._generator = rng.generator(seed)

    @signatures.checked
    def train(
        self,
        X: Any,
        y: Any,
        learning_rate: float = 1e-3,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
        *,
        on_nonfinite: str = "warn",
    ) -> list[float]:
        """Train W, starting from its current value; see `train_linear_classifier`. Returns the losses.

        Without weights, training starts with 0.001 times standard normal numbers.
        """
        function = f"{type(self).__name__}.train"
        X, y, W = _data(function, X, y, self.W)
        settings = _settings(function, learning_rate, reg, num_iters, batch_size, verbose, on_nonfinite)
        self.W = _weights(W, X, y, self._generator, 1e-3)
        try:
            if self.resident:
                X, y, self.W = place(X), place(y), arrays.to_device(self.W)
            return _train(  # updates W in place, so that `loss` sees it
                function, lambda _, *batch: self.loss(*batch), self.W, X, y, settings, self._generator
            )
        finally:
            self.W = arrays.to_numpy(self.W)

    @property
    def resident(self) -> bool:
        """Whether `loss` can compute on arrays in GPU memory; True for fastnn's own classes. See `fastnn.nn.Module`."""
        return is_ours(self)

    @signatures.checked
    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the highest score for each image: X (N, D) -> labels (N,) int64."""
        return predict_linear_classifier(self._trained("predict"), X)

    @signatures.checked
    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        """Return the loss, including the penalty reg * sum(W * W), and dW (D, K); arguments of `linear_svm_loss`."""
        raise NotImplementedError(
            f"{type(self).__name__}: loss is missing; expected loss(X, y, reg) -> (loss, dW); define it, or use "
            f"LinearSVM or Softmax"
        )

    @signatures.checked
    def save(self, name: str | os.PathLike) -> None:
        """Write W to a file, as data only, in the format of its ending (see `weights_io.save`). Prints the name."""
        weights_io.save(name, {"W": self._trained("save")})
        say(self.saved_text.format(os.fspath(name)))

    @signatures.checked
    def load(self, name: str | os.PathLike) -> None:
        """Read W from a file of `save`, without executing anything in the file. Raises ValueError for other files."""
        function = f"{type(self).__name__}.load"
        params = validation.keys(function, "the file", weights_io.load(name)[0], required=["W"])
        (self.W,) = validation.floats(function, W=(params["W"], "D K"))

    def _trained(self, method: str) -> np.ndarray:
        if self.W is None:
            raise ValueError(
                f"{type(self).__name__}.{method}: there are no weights, W=None; expected (D, K); call train or load "
                f"first, or assign W"
            )
        return self.W


class LinearSVM(LinearClassifier):
    """A linear classifier with the multiclass hinge loss."""

    @signatures.checked
    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        return linear_svm_loss(self._trained("loss"), X, y, reg)


class Softmax(LinearClassifier):
    """A linear classifier with the cross-entropy of the softmax of its scores."""

    @signatures.checked
    def loss(self, X: Any, y: Any, reg: float) -> tuple[float, np.ndarray]:
        return linear_softmax_loss(self._trained("loss"), X, y, reg)


@signatures.checked
def test_one_param_set(
    classifier: LinearClassifier,
    data_dict: dict[str, Any],
    lr: float,
    reg: float,
    num_iters: int = 2000,  # noqa: PT028
) -> tuple[LinearClassifier, float, float]:
    """Train a classifier with one learning rate and penalty. Returns it and its training and validation accuracy.

    data_dict: X_train, y_train, X_val, y_val; classifier: such as a `Softmax`; lr, reg, num_iters: as of its `train`
    """
    function, names = "test_one_param_set", ("X_train", "y_train", "X_val", "y_val")
    arguments.attributes(function, "classifier", classifier, "train", "predict", expected="a classifier")
    data = validation.keys(function, "data_dict", data_dict, required=names, optional=data_dict)
    parts = {which: sampling.part(function, data, which) for which in ("train", "val")}
    classifier.train(*parts["train"], lr, reg, num_iters)
    W = getattr(classifier, "W", None)
    classes = sys.maxsize if W is None else np.shape(W)[1]
    targets = {which: evaluation.labels(function, f"y_{which}", y, classes) for which, (_, y) in parts.items()}
    train_acc, val_acc = (float(np.mean(classifier.predict(parts[which][0]) == targets[which])) for which in parts)
    return classifier, train_acc, val_acc


test_one_param_set.__test__ = False  # pytest: not a test


class _Settings(NamedTuple):
    learning_rate: float
    reg: float
    num_iters: int
    batch_size: int
    verbose: bool
    raises: bool


def _settings(
    function: str, learning_rate: Any, reg: Any, num_iters: Any, batch_size: Any, verbose: Any, on_nonfinite: Any
) -> _Settings:
    return _Settings(
        validation.number(function, "learning_rate", learning_rate, minimum=0),
        validation.number(function, "reg", reg, minimum=0),
        validation.integer(function, "num_iters", num_iters, minimum=0),
        arguments.length(function, "batch_size", batch_size),
        validation.flag(function, "verbose", verbose),
        nonfinite.raises(function, on_nonfinite),
    )


def _train(
    function: str, loss_func: Callable, W: np.ndarray, X: Any, y: Any, settings: _Settings, generator: Any
) -> list[float]:
    """Train W in place, with checked arguments."""
    config = {"learning_rate": settings.learning_rate}
    history: list[float] = []
    best, lowest = W, math.inf
    try:
        for iteration in range(settings.num_iters):
            images, labels = sample_batch(X, y, len(X), settings.batch_size, seed=generator)
            loss, dW = loss_func(W, arguments.real(function, "X", images, W.dtype), labels, settings.reg)
            history.append(float(arrays.to_numpy(loss)))
            check_loss(function, history[-1], iteration, settings.learning_rate)
            if iteration % 100 == 0 and history[-1] < lowest:
                best, lowest = arrays.copy(W), history[-1]
            with np.errstate(over="ignore", invalid="ignore"):  # the next loss is checked
                optim.sgd(W, dW, config, out=W)
            if settings.verbose and iteration % 100 == 0:
                say(f"iteration {iteration} / {settings.num_iters}: loss {history[-1]:f}")
    except FloatingPointError as error:
        if settings.raises:
            raise
        W[...] = best
        nonfinite.warn(str(error))
    return history


def check_loss(function: str, loss: float, iteration: int, learning_rate: float) -> None:
    """Raise FloatingPointError if the loss is not finite."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{function}: loss = {loss} in iteration {iteration} with learning_rate={learning_rate:g}; expected a "
            f"finite number; lower learning_rate or reg, and check that the data contains no NaN or infinity"
        )


def _data(function: str, X: Any, y: Any, W: Any) -> tuple[Any, Any, np.ndarray | None]:
    """Check training data X (N, D), y (N,), N at least 1, in memory or in a file; copy W, if given."""
    X, y = labelled(function, X=X, y=y)
    if len(np.shape(X)) != 2:
        raise ValueError(
            f"{function}: X.shape = {X.shape} and y.shape = {y.shape} are not training data; expected (N, D) "
            f"and (N,), N at least 1; make images rows with X.reshape(len(X), -1)"
        )
    if W is not None:
        W = validation.floats(function, W=(W, "D K"))[0].copy()
        _check_width(function, X, W)
    validation.labels(function, "y", y, len(X), sys.maxsize if W is None else W.shape[1])
    return X, y, W


def _images(function: str, X: Any) -> Any:
    """Check images X (N, D) of real numbers, in memory or in a file."""
    X = sampling.array_or_file(function, "X", X)
    X = validation.array(function, "X", X) if not hasattr(X, "dtype") else X
    if X.dtype.kind not in "fiub" or len(X.shape) != 2:
        raise TypeError(
            f"{function}: X is an array of {X.dtype} of the shape {X.shape}; expected real numbers (N, D); make images "
            f"rows with X.reshape(len(X), -1)"
        )
    return X


def _check_width(function: str, X: Any, W: np.ndarray) -> None:
    """Check that the images have as many features as W has rows."""
    if X.shape[1] != len(W):
        raise ValueError(
            f"{function}: X.shape = {X.shape} does not fit W.shape = {W.shape}; expected (N, {len(W)}); pass images "
            f"of the size that the classifier was trained on"
        )


def _weights(W: np.ndarray | None, X: Any, y: Any, generator: Any, std: float) -> np.ndarray:
    """Return W, or random weights of this standard deviation if it is None."""
    if W is not None:
        return W
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return (std * generator.standard_normal((X.shape[1], int(np.max(arrays.to_numpy(y))) + 1))).astype(dtype)
