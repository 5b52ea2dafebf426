"""Loss functions: the mean loss of a batch, and its gradient.

Common to all of them: float inputs are float32 or float64 of any layout (integers are computed in float64) and are
never modified. The loss is a Python float; the gradient is C-contiguous, in the dtype and shape of the scores. Every
backend: losses are computed and summed in float64, whatever the dtype; N = 0 gives the loss 0.0 and an empty gradient;
NaN in x or target makes the loss NaN. Raises ValueError for shapes that do not match, TypeError for dtypes other than
float32, float64, integers and booleans.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..dispatch import signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def softmax_loss(x: ArrayLike, y: ArrayLike, label_smoothing: float = 0.0) -> tuple[float, np.ndarray]:
    """Cross-entropy of the softmax of the scores, mean over the rows, with optional label smoothing.

        p[n, k] = exp(x[n, k]) / sum_j exp(x[n, j])
        target[n, k] = (1 - label_smoothing) * (k == y[n]) + label_smoothing / K
        loss = -1/N sum_{n, k} target[n, k] * log(p[n, k]),    dx[n, k] = (p[n, k] - target[n, k]) / N

    Inputs: x (N, K) scores, K >= 1; y (N,) labels, integers from 0 to K - 1; label_smoothing: at least 0, below 1
    Returns loss, dx (N, K).
    Every backend: exponents are relative to the largest score of the row, so finite scores give a finite loss and
    gradient; -log(p) is limited to 1e308. A row whose largest score is NaN or infinite has a gradient of NaN; a score
    of minus infinity whose target is not 0 makes the loss infinite.
    Raises also: ValueError for labels or label_smoothing out of range or K = 0, TypeError for labels that are not
    integers.
    Cost: N*K exponentials; reads x twice, three times with smoothing; writes dx twice.
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs (1990); Blanchard, Higham
    & Higham, Accurately computing the log-sum-exp and softmax functions (2021), section 3; Szegedy, Vanhoucke, Ioffe,
    Shlens & Wojna, Rethinking the Inception architecture (2016), section 7.
    """
    scores, labels = _scores_and_labels("softmax_loss", x, y)
    smoothing = _number("softmax_loss", "label_smoothing", label_smoothing)
    return _variant().softmax_loss(scores, labels, smoothing) if len(scores) else (0.0, scores.copy())


@signatures.checked
def svm_loss(x: ArrayLike, y: ArrayLike) -> tuple[float, np.ndarray]:
    """Multiclass hinge loss with margin 1, mean over the rows.

        margin[n, k] = max(0, x[n, k] - x[n, y[n]] + 1) for k != y[n], else 0
        loss = 1/N sum_{n, k} margin[n, k]
        dx[n, k] = (margin[n, k] > 0) / N for k != y[n],    dx[n, y[n]] = -1/N sum_k (margin[n, k] > 0)

    Inputs: x (N, K) scores, K >= 1; y (N,) labels, integers from 0 to K - 1. Returns loss, dx (N, K).
    Every backend: the gradient is 0 at the kink and for a NaN margin, which makes the loss NaN. K = 1 gives the loss
    0.0.
    Raises also: ValueError for labels out of range or K = 0, TypeError for labels that are not integers.
    Cost: 3*N*K flops; reads x, writes dx.
    Source: Weston & Watkins, Support vector machines for multi-class pattern recognition (1999), section 3.
    """
    scores, labels = _scores_and_labels("svm_loss", x, y)
    return _variant().svm_loss(scores, labels) if len(scores) else (0.0, scores.copy())


@signatures.checked
def mse_loss(x: ArrayLike, target: ArrayLike) -> tuple[float, np.ndarray]:
    """Half the squared error of each row, mean over the rows: loss = 1/(2N) sum (x - target)**2, dx = (x - target) / N.

    Inputs: x (N, ...) and target of the same shape. Returns loss, dx (N, ...).
    Cost: 3 flops per element; reads x and target, writes dx.
    Source: Bishop, Pattern recognition and machine learning (2006), equation 5.14, divided by N.
    """
    function = "mse_loss"
    given, wanted = _floats(function, x=x, target=target)
    validation.shape(function, "target", wanted, given.shape)
    return _variant().mse_loss(given, wanted) if len(given) else (0.0, given.copy())


def _scores_and_labels(function, x, y):
    (x,) = _floats(function, x=x)
    if x.shape[1] == 0:
        raise ValueError(
            f"{function}: there are no classes: x.shape = {x.shape}; expected (N, K) with K at least 1; "
            "pass one column of scores for each class"
        )
    return x, validation.labels(function, "y", y, *x.shape)
