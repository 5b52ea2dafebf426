"""Tensor: an array that remembers how it was computed."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, signatures, validation

from . import arithmetic, operands, reductions, shapes, tape
from .values import Values


def wrap(data: Any, counter: list[int] | None = None) -> "Tensor":
    """Make a Tensor of an array without checks; counter: that of the Tensor whose memory it shares."""
    tensor = object.__new__(Tensor)
    tensor._data = data if type(data) is np.ndarray or arrays.is_on_device(data) else np.asarray(data)
    tensor.grad, tensor._node, tensor._requires_grad = None, None, False
    tensor._counter = [0] if counter is None else counter
    return tensor


def record(
    name: str, inputs: Sequence[Any], out: Any, gradients: tape.Gradients, keeps: str = "both", broadcasts: bool = False
) -> "Tensor":
    """Return the result `out` of an operation as a Tensor, on the tape if an input requires a gradient.

    inputs: Tensors; anything else is a constant; name: of the operation, in errors; out: an array
    gradients: a function of dout for each input, or one `f(dout, needed)` that returns the gradients of all inputs,
        None for those that are not needed. Gradients have the shape of their input, and may share memory with dout, but
        with no other array. Nothing may refer to the resulting Tensor.
    keeps: the arrays that `gradients` reads, "inputs", "output", "both" or "": if one is changed before `backward`,
        that raises
    broadcasts: sum gradients over the axes that broadcasting added
    """
    result = wrap(out)
    if tape.detects_anomaly():
        tape.check_result(name, [x.data if isinstance(x, Tensor) else x for x in inputs], result.data)
    if tape.is_grad_enabled() and result.data.dtype.kind == "f":
        targets, needed = [], False
        for x in inputs:
            if isinstance(x, Tensor) and x._requires_grad:
                targets.append(x if x._node is None else x._node)
                needed = True
            else:
                targets.append(None)
        if needed:
            counters = [x._counter for x in inputs if isinstance(x, Tensor)] if keeps in ("inputs", "both") else []
            counters += [result._counter] if keeps in ("output", "both") else []
            result._node = tape.Node(name, tuple(targets), result.data, gradients, counters, broadcasts)
            result._requires_grad = True
    return result


def operation(forward: Callable, inputs: int = 1, keeps: str = "both", shares: bool = False) -> Callable:
    """Turn a function of arrays, `forward(...) -> (out, gradients)`, into one of Tensors; see `arithmetic`.

    inputs: how many of the first arguments are Tensors; two and more are broadcast together
    shares: whether the result may share the memory of its input
    """
    name, explained = forward.__name__, signatures.checked(forward)

    @functools.wraps(forward)
    def of_tensors(*arguments: Any, **options: Any) -> "Tensor":
        given, more = arguments[:inputs], arguments[inputs:]
        values = [x.data if isinstance(x, Tensor) else operands.operand(name, x, given) for x in given]
        if arrays.DEVICE_ARRAYS:
            operands.one_device(name, values)
        with np.errstate(all="ignore"):
            try:
                out, gradients = forward(*values, *more, **options)
            except (ValueError, IndexError) as error:
                raise type(error)(operands.misfit(name, values, more, options, error)) from None
            except TypeError:
                out, gradients = explained(*values, *more, **options)  # raises a clear error for wrong arguments
        result = record(name, given, out, gradients, keeps, broadcasts=inputs > 1)
        if shares and arrays.may_share_memory(result.data, values[0]):
            result._counter = given[0]._counter
        return result

    return of_tensors


def _reflected(function: Callable) -> Callable:
    """`y - x`, where only x is a Tensor."""
    return lambda self, other: function(other, self)


def _in_place(change: Callable, recorded: Callable) -> Callable:
    """`x += y`: `change` the data where nothing is recorded, else compute a new Tensor."""

    def of_tensors(self: "Tensor", other: Any) -> "Tensor":
        if tape.is_grad_enabled() and (self._requires_grad or getattr(other, "_requires_grad", False)):
            self._check_may_change(change.__name__)
            return recorded(self, other)
        tape.settle()
        value = other.data if isinstance(other, Tensor) else operands.operand(change.__name__, other, (self,))
        operands.one_device(change.__name__, (self.data, value))
        try:
            with np.errstate(all="ignore"):
                self._data = change(self.data, value)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(operands.misfit(change.__name__, (self.data, value), (), {}, error)) from None
        self.mark_changed()
        return self

    return of_tensors


class Tensor(Values):
    """An array of the active backend, with the operators and methods of arrays; results lead back to their inputs.

    data: an array, used without a copy if it is in the memory of the active backend
    requires_grad: whether `backward` computes the gradient with respect to this Tensor; only for float32 and float64
    grad: the gradient, a Tensor, once `backward` was called; it adds up until `zero_grad`

    Operators and methods have NumPy's meaning and torch's names; operands are Tensors, arrays and numbers. Operators
    such as += change the data in place only where nothing is recorded, as in `no_grad`; otherwise x += y is x = x + y.
    """

    __slots__ = ("__weakref__", "_counter", "_data", "_node", "_requires_grad", "grad")
    __array_priority__ = 1000  # NumPy leaves array * tensor to this class
    __hash__ = object.__hash__  # == compares elements

    grad: "Tensor | None"

    @signatures.checked
    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = data
        self.grad, self._node, self._counter, self._requires_grad = None, None, [0], False
        self.requires_grad = requires_grad

    def _set_data(self, data: Any) -> None:
        data = data.data if isinstance(data, Tensor) else validation.array("Tensor", "data", data)
        if data.dtype.kind not in "fiub" or (data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8)):
            raise TypeError(
                f"Tensor: data.dtype = {data.dtype} cannot be computed with; expected float32, float64, integers or "
                f"booleans; convert the data with np.asarray(data, dtype=np.float32)"
            )
        tape.settle()
        self._data = arrays.to_device(data)

    data = property(operator.attrgetter("_data"), _set_data, doc="The array.")

    # ---- gradients ----

    def _set_requires_grad(self, value: bool) -> None:
        value = validation.flag("Tensor", "requires_grad", value)
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"Tensor: requires_grad=True does not fit data.dtype = {self.data.dtype}; expected float32 or float64; "
                f"convert the data first, or leave requires_grad out"
            )
        if self._node is not None and not value:
            raise ValueError(
                "Tensor: requires_grad=False does not fit the result of a recorded operation; expected a leaf; use "
                "x.detach(), or compute it in no_grad()"
            )
        self._requires_grad = value

    requires_grad = property(operator.attrgetter("_requires_grad"), _set_requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Set `requires_grad`. Returns the Tensor."""
        self.requires_grad = requires_grad
        return self

    is_leaf: Any = property(lambda self: self._node is None, doc="Whether no recorded operation made the Tensor.")
    grad_fn: Any = property(lambda self: self._node, doc="The node of the operation that made the Tensor, or None.")
    _version: Any = property(lambda self: self._counter[0], doc="How often the data were changed in place.")

    def mark_changed(self) -> None:
        """Say that the data were overwritten, so that a later `backward` that needs the former values raises."""
        self._counter[0] += 1

    @signatures.checked
    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this Tensor with respect to every leaf that requires one to the leaf's `grad`.

        gradient: the gradient of a loss with respect to this Tensor, in its shape; may be omitted for one element
        retain_graph: keep the tape for another call, instead of freeing it on the way
        Raises RuntimeError if nothing was recorded, the tape was freed, or an array that is needed was overwritten; the
        gradients of all leaves are then unchanged.
        """
        for leaf, found in self._gradients(gradient, retain_graph).items():
            if leaf.grad is None:
                leaf.grad = wrap(found)
            else:
                leaf.grad._data += found
                leaf.grad.mark_changed()

    def _gradients(self, gradient: Any, retain_graph: bool) -> dict["Tensor", Any]:
        """The gradients of this Tensor with respect to all leaves."""
        if not self._requires_grad:
            raise RuntimeError(
                "backward: the Tensor does not require a gradient, so nothing was recorded; expected the result of "
                "operations on a leaf with requires_grad=True, outside no_grad(); set it before the forward pass"
            )
        gradient = operands.first_gradient(self.data, gradient.data if isinstance(gradient, Tensor) else gradient)
        retain_graph = validation.flag("backward", "retain_graph", retain_graph)
        return tape.run(self if self._node is None else self._node, gradient, retain_graph)

    def _check_may_change(self, name: str) -> None:
        """Raise RuntimeError for a leaf that requires a gradient, unless nothing is recorded."""
        if self._requires_grad and self._node is None and tape.is_grad_enabled():
            raise RuntimeError(
                f"{name}: a leaf that requires a gradient, of shape {self.shape}, would be changed in place; expected "
                f"that only where nothing is recorded; do it in no_grad()"
            )

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` becomes None."""
        self.grad = None

    def detach(self) -> "Tensor":
        """A Tensor of the same data, without a tape."""
        return wrap(self.data, self._counter)

    def clone(self) -> "Tensor":
        """A copy, through which gradients flow."""
        return record("clone", (self,), arrays.copy(self.data), (lambda dout: dout,), keeps="")

    # ---- operators ----

    __add__ = operation(arithmetic.add, 2, keeps="")
    __sub__ = operation(arithmetic.subtract, 2, keeps="")
    __mul__ = operation(arithmetic.multiply, 2, keeps="inputs")
    __truediv__ = operation(arithmetic.divide, 2, keeps="inputs")
    __pow__ = operation(arithmetic.power, 2)
    _product = operation(arithmetic.matmul, 2, keeps="inputs")
    __neg__ = operation(arithmetic.negative, keeps="")
    __abs__ = abs = operation(arithmetic.abs, keeps="inputs")
    __radd__, __rmul__ = _reflected(__add__), _reflected(__mul__)
    __rsub__, __rtruediv__ = _reflected(__sub__), _reflected(__truediv__)
    __rpow__ = _reflected(__pow__)
    __iadd__, __isub__ = _in_place(operator.iadd, __add__), _in_place(operator.isub, __sub__)
    __imul__, __itruediv__ = _in_place(operator.imul, __mul__), _in_place(operator.itruediv, __truediv__)
    __lt__, __le__, __gt__, __ge__, __eq__, __ne__ = (operation(compare, 2) for compare in arithmetic.COMPARISONS)

    def matmul(self, other: Any) -> "Tensor":
        """The matrix product x @ other, for other (...) also a stack of matrices, or a vector."""
        rows = self.reshape(1, -1) if self.ndim == 1 else self
        columns = other.reshape(-1, 1) if getattr(other, "ndim", 0) == 1 else other
        out = Tensor._product(rows, columns)
        out = out if columns is other else out.squeeze(-1)
        return out if rows is self else out.squeeze(-1 if columns is not other else -2)

    __matmul__ = mm = matmul
    __rmatmul__ = _reflected(lambda x, y: wrap(x) @ y)

    def __getitem__(self, key: Any) -> "Tensor":
        return Tensor._getitem(self, operands.key(key, self.data))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_may_change("setitem")
        if tape.is_grad_enabled() and (self._requires_grad or getattr(value, "_requires_grad", False)):
            raise RuntimeError(
                f"setitem: a Tensor of shape {self.shape} would be changed in place, which the tape does not record; "
                f"expected data that need no gradient; build the result with where, cat or stack"
            )
        tape.settle()
        value = value.data if isinstance(value, Tensor) else operands.operand("setitem", value, (self,))
        operands.one_device("setitem", (self.data, value))
        self.data[operands.key(key, self.data)] = value
        self.mark_changed()

    def zero_(self) -> "Tensor":
        """Set all elements to 0, in place."""
        self[...] = 0
        return self

    def copy_(self, other: Any) -> "Tensor":
        """Copy the elements of another Tensor or array, in place."""
        self[...] = other
        return self

    # ---- elementwise ----

    exp = operation(arithmetic.exp, keeps="output")
    log = operation(arithmetic.log, keeps="inputs")
    sqrt = operation(arithmetic.sqrt, keeps="output")
    tanh = operation(arithmetic.tanh, keeps="output")
    sigmoid = operation(arithmetic.sigmoid, keeps="output")
    relu = operation(arithmetic.relu, keeps="inputs")
    clamp = operation(arithmetic.clamp)
    maximum = operation(arithmetic.maximum, 2, keeps="inputs")
    minimum = operation(arithmetic.minimum, 2, keeps="inputs")
    _astype = operation(arithmetic.astype, keeps="", shares=True)

    def to(self, device: Any = None, dtype: Any = None) -> "Tensor":
        """The Tensor in another dtype, and in the memory of the active backend: the switch decides, not `device`."""
        if isinstance(device, (type, np.dtype)):
            device, dtype = None, device
        result = self if dtype is None or np.dtype(dtype) == self.dtype else self._astype(np.dtype(dtype))
        data = arrays.to_device(result.data)
        if data is result.data:
            return result
        return record("to", (result,), data, (lambda dout: arrays.on_same_device(dout, result.data),), keeps="")

    # ---- reductions ----

    sum = operation(reductions.sum, keeps="")
    mean = operation(reductions.mean, keeps="")
    var = operation(reductions.var, keeps="inputs")
    amax = operation(reductions.amax)
    amin = operation(reductions.amin)
    softmax = operation(reductions.softmax, keeps="output")
    log_softmax = operation(reductions.log_softmax, keeps="")
    logsumexp = operation(reductions.logsumexp, keeps="")
    argmax = operation(reductions.argmax)
    argmin = operation(reductions.argmin)
    _at_index = operation(reductions.at_index, keeps="")

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element, to which the gradient goes; along an axis, (values, indices). Arguments as of `sum`."""
        return self.amax() if dim is None else self._extreme(self.argmax(dim, True), dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element, as `max`."""
        return self.amin() if dim is None else self._extreme(self.argmin(dim, True), dim, keepdim)

    def _extreme(self, index: "Tensor", dim: int, keepdim: bool) -> reductions.Extreme:
        values = self._at_index(index.data, dim)
        parts = (values.unsqueeze(dim), index) if keepdim else (values, index.squeeze(dim))
        return reductions.Extreme(*parts)

    # ---- shapes ----

    _getitem = operation(shapes.getitem, keeps="", shares=True)
    _reshape = operation(shapes.reshape, keeps="", shares=True)
    _permute = operation(shapes.permute, keeps="", shares=True)
    _expand = operation(shapes.expand, keeps="")
    transpose = operation(shapes.transpose, keeps="", shares=True)

    def reshape(self, *shape: Any) -> "Tensor":
        """The elements in another shape, given as lengths or as a tuple; one length may be -1."""
        return self._reshape(operands.lengths(shape))

    view = reshape

    def permute(self, *dims: Any) -> "Tensor":
        """The axes in another order, given as numbers or as a tuple."""
        return self._permute(operands.lengths(dims))

    def expand(self, *shape: Any) -> "Tensor":
        """Broadcast to a shape."""
        return self._expand(operands.lengths(shape))
