"""The layers of the course: `*_forward(...) -> (out, cache)` and `*_backward(dout, cache) -> gradients`.

Everything runs on the active backend (`fastnn.set_backend`), except the four functions `*_naive`, which always are the
naive loops. A cache can be used on another backend than the one that made it. Inputs are float32 or float64 of any
layout, and are never modified; errors are ValueError and TypeError. Loss functions return `(loss, dx)`.

conv_param is a dict with `stride` and `pad`; pool_param is a dict with `pool_height`, `pool_width`, `stride` and
optionally `pad`. Stride and pad are integers (also as floats: 3.0) or (height, width) pairs. bn_param contains the mode
and the running averages of batch norm, which a forward pass in training mode updates: see `normalization`.
dropout_param has `p`, the probability of keeping an element, `mode`, and optionally `seed`, with which every call seeds
NumPy's global state and so uses the same mask.
"""

from fastnn.kernels.losses import mse_loss, softmax_loss, svm_loss

from .activations import (
    elu_backward,
    elu_forward,
    gelu_backward,
    gelu_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    maxout_backward,
    maxout_forward,
    prelu_backward,
    prelu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from .affine import (
    affine_backward,
    affine_forward,
)
from .convolution import (
    avg_pool_backward,
    avg_pool_forward,
    conv_backward,
    conv_backward_naive,
    conv_forward,
    conv_forward_naive,
    global_avg_pool_backward,
    global_avg_pool_forward,
    max_pool_backward,
    max_pool_backward_naive,
    max_pool_forward,
    max_pool_forward_naive,
)
from .dropout import dropout_backward, dropout_forward
from .normalization import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
    spatial_instancenorm_backward,
    spatial_instancenorm_forward,
)

__all__ = [
    "affine_backward",
    "affine_forward",
    "avg_pool_backward",
    "avg_pool_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "conv_backward",
    "conv_backward_naive",
    "conv_forward",
    "conv_forward_naive",
    "dropout_backward",
    "dropout_forward",
    "elu_backward",
    "elu_forward",
    "gelu_backward",
    "gelu_forward",
    "global_avg_pool_backward",
    "global_avg_pool_forward",
    "layernorm_backward",
    "layernorm_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "max_pool_backward",
    "max_pool_backward_naive",
    "max_pool_forward",
    "max_pool_forward_naive",
    "maxout_backward",
    "maxout_forward",
    "mse_loss",
    "prelu_backward",
    "prelu_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_loss",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_instancenorm_backward",
    "spatial_instancenorm_forward",
    "svm_loss",
    "tanh_backward",
    "tanh_forward",
]
