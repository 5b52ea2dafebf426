"""Update rules for training loops: the same arrays are updated in every step, and are not checked again."""

from . import _variant


def repeated(rule, w, state):
    """Return step(dw, numbers), which updates the same parameters with a rule again, or None if the backend has none.

    rule: a name in `rules.RULES`; w: the array of each parameter; state: for each name of the rule's state the arrays.
    numbers: array (parameters, constants of the rule) in the dtype of w. Nothing is checked: all arrays, those of dw
    too, are separate, C-contiguous, writeable, of one dtype, and for each parameter of one shape.
    """
    make = vars(_variant()).get("_repeated")  # a variant in `_Quiet`, or of another package, has none
    return None if make is None else make(rule, w, state)
