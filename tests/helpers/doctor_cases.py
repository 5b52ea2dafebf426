"""An affine layer with a penalty, and assertions about diagnoses, for the tests of the gradient doctor."""

import re

import numpy as np

from fastnn.layers import affine_backward, affine_forward

N, D, M = 5, 4, 4
PARAM = {"stride": 1, "pad": 1}


class Affine:
    """sum(affine(x) * dout) with its gradients, with and without a penalty, on small arrays."""

    def __init__(self, dtype=np.float64, seed=0):
        draw = np.random.default_rng(seed)
        shapes = ((N, D), (D, M), (M,), (N, M))
        self.x, self.w, self.b, self.dout = (draw.standard_normal(shape).astype(dtype) for shape in shapes)
        self.dx, self.dw, self.db = affine_backward(self.dout, affine_forward(self.x, self.w, self.b)[1])

    def out(self, _):
        return affine_forward(self.x, self.w, self.b)[0]

    def loss(self, _=None, reg=0.7):
        return float(np.sum(self.out(None) * self.dout, dtype=np.float64) + reg * np.sum(self.w**2, dtype=np.float64))


def verdicts(diagnosis):
    return set(np.unique(diagnosis.verdicts))


def assert_wrong(diagnosis, cause, said=""):
    assert not diagnosis.ok
    assert diagnosis.cause == cause, str(diagnosis)
    assert re.search(said, diagnosis.explanation), diagnosis.explanation
    assert diagnosis.explanation in str(diagnosis)
    assert str(diagnosis).startswith("The gradient is wrong: ")
