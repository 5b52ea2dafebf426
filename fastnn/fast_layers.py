"""Fast convolution and pooling under the course's names.

They run on the active backend, or on the default one if the active backend is "naive". Arguments, results, errors and
caches are those of the functions of the same name without `_fast` in `fastnn.layers`.
"""

from . import fixed_backend, layers

__all__ = ["conv_backward_fast", "conv_forward_fast", "max_pool_backward_fast", "max_pool_forward_fast"]

conv_forward_fast = fixed_backend.to_fast(layers.conv_forward, "conv_forward_fast", __name__)
conv_backward_fast = fixed_backend.to_fast(layers.conv_backward, "conv_backward_fast", __name__)
max_pool_forward_fast = fixed_backend.to_fast(layers.max_pool_forward, "max_pool_forward_fast", __name__)
max_pool_backward_fast = fixed_backend.to_fast(layers.max_pool_backward, "max_pool_backward_fast", __name__)
