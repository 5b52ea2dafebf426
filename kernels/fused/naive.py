"""The specification of `fused`: the naive parts, one after the other; see `compositions`."""

from ..activations import naive as activations
from ..affine import naive as affine
from ..conv2d import naive as conv2d
from ..normalization import naive as normalization
from ..pool2d import naive as pool2d
from . import compositions

globals().update(compositions.of(__name__, activations, affine, conv2d, normalization, pool2d))
