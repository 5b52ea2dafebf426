"""L2 penalty on weights, and L2 norm of gradients.

Arguments are one array or a list of arrays, float32 or float64 (integers are computed in float64) of any shapes. Every
backend: sums of squares are computed in float64, whatever the dtype; without elements the sum is 0; NaN and infinity
propagate without warnings.
"""

import math

import numpy as np

from ..dispatch import arrays, deprecated, multi_tensor, signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_number = specification.number(spec.FUNCTIONS)
__getattr__ = deprecated.names(__name__, gradient_norm="global_norm")


@signatures.checked
def weight_penalty(w, dw, reg):
    """Return the penalty reg/2 * sum(w**2), and add its gradient: dw += reg * w.

    Inputs: w (...), not modified; dw (...), updated in place: a writeable C-contiguous NumPy array in the shape and
    dtype of w that shares no memory with it; or lists of equal length, with the result of one call after the other;
    reg >= 0; if it is 0, returns 0.0 and does not change dw. Returns a Python float.
    Every backend: the gradient is computed in the dtype of w.
    Raises ValueError for invalid shapes, layouts, lengths of lists and reg, TypeError for invalid dtypes, before
    anything is written. Cost: 4 flops per element; reads w and dw, writes dw.
    Source: Krogh & Hertz, A simple weight decay can improve generalization (1991).
    """
    function = "weight_penalty"
    _, (w, dw) = multi_tensor.checked(function, {"w": w}, {"dw": dw})
    reg = _number(function, "reg", reg)
    if reg == 0 or not w:
        return 0.0
    return 0.5 * reg * _variant().weight_penalty(w, dw, reg)


@signatures.checked
def global_norm(dw):
    """Return the Euclidean norm of all elements together: sqrt(sum(dw**2)).

    Inputs: dw (...), or a list of arrays; not modified. Returns a Python float.
    Raises TypeError for dtypes other than float32, float64, integers and booleans.
    Cost: 2 flops per element; reads dw.
    Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks (2013), section 3.2.
    """
    function = "global_norm"
    known = (np.ndarray, *arrays.DEVICE_ARRAYS)
    many = isinstance(dw, (list, tuple)) and all(isinstance(one, known) for one in dw)
    given = {f"dw[{i}]": one for i, one in enumerate(dw)} if many else {"dw": dw}
    each = [validation.floats(function, **{name: (value, "...")})[0] for name, value in given.items()]
    if not each:
        return 0.0
    return math.sqrt(arrays.to_numpy(_variant().global_norm(each)))
