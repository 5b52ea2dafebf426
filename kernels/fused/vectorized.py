"""`fused` as the composition of the vectorized parts; see `compositions`."""

from ..activations import vectorized as activations
from ..affine import vectorized as affine
from ..conv2d import vectorized as conv2d
from ..normalization import vectorized as normalization
from ..pool2d import vectorized as pool2d
from . import compositions

globals().update(compositions.of(__name__, activations, affine, conv2d, normalization, pool2d))
