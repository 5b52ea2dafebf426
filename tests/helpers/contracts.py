"""The functions of the operations' contracts, and a recorder of their calls."""

import importlib
import inspect


def functions(module):
    """Return the public functions that a module defines."""
    return {
        name: function
        for name, function in inspect.getmembers(module, callable)
        if not name.startswith("_") and getattr(function, "__module__", None) == module.__name__
    }


def contract(operation):
    """Return the functions of a contract that dispatch, without helpers for geometry."""
    module = importlib.import_module(f"fastnn.kernels.{operation}")
    return {
        name: function for name, function in functions(module).items() if "_variant()" in inspect.getsource(function)
    }


class Recorder:
    """Wraps a variant of an operation and records which of its functions are called."""

    def __init__(self, variant, used):
        self.variant, self.used = variant, used

    def __getattr__(self, name):
        self.used.add(name)
        return getattr(self.variant, name)
