"""Losses of a linear classifier with scores X @ W, and their gradients with respect to W.

Common to both. Inputs, float32 or float64 of any layout (integers are computed in float64), never modified: W (D, K)
weights, with K >= 1; X (N, D) images as rows, with a constant feature 1 instead of a bias; y (N,) labels, integers from
0 to K - 1; reg >= 0, the strength of the penalty. Returns loss, a Python float, and dW (D, K), C-contiguous, in the
dtype of the inputs.

Every backend: scores and dW are summed in the dtype of the inputs; the losses of the rows and the penalty are computed
in float64, whatever the dtype. N = 0 gives the penalty alone, reg = 0 gives no penalty. NaN in the scores makes the
loss NaN; NaN and infinity in X propagate into dW as in the sum over n (0 * NaN is NaN), without warnings. Raises
ValueError for shapes that do not match, labels or reg out of range and K = 0, TypeError for dtypes other than float32,
float64, integers and booleans, and for labels that are not integers.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..dispatch import signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def linear_svm_loss(W: ArrayLike, X: ArrayLike, y: ArrayLike, reg: float) -> tuple[float, np.ndarray]:
    """Multiclass hinge loss with margin 1, mean over the images, plus reg * sum(W * W).

        s[n, k] = sum_d X[n, d] * W[d, k],    margin[n, k] = max(0, s[n, k] - s[n, y[n]] + 1) for k != y[n], else 0
        loss = 1/N sum_{n, k} margin[n, k] + reg * sum_{d, k} W[d, k]^2
        ds[n, k] = (margin[n, k] > 0) / N for k != y[n],    ds[n, y[n]] = -1/N sum_k (margin[n, k] > 0)
        dW[d, k] = sum_n X[n, d] * ds[n, k] + 2 * reg * W[d, k]

    Inputs: W (D, K) weights, X (N, D) images, y (N,) labels; reg: strength of the penalty, at least 0
    Returns loss, dW (D, K).
    Every backend: ds is 0 at the kink, where s[n, k] - s[n, y[n]] + 1 is 0, and for a NaN margin.
    Cost: 4*N*D*K flops; reads X once or twice.
    Source: Weston & Watkins, Support vector machines for multi-class pattern recognition (1999), section 3.
    """
    arguments = _checked("linear_svm_loss", W, X, y, reg)
    return _variant().linear_svm_loss(*arguments)


@signatures.checked
def linear_softmax_loss(W: ArrayLike, X: ArrayLike, y: ArrayLike, reg: float) -> tuple[float, np.ndarray]:
    """Cross-entropy of the softmax of the scores, mean over the images, plus reg * sum(W * W).

        s[n, k] = sum_d X[n, d] * W[d, k],    p[n, k] = exp(s[n, k]) / sum_j exp(s[n, j])
        loss = -1/N sum_n log(p[n, y[n]]) + reg * sum_{d, k} W[d, k]^2
        dW[d, k] = sum_n X[n, d] * (p[n, k] - (k == y[n])) / N + 2 * reg * W[d, k]

    Inputs: W (D, K) weights, X (N, D) images, y (N,) labels; reg: strength of the penalty, at least 0
    Returns loss, dW (D, K).
    Every backend: exponents are relative to the largest score of the row, so finite scores give a finite mean; the loss
    of a row is limited to 1e308. A row whose largest score is NaN or infinite makes dW NaN.
    Cost: 4*N*D*K flops and N*K exponentials; reads X once or twice.
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs (1990); Blanchard, Higham
    & Higham, Accurately computing the log-sum-exp and softmax functions (2021), section 3.
    """
    arguments = _checked("linear_softmax_loss", W, X, y, reg)
    return _variant().linear_softmax_loss(*arguments)


def _checked(function, W, X, y, reg):
    W, X = _floats(function, W=W, X=X)
    if W.shape[1] == 0:
        raise ValueError(
            f"{function}: there are no classes: W.shape = {W.shape}; expected (D, K) with K at least 1; "
            "pass one column of weights for each class"
        )
    y = validation.labels(function, "y", y, len(X), W.shape[1])
    return W, X, y, _number(function, "reg", reg)
