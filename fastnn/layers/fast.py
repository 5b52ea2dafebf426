"""Convolution and pooling that never run as naive loops: what `fastnn.fast_layers` offers."""

from fastnn import fixed_backend

from . import convolution

__all__ = ["conv_backward_fast", "conv_forward_fast", "max_pool_backward_fast", "max_pool_forward_fast"]

_MODULE = "fastnn.fast_layers"

conv_forward_fast = fixed_backend.to_fast(convolution.conv_forward, "conv_forward_fast", _MODULE)
conv_backward_fast = fixed_backend.to_fast(convolution.conv_backward, "conv_backward_fast", _MODULE)
max_pool_forward_fast = fixed_backend.to_fast(convolution.max_pool_forward, "max_pool_forward_fast", _MODULE)
max_pool_backward_fast = fixed_backend.to_fast(convolution.max_pool_backward, "max_pool_backward_fast", _MODULE)
