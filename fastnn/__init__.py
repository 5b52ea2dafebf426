"""fastnn: the neural-network framework of the CS231n courses on naive, NumPy and Numba kernels, one switch apart."""

import importlib.util as _util

if _util.find_spec("fastnn.kernels") is None:
    raise ImportError(
        f"fastnn: this is the source tree {__path__[0]}, not an installed package; expected its kernels/ as "
        "fastnn.kernels; run `python -m pip install -e .` in the folder above and try again"
    )

from fastnn.kernels import BackendUnavailable, backends, get_backend, set_backend, use_backend

__version__ = "0.1.0"

__all__ = ["BackendUnavailable", "__version__", "backends", "get_backend", "set_backend", "use_backend"]
