"""fastnn: the neural-network framework of the CS231n courses, with interchangeable backends.

    from fastnn.classifiers.cnn import ThreeLayerConvNet
    from fastnn.data_utils import get_shapes_data
    from fastnn.solver import Solver

Kernels exist as naive loops, in NumPy, and in Numba for CPU and GPU. The environment variable FASTNN_BACKEND,
`set_backend` and `use_backend` select the backend; see `kernels.dispatch.switch`.
"""

import importlib as _importlib
import importlib.util as _importlib_util
from typing import Any as _Any

if _importlib_util.find_spec("fastnn.kernels") is None:
    raise ImportError(
        f"fastnn: this is the source tree {__path__[0]}, not an installed package; expected its kernels/ as "
        "fastnn.kernels; run `python -m pip install -e .` in the folder above and try again"
    )

from fastnn.kernels import (
    BackendUnavailable,
    backends,
    get_backend,
    set_backend,
    use_backend,
)
from fastnn.kernels.dispatch import signatures as _signatures
from fastnn.kernels.dispatch import validation as _validation

from .devices import to_device, to_numpy, transfers

__version__ = "0.2.0"

__all__ = [
    "BackendUnavailable",
    "__version__",
    "backends",
    "get_backend",
    "reset_seed",
    "set_backend",
    "to_device",
    "to_numpy",
    "transfers",
    "use_backend",
]

# names of fastnn.autograd that are found here as well, as they are in torch
_AUTOGRAD = (
    "Tensor", "arange", "cat", "float32", "float64", "int64", "long", "no_grad", "ones", "rand", "randn", "stack",
    "tensor", "where", "zeros",
)  # fmt: skip


@_signatures.checked
def reset_seed(seed: int) -> None:
    """Seed NumPy's global random state, which everything created with seed=None draws from.

    seed: an integer from 0 to 2**32 - 1
    """
    import numpy as np

    np.random.seed(_validation.integer("reset_seed", "seed", seed, minimum=0, maximum=2**32 - 1))


def __getattr__(name: str) -> _Any:
    """Import a submodule on first access, so that `import fastnn` stays fast; `fastnn.tensor` is `autograd.tensor`."""
    if not name.startswith("_") and _importlib_util.find_spec(f"{__name__}.{name}"):
        return _importlib.import_module(f"{__name__}.{name}")
    if name in _AUTOGRAD:
        return getattr(_importlib.import_module(f"{__name__}.autograd"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
