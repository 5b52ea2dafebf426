"""Layers and losses as functions of Tensors, with the names and arguments of `torch.nn.functional`.

    import fastnn.nn.functional as F

    h = F.max_pool2d(F.relu(F.conv2d(images, w1, b1, padding=1)), 2)
    F.cross_entropy(F.linear(h.flatten(1), w2, b2), labels).backward()

Each function computes on the active backend and is one node of the tape (losses are up to ten); see `fastnn.autograd`.
Arguments that hold numbers are Tensors or, as constants, arrays, float32 or float64, and are moved to the memory of the
backend; float32 with float64 gives float64. Results are Tensors. Functions differ from torch's only where the
docstring says so; options that are not listed do not exist. Raises ValueError for shapes that do not match and for
numbers out of range, TypeError for what is not an array or a number.
"""

from .activations import dropout, elu, gelu, leaky_relu, log_softmax, prelu, relu, sigmoid, softmax, tanh
from .layers import adaptive_avg_pool2d, avg_pool2d, conv2d, flatten, linear, max_pool2d
from .losses import cross_entropy, mse_loss, multi_margin_loss, nll_loss, one_hot
from .normalization import batch_norm, group_norm, layer_norm

__all__ = [
    "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "conv2d", "cross_entropy", "dropout", "elu", "flatten", "gelu",
    "group_norm", "layer_norm", "leaky_relu", "linear", "log_softmax", "max_pool2d", "mse_loss", "multi_margin_loss",
    "nll_loss", "one_hot", "prelu", "relu", "sigmoid", "softmax", "tanh",
]  # fmt: skip
