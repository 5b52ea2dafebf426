"""Torch in, torch out: public functions compute on torch tensors and return tensors.

A function of the modules in `TAKING` that is given a tensor, also inside a list, tuple or dict, is called with arrays
that use the memory of the tensors: NumPy arrays for tensors on the CPU, device arrays for tensors on a GPU if the
backend is cuda. The function itself, and everything that it calls, sees arrays only. On return, every array in the
result becomes a tensor that uses its memory, on the device of the first tensor among the arguments. So no number is
copied, an array that is updated in place updates the tensor, and results have the bits and dtypes that arrays give.

- An array that stands for a tensor becomes this very tensor again, as in a cache, or in `sgd(w, dw, out=w)`. A NumPy
  array that was given beside tensors stays what it is.
- Dicts are passed as copies. What the function stores in one, such as running averages or the state of an update rule,
  is stored in the caller's dict as tensors.
- A function of the caller's, such as the f of a gradient check, gets what was given, and tensors for other arrays. It
  may return tensors.
- A loss, a float returned together with gradients, becomes a float64 tensor without axes. Other numbers stay numbers.
- A tensor without axes beside arrays, such as `reg=torch.tensor(0.1)`, is a number and does not make results tensors.
- A dtype of torch is that of NumPy, and makes results tensors.
- Attributes that a class names in `_become_tensors` become tensors too if the call assigned arrays to them.
- Tensors that would lose something stay as they are, and the function raises its usual error: tensors that require a
  gradient or are sparse, float16 and bfloat16, and tensors on a GPU unless the backend is cuda.

torch is never imported here. Without it, a call costs one look-up in `sys.modules` more.
"""

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from . import arrays

TAKING = (  # modules whose functions take tensors, with everything inside them
    "fastnn.classifiers",
    "fastnn.fast_layers",
    "fastnn.gradient_check",
    "fastnn.kernels.linear_losses",  # the losses in these two are public under other names
    "fastnn.kernels.losses",
    "fastnn.layer_utils",
    "fastnn.layers",
    "fastnn.nn",
    "fastnn.optim",
    "fastnn.testing.gradient_doctor",
)
SIMPLE = frozenset((np.ndarray, float, int, bool, str, type(None)))  # hold no tensor; looked up before anything else
_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)


def are_taken_by(function: Callable) -> bool:
    """Whether a function belongs to the modules that take tensors."""
    return f"{function.__module__}.".startswith(tuple(f"{name}." for name in TAKING))


def among(*values: Any) -> bool:
    """Whether there is a tensor, or a dtype of torch, among the values or inside lists, tuples and dicts."""
    for value in values:
        kind = type(value)
        if kind in SIMPLE:
            continue
        if kind is tuple or kind is list:
            found = not SIMPLE.issuperset(map(type, value)) and among(*value)
        elif isinstance(value, dict):
            found = among(*value.values())
        else:
            found = isinstance(value, _torch_types())
        if found:
            return True
    return False


def numpy_dtype(value: Any) -> Any:
    """Return NumPy's dtype for a dtype of torch that NumPy has, and anything else unchanged."""
    name = str(value).removeprefix("torch.") if isinstance(value, _torch_types()[1:]) else ""
    return np.dtype(name) if hasattr(np, name) else value


def called(function: Callable, arguments: tuple, keywords: dict[str, Any]) -> Any:
    """Call a function of arrays with tensors among its arguments; return tensors for the arrays in its result."""
    exchange = _Exchange()
    given = [exchange.to_array(value) for value in arguments]
    named = {name: exchange.to_array(value) for name, value in keywords.items()}
    owner = arguments[0] if arguments else None
    before = _attributes(owner)
    try:
        result = function(*given, **named)
    finally:
        exchange.update_dicts()
        for name, value in _attributes(owner).items():
            if value is not before.get(name):
                setattr(owner, name, exchange.to_tensor(value))
    return exchange.to_tensor(result)


