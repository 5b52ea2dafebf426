"""The affine (fully connected, linear) layer.

out[n, m] = b[m] + sum_d x[n, d] * w[d, m]
"""

from ..dispatch import signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)


@signatures.checked
def affine_forward(x, w, b):
    """Multiply N rows by a matrix and add a bias.

    Inputs (float32 or float64, any layout, never modified): x (N, D) rows, w (D, M) weights, b (M,) bias
    Returns out (N, M) in the dtype of the inputs, C-contiguous.

    Every backend: N = 0 or D = 0 is allowed (D = 0 gives the bias); NaN and infinity propagate as in the formula; sums
    are accumulated in the dtype of the inputs.
    Raises ValueError for shapes that do not match, TypeError for other dtypes.
    Cost: 2*N*D*M flops; for few rows the time is that of reading w.
    """
    x, w, b = _floats("affine_forward", x=x, w=w, b=b)
    return _variant().affine_forward(x, w, b)


@signatures.checked
def affine_backward(dout, x, w, need_dx=True):
    """Gradients of `affine_forward`, given dout = dloss/dout.

        dx[n, d] = sum_m dout[n, m] * w[d, m],  dw[d, m] = sum_n x[n, d] * dout[n, m],  db[m] = sum_n dout[n, m]

    Inputs: dout (N, M), x (N, D), w (D, M); need_dx: False to skip dx
    Returns dx (N, D), or None if it was not needed; dw (D, M); db (M,). Cost: 4*N*D*M flops, half of them for dx.
    """
    x, w, dout = _floats("affine_backward", x=x, w=w, dout=dout)
    return _variant().affine_backward(dout, x, w, validation.flag("affine_backward", "need_dx", need_dx))
