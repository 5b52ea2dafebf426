"""Inverted dropout, with a mask that depends only on the seed.

Common to both: float inputs are float32 or float64 of any shape and layout (integers are computed in float64) and are
never modified; results are C-contiguous, in the shape of x, floats in its dtype. Every backend: a dropped element gives
0, even if it is NaN or infinite; empty arrays give empty results. Raises ValueError for shapes that do not match and
for numbers out of range, TypeError for dtypes other than float32, float64, integers and booleans.
"""

from ..dispatch import arrays, signatures, specification, switch, validation
from . import seeds, spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def dropout_forward(x, p, seed):
    """Keep each element with probability p, divided by p; set the others to 0.

        mask[i] = word[i] < round(p * 2**32)
        out[i] = x[i] / p where mask[i], else 0

    i counts the elements in C order. word[i] is word i % 4 (32 bits) of block i // 4 of Philox4x32-10, with the number
    of the block as counter and the seed as key, both with their low 32 bits first.

    Inputs: x (...); p: the probability to keep an element, at most 1, with round(p * 2**32) > 0; seed: an integer,
    0 <= seed < 2**64, on cuda also a device array of one uint64. Returns out (...), mask (...), bool.
    Every backend: the same mask; p = 1 keeps every element.
    Cost: 25 integer operations per element; reads x, writes out and a byte of mask for each element.
    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, Dropout (2014), section 10 (the scaling in
    training); Salmon, Moraes, Dror & Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), section 4.
    """
    function = "dropout_forward"
    (x,) = _floats(function, x=x)
    p = keep_probability(function, p)
    return _variant().dropout_forward(x, p, seeds.word(function, "seed", seed))


@signatures.checked
def dropout_backward(dout, mask, p):
    """Gradient of `dropout_forward`: dx = dout / p where mask, else 0.

    Inputs: dout (...); mask (...), bool, and p of the forward pass. Returns dx (...).
    Cost: reads dout and mask, writes dx.
    """
    function = "dropout_backward"
    (dout,) = _floats(function, dout=dout)
    mask = validation.array(function, "mask", mask)
    if mask.dtype.kind != "b":
        raise TypeError(
            f"{function}: mask.dtype = {mask.dtype} is not a mask; expected bool; "
            "pass the mask that dropout_forward returned"
        )
    validation.shape(function, "mask", mask, dout.shape)
    return _variant().dropout_backward(dout, arrays.contiguous(mask, mask.dtype), keep_probability(function, p))


def keep_probability(function, p):
    """Return the probability to keep an element, checked: more than 0, at most 1.

    function: the caller's name, for messages
    p: a number
    """
    p = _number(function, "p", p)
    if threshold(p) == 0:
        raise ValueError(
            f"{function}: p={p!r} keeps no element; expected the probability to keep an "
            "element, more than 0 and at most 1; pass 1 - p if p is the probability to drop"
        )
    return p


def threshold(p):
    """Return the limit below which the 32-bit word of an element keeps it.

    p: probability to keep an element
    """
    return round(p * 2**32)
