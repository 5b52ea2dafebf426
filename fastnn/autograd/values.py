"""The values of a Tensor as numbers, lists and NumPy arrays, and methods that are made of others."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays

from . import operands


class Values:
    """Base of Tensor: values, and methods that are made of others."""

    __slots__ = ()
    data: Any
    _requires_grad: bool
    _node: Any
    to: Any
    var: Any
    reshape: Any
    permute: Any
    __getitem__: Any

    shape: Any = property(lambda self: self.data.shape, doc="The length of each axis.")
    dtype: Any = property(lambda self: self.data.dtype, doc="NumPy's dtype of the elements.")
    ndim: Any = property(lambda self: self.data.ndim, doc="The number of axes.")

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array, which shares their memory unless they are on a GPU."""
        if self._requires_grad:
            raise RuntimeError(
                f"numpy: the Tensor of shape {self.shape} requires a gradient, which an array would lose; expected one "
                f"without; use x.detach().numpy()"
            )
        return arrays.to_numpy(self.data)

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.data.size != 1:
            raise ValueError(
                f"item: the Tensor of shape {self.shape} has {self.data.size} elements; expected one; index it first"
            )
        return arrays.to_numpy(self.data).item()

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return arrays.to_numpy(self.data).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if arrays.is_on_device(self.data):
            raise TypeError(
                f"numpy: the Tensor of shape {self.shape} is in GPU memory, which NumPy cannot read; expected an "
                f"explicit conversion; use x.detach().numpy()"
            )
        array = np.asarray(self.numpy(), dtype)
        return array.copy() if copy else array

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    __index__ = __int__

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        values = repr(arrays.to_numpy(self.data)).removeprefix("array(").removesuffix(")")
        made = f", made by {self._node.name}" if self._node else ", requires_grad=True" if self._requires_grad else ""
        return f"Tensor({values}{made})"

    # ---- made of other methods ----

    def float(self) -> Any:
        """The Tensor in float32."""
        return self.to(dtype=np.float32)

    def double(self) -> Any:
        """The Tensor in float64."""
        return self.to(dtype=np.float64)

    def long(self) -> Any:
        """The Tensor in int64."""
        return self.to(dtype=np.int64)

    def std(self, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Any:
        """The standard deviation over axes, the square root of `var`."""
        return self.var(dim, correction, keepdim).sqrt()

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        """Join the axes from start_dim to end_dim into one."""
        start, end = start_dim % max(self.ndim, 1), end_dim % max(self.ndim, 1)
        return self.reshape(*self.shape[:start], math.prod(self.shape[start : end + 1]), *self.shape[end + 1 :])

    def unsqueeze(self, dim: int) -> Any:
        """Insert an axis of length 1 at position dim of the result."""
        dim %= self.ndim + 1
        return self.reshape(*self.shape[:dim], 1, *self.shape[dim:])

    def squeeze(self, dim: int | None = None) -> Any:
        """Remove an axis of length 1, or all of them."""
        gone = {axis for axis, length in enumerate(self.shape) if length == 1}
        gone &= gone if dim is None else {dim % self.ndim}
        return self.reshape(tuple(length for axis, length in enumerate(self.shape) if axis not in gone))

    def split(self, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
        """Cut along an axis. Returns parts.

        split_size: length of the parts (the last may be shorter), or several lengths
        dim: the axis
        """
        keys = operands.cuts(self.shape[dim], split_size)
        return tuple(self[(slice(None),) * (dim % self.ndim) + (key,)] for key in keys)

    T: Any = property(lambda self: self._permute(tuple(range(self.ndim))[::-1]), doc="The axes in reverse order.")

    def t(self) -> Any:
        """The transpose of a matrix."""
        return self.T
