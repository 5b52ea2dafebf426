"""Neural-network operations on four backends, behind one switch. NumPy arrays in, NumPy arrays out; usable alone.

Each operation is a folder. Its `__init__.py` is the contract: meaning, shapes, errors, argument checks, dispatch. The
same functions are in `naive.py` as plain loops (the specification), in `vectorized.py` with NumPy, in `njit.py` with
Numba for the CPU and in `cuda.py` with Numba for a GPU.

    conv2d       convolution                        affine         x @ w + b
    pool2d       max, average, global average       activations    ReLU and its relatives
    losses       softmax, SVM, mean squared error   linear_losses  softmax and SVM loss of a linear model
    dropout      with a mask drawn from a seed      normalization  batch, layer, group, instance norm
    updates      update rules of gradient descent   l2             weight penalty, norm of gradients
    augment      shift, mirror, erase images        fused          affine or convolution with norm, ReLU, pooling
    distances    between rows, and nearest rows

The other folders are shared: `dispatch` holds the switch and the argument checks, `cpu` and `gpu` the building blocks
of the njit and cuda variants, `cache` the compiled code on disk.

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
    "distances",
)

FORMER_NAMES = {"norm": "normalization", "squares": "l2", "sandwich": "fused"}  # former name of an operation: its name

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
