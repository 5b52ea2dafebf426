"""Augmentation of a batch of images: shift, mirror and erase; the caller draws the random numbers."""

import numpy as np

from ..dispatch import arrays, signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)

_LIMITS = np.iinfo(np.int32)


@signatures.checked
def augment_images(x, top, left, flip, hole_top, hole_left, hole_size):
    """Shift each image, mirror it, and erase a square, in this order.

        shifted[n, c, h, w]  = x[n, c, h + top[n], w + left[n]], 0 outside of x
        mirrored[n, c, h, w] = shifted[n, c, h, W - 1 - w] where flip[n], else shifted[n, c, h, w]
        out[n, c, h, w]      = 0 where hole_top[n] <= h < hole_top[n] + hole_size[n]
                               and hole_left[n] <= w < hole_left[n] + hole_size[n], else mirrored[n, c, h, w]

    This is the crop at (pad + top, pad + left) of the image padded with zeros, mirrored left to right where flip; the
    position of the hole is that in the result. A hole_size of 0 erases nothing.

    Inputs: x (N, C, H, W), float32 or float64 of any layout (integers are computed in float64), not modified; flip
    (N,) bool; top, left, hole_top, hole_left, hole_size (N,): any integers in the range of int32, hole_size >= 0.
    Pixels from outside x are zero, and a hole may cross the border or lie beyond it. Values of device arrays are not
    checked.
    Returns out (N, C, H, W), C-contiguous, in the dtype of x. Every backend: values are copied exactly, NaN included;
    empty arrays give empty results.
    Raises ValueError for shapes that do not match and numbers out of range, TypeError for other dtypes.
    Cost: reads x, writes out.
    Source: He, Zhang, Ren & Sun, Deep residual learning (2016), section 4.2 (crop and mirror); DeVries & Taylor,
    Improved regularization of convolutional neural networks with cutout (2017), section 3 (the hole).
    """
    function = "augment_images"
    (x,) = _floats(function, x=x)
    flip = validation.array(function, "flip", flip)
    if flip.dtype.kind != "b" and flip.size:
        raise TypeError(f"{function}: flip.dtype = {flip.dtype} is not bool; expected bool; pass flip.astype(bool)")
    _check_one_for_each(function, "flip", flip, len(x))
    return _variant().augment_images(
        x,
        _integers(function, "top", top, len(x)),
        _integers(function, "left", left, len(x)),
        arrays.contiguous(flip, np.dtype(bool)),
        _integers(function, "hole_top", hole_top, len(x)),
        _integers(function, "hole_left", hole_left, len(x)),
        _integers(function, "hole_size", hole_size, len(x), minimum=0),
    )


def _integers(function, name, value, count, minimum=int(_LIMITS.min)):
    """Convert one integer for each image to int64; they must fit 32 bits, so that the sum of two does not overflow."""
    given = validation.array(function, name, value)
    if given.dtype.kind not in "iu" and given.size:
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} is not an integer dtype; expected integers, one for each "
            f"image; round them and pass {name}.astype(np.int64)"
        )
    _check_one_for_each(function, name, given, count)
    if not arrays.is_on_device(given) and given.size and (given.min() < minimum or given.max() > _LIMITS.max):
        raise ValueError(
            f"{function}: {name} ranges from {given.min()} to {given.max()}; expected {minimum} to {_LIMITS.max}; "
            "pass numbers of pixels"
        )
    return arrays.contiguous(given, np.dtype(np.int64))


def _check_one_for_each(function, name, value, count):
    if value.shape != (count,):
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} does not fit; expected ({count},), one for each image of x; "
            f"pass np.full({count}, {name}) if it is the same for all"
        )
