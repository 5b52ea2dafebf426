"""The course's names for fast convolution and pooling: the active backend, and the default one where that is the loops.

Arguments, results and errors are those of the functions of the same name without `_fast` in `fastnn.layers`; caches
may be exchanged with them.
"""

from . import fixed_backend, layers

__all__ = ["conv_backward_fast", "conv_forward_fast", "max_pool_backward_fast", "max_pool_forward_fast"]

conv_forward_fast = fixed_backend.to_fast(layers.conv_forward, "conv_forward_fast", __name__)
conv_backward_fast = fixed_backend.to_fast(layers.conv_backward, "conv_backward_fast", __name__)
max_pool_forward_fast = fixed_backend.to_fast(layers.max_pool_forward, "max_pool_forward_fast", __name__)
max_pool_backward_fast = fixed_backend.to_fast(layers.max_pool_backward, "max_pool_backward_fast", __name__)
