"""fastnn.kernels: every operation four ways, behind one switch. NumPy arrays in, NumPy arrays out; usable alone.

Open an operation's folder: `__init__.py` is its contract (meaning, shapes, errors, checks, dispatch), `naive.py`
the same function as plain loops (the specification), `vectorized.py` as NumPy, `njit.py` as Numba for the CPU,
`cuda.py` as Numba for a GPU.

    conv2d       convolution                        affine         x @ w + b
    pool2d       max, average, global average       activations    ReLU and its relatives
    losses       softmax, SVM, mean squared error   linear_losses  the first two, from the weights at once
    dropout      its mask from a seed               normalization  batch, layer and group norm
    updates      update rules of gradient descent   l2             the penalty on weights, the norm of gradients
    augment      images shifted, mirrored, erased   fused          affine or convolution with norm, ReLU, pooling

Beside them: `dispatch`, what stands in front of the variants; `cpu` and `gpu`, what these stand on; `cache`, where
machine code is kept.

Axes, in docstrings, names and loop indices (lower case):

    N  images            H  W    rows, columns of an image        D  features of a row
    C  channels          KH KW   rows, columns of a kernel        M  outputs of a row
    F  filters           OH OW   rows, columns of an output       K  classes
"""

from .dispatch import deprecated
from .dispatch.arrays import to_device, to_numpy, transfers
from .dispatch.signatures import Unsupported
from .dispatch.switch import BackendUnavailable, backends, get_backend, set_backend, use_backend

OPERATIONS = (
    "conv2d",
    "pool2d",
    "affine",
    "activations",
    "normalization",
    "dropout",
    "losses",
    "linear_losses",
    "updates",
    "l2",
    "augment",
    "fused",
)

FORMER_NAMES = {"norm": "normalization", "squares": "l2", "sandwich": "fused"}  # of operations

__all__ = [
    "OPERATIONS",
    "BackendUnavailable",
    "Unsupported",
    "backends",
    "get_backend",
    "set_backend",
    "to_device",
    "to_numpy",
    "transfers",
    "use_backend",
]

__getattr__ = deprecated.names(__name__, **FORMER_NAMES)
