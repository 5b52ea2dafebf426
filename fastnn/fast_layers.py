"""Fast convolution and pooling under the course's names.

They run on the active backend, or on the default one if the active backend is "naive". Arguments, results, errors and
caches are those of the functions of the same name without `_fast` in `fastnn.layers`. Importing this module starts to
load, or where missing to compile, their kernels in the background (see `fastnn.layers.preloading`).
"""

from .layers import preloading
from .layers.fast import conv_backward_fast, conv_forward_fast, max_pool_backward_fast, max_pool_forward_fast

__all__ = ["conv_backward_fast", "conv_forward_fast", "max_pool_backward_fast", "max_pool_forward_fast"]

preloading.fast_layers()
