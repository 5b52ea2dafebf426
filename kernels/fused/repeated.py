"""A training step of affine layers, in which arrays of the same kind come every time and are not checked again."""

from collections.abc import Callable

from . import _variant


def affine_chain() -> Callable | None:
    """Return a function that computes a chain of affine layers, or None if the active backend has none.

        found = step(x, y, weights, biases, shapes, relus, names, need_dx)

    found: the softmax loss; the gradients, a dict by `names` of dw, db of the first layer, of the second, ...; dx, or
        None unless it is needed. None if a label is out of range
    shapes, relus: tuples of the weights' shapes, and for each layer of whether a ReLU follows

    The bits are those of `affine_forward` or `affine_relu_forward` for each layer, `softmax_loss`, and the gradients.
    Nothing but the labels is checked: x (N, D) with N >= 1, y (N,) int64, all arrays C-contiguous, aligned and
    writeable, floats of one dtype, and of fitting shapes.
    """
    return vars(_variant()).get("_affine_chain")  # a variant in `_Quiet`, or of another package, has none
