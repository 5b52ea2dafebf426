"""Losses, and one-hot rows of labels."""

from typing import Any

import numpy as np

from fastnn import autograd
from fastnn.autograd import Tensor, reductions
from fastnn.autograd.tensor import operation
from fastnn.kernels import losses
from fastnn.kernels.dispatch import arrays, validation

from .inputs import as_tensor, floats, public

_softmax_loss = autograd.loss(losses.softmax_loss, "cross_entropy")
_at_index = operation(reductions.at_index, keeps="")


@public
def cross_entropy(input: Any, target: Any, *, reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    """Compute the cross-entropy of the softmax of scores input (N, K), with labels target (N,) from 0 to K - 1.

    reduction: 'mean' or 'sum' over the rows, or 'none', which returns (N,)
    label_smoothing: from 0, less than 1
    Unlike torch, the mean over no rows is 0.
    """
    x, y = _scores("cross_entropy", input, target)
    smoothing = validation.number("cross_entropy", "label_smoothing", label_smoothing, minimum=0, below=1)
    if _reduction("cross_entropy", reduction) != "none":
        loss = _softmax_loss(x, y, label_smoothing=smoothing)
        return loss if reduction == "mean" else loss * len(x)
    logarithms = x.log_softmax(1)
    right = -_labelled(logarithms, y)
    return right * (1 - smoothing) - logarithms.mean(1) * smoothing if smoothing else right


@public
def nll_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """The negative of input (N, K), logarithms of probabilities, at the labels target (N,); see `cross_entropy`."""
    x, y = _scores("nll_loss", input, target)
    return _reduced("nll_loss", -_labelled(x, y), reduction)


@public
def multi_margin_loss(input: Any, target: Any, p: int = 1, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """Compute the multiclass hinge loss of scores input (N, K), with labels target (N,).

        loss[n] = 1/K sum_{k != target[n]} max(0, margin - input[n, target[n]] + input[n, k]) ** p

    p: 1 or 2. The course's `svm_loss` is that of p = 1, times K.
    margin: a number
    reduction: as of `cross_entropy`
    """
    x, y = _scores("multi_margin_loss", input, target)
    p = validation.integer("multi_margin_loss", "p", p, minimum=1, maximum=2)
    margin = validation.number("multi_margin_loss", "margin", margin)
    margins = (x - _labelled(x, y).unsqueeze(1) + margin).relu()
    others = autograd.where(_equal(y, x.shape[1]), 0.0, margins)
    return _reduced("multi_margin_loss", (others if p == 1 else others * others).mean(1), reduction)


@public
def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """The squared difference of input and target.

    input (...), target (...): Tensors or arrays of one shape
    reduction: 'mean' or 'sum' of all elements, or 'none'
    """
    (x, y), (given, wanted) = floats("mse_loss", input=(input, "..."), target=(target, "..."))
    if given.shape != wanted.shape:
        raise ValueError(
            f"mse_loss: target.shape = {wanted.shape} does not fit input.shape = {given.shape}; expected equal shapes; "
            f"reshape the target"
        )
    difference = as_tensor("mse_loss", x) - as_tensor("mse_loss", y)
    return _reduced("mse_loss", difference * difference, reduction)


@public
def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Return labels tensor (...), integers from 0, as int64 (..., num_classes): 1 at the label, else 0.

    num_classes: by default the largest label + 1. On a GPU, a label that is not below num_classes gives zeros.
    """
    labels = _labels("one_hot", "tensor", tensor)
    classes = validation.integer("one_hot", "num_classes", num_classes, minimum=-1)
    if classes == -1:
        if labels.size == 0:
            raise ValueError(
                f"one_hot: tensor.shape = {labels.shape} has no labels to count classes by; expected "
                f"num_classes; pass it"
            )
        classes = int(arrays.to_numpy(labels.max())) + 1
    flat = labels.reshape(-1)
    flat = flat if arrays.is_on_device(flat) else validation.labels("one_hot", "tensor", flat, len(flat), classes)
    return Tensor(_equal(flat, classes).astype(np.int64).reshape(*labels.shape, classes))


def _labels(function: str, name: str, value: Any) -> Any:
    """Labels as an array of integers in the memory of the active backend."""
    given = value.data if isinstance(value, Tensor) else validation.array(function, name, value)
    if given.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} does not hold labels; expected integers; pass class numbers, "
            f"converted with {name}.astype(np.int64)"
        )
    return arrays.to_device(given)


def _scores(function: str, input: Any, target: Any) -> tuple[Tensor, Any]:
    """Scores (N, K) as a Tensor of floats, and labels (N,) as an array."""
    (given,), (x,) = floats(function, input=(input, "N K"))
    if x.shape[1] == 0:
        raise ValueError(
            f"{function}: input.shape = {x.shape} has no classes; expected (N, K) with K at least 1; pass one column "
            f"for each class"
        )
    labels = validation.labels(function, "target", _labels(function, "target", target), *x.shape)
    return given if isinstance(given, Tensor) and given.dtype == x.dtype else Tensor(x), labels


def _labelled(x: Tensor, labels: Any) -> Tensor:
    """The element of each row of x (N, K) at its label."""
    return _at_index(x, labels[:, None], 1)


def _equal(labels: Any, classes: int) -> Any:
    """Whether k is the label of row n, for each n and k."""
    return labels[:, None] == arrays.module(labels).arange(classes)


def _reduction(function: str, value: Any) -> str:
    return validation.choice(function, "reduction", value, ("mean", "sum", "none"))


def _reduced(function: str, values: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the losses, or the losses themselves."""
    kind = _reduction(function, reduction)
    return values if kind == "none" else values.sum() if kind == "sum" or values.data.size == 0 else values.mean()
