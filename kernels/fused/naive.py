"""Reference implementation of `fused`: the composition of the naive parts; see `compositions`."""

from ..activations import naive as activations
from ..affine import naive as affine
from ..conv2d import naive as conv2d
from ..normalization import naive as normalization
from ..pool2d import naive as pool2d
from . import compositions

globals().update(compositions.of(__name__, activations, affine, conv2d, normalization, pool2d))