class _Exchange:
    """The tensors among the arguments of a call, and the arrays that stand for them."""

    def __init__(self) -> None:
        self._given: dict[int, tuple[Any, Any]] = {}  # by the id of an array: the array, and what was given for it
        self._dicts: list[tuple[dict, dict, dict]] = []  # the given dict, the one that is passed, its original items
        self._first: Any = None  # the first tensor, or the first with axes
        self._has_arrays = False

    def to_array(self, value: Any) -> Any:
        """Replace the tensors in a value by arrays."""
        kind = type(value)
        if kind is np.ndarray:
            self._given[id(value)] = value, value
            self._has_arrays |= value.ndim > 0
        if kind in SIMPLE:
            return value
        if kind is tuple or kind is list:
            return value if SIMPLE.issuperset(map(type, value)) else kind(map(self.to_array, value))
        if isinstance(value, dict):
            return self._passed(value)
        if isinstance(value, _torch_types()):
            return self._array(value)
        if isinstance(value, _FUNCTIONS) and not getattr(value, "__module__", "").startswith("fastnn."):
            return self._of_arrays(value)
        return value

    def to_tensor(self, value: Any) -> Any:
        """Replace the arrays in a value by tensors."""
        kind = type(value)
        if isinstance(value, _arrays()):
            return self._given[id(value)][1] if id(value) in self._given else self._tensor(value)
        if kind is tuple or kind is list:
            changed = kind(map(self.to_tensor, value))
            return (self._loss(changed[0]), changed[1]) if _is_loss(value) else changed
        if isinstance(value, dict):
            for given, passed, _ in self._dicts:
                if passed is value:
                    self.update_dicts()
                    return given
            return {key: self.to_tensor(one) for key, one in value.items()} if kind is dict else value
        return value

    def update_dicts(self) -> None:
        """Store in the given dicts what was stored in the passed ones."""
        for given, passed, items in self._dicts:
            for key, value in passed.items():
                if key not in items or items[key] is not value:
                    items[key] = value
                    given[key] = self.to_tensor(value)

    def _passed(self, given: dict) -> dict:
        for known, passed, _ in self._dicts:
            if known is given:
                return passed
        passed = {key: self.to_array(value) for key, value in given.items()}
        self._dicts.append((given, passed, dict(passed)))
        return passed

    def _array(self, tensor: Any) -> Any:
        """The array that uses the memory of a tensor, or the tensor itself if there is none; the dtype of a dtype."""
        torch = _torch()
        if isinstance(tensor, torch.dtype):
            self._first = torch.empty(0) if self._first is None else self._first
            return numpy_dtype(tensor)
        if arrays.reason_not_plain(tensor):
            return tensor
        for array, known in self._given.values():
            if known is tensor:
                return array
        try:
            array = tensor.numpy() if tensor.device.type == "cpu" else arrays.asarray(tensor)
        except (RuntimeError, TypeError):  # such as a conjugated tensor: the function raises its error
            return tensor
        self._given[id(array)] = array, tensor
        if self._first is None or (tensor.ndim and not self._first.ndim):
            self._first = tensor
        return array

    def _tensor(self, array: Any) -> Any:
        """A tensor that uses the memory of an array."""
        if not self._makes_tensors():
            return array
        if arrays.is_on_device(array):
            return _torch().from_dlpack(array).to(self._first.device)
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()  # torch has no such tensors
        try:
            return _torch().from_numpy(array).to(self._first.device)
        except TypeError:  # torch lacks the dtype, as of some indices in a cache
            return array

    def _loss(self, loss: float) -> Any:
        torch = _torch()
        return torch.tensor(loss, dtype=torch.float64, device=self._first.device) if self._makes_tensors() else loss

    def _makes_tensors(self) -> bool:
        """Whether results become tensors: not if all tensors are numbers beside arrays."""
        return self._first is not None and (self._first.ndim > 0 or not self._has_arrays)

    def _of_arrays(self, function: Callable) -> Callable:
        """The caller's function of tensors as a function of arrays."""

        @functools.wraps(function)
        def of_arrays(*arguments: Any, **keywords: Any) -> Any:
            given = [self.to_tensor(value) for value in arguments]
            named = {name: self.to_tensor(value) for name, value in keywords.items()}
            return _Exchange().to_array(function(*given, **named))

        return of_arrays


def _attributes(owner: Any) -> dict[str, Any]:
    """The attributes of an object that become tensors."""
    return {name: vars(owner).get(name) for name in getattr(type(owner), "_become_tensors", ())}


def _is_loss(value: Any) -> bool:
    """Whether this is a loss with its gradient, or a dict of its gradients."""
    return (
        type(value) is tuple
        and len(value) == 2
        and isinstance(value[0], float)
        and isinstance(value[1], (dict, *_arrays()))
    )


def _arrays() -> tuple[type, ...]:
    return np.ndarray, *arrays.DEVICE_ARRAYS


def _torch() -> Any:
    """The module torch, which the caller imported."""
    return sys.modules["torch"]


def _torch_types() -> tuple[type, ...]:
    """The types of tensors and dtypes; none while torch is being imported."""
    torch: Any = sys.modules.get("torch")
    return (torch.Tensor, torch.dtype) if hasattr(torch, "Tensor") and hasattr(torch, "dtype") else ()
