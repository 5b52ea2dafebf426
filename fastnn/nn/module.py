"""Module: the base class of layers and networks."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.devices import is_ours
from fastnn.kernels import l2, to_device, to_numpy
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.layers import softmax_loss

from . import early, saving, table
from .attributes import AttributeArrays
from .hierarchy import Hierarchy, delete_attribute, set_attribute
from .named_arrays import all_fitting
from .state_dict import Differences, collect, restore
from .wrapping import call as _call
from .wrapping import call_layer, is_tensor, recorded, recording, taking_tensors

_CHECKED = {"__init__", "__call__", "forward", "backward"}  # methods of layers whose argument names are checked

_evaluating: ContextVar[bool] = ContextVar("fastnn_evaluating", default=False)


@contextlib.contextmanager
def eval_mode() -> Iterator[None]:
    """Put every Module into eval mode during the block, in this thread, without changing its own mode."""
    token = _evaluating.set(True)
    try:
        yield
    finally:
        _evaluating.reset(token)


class Module(Hierarchy):
    """A differentiable function with parameters: the base of all layers and networks.

        out, cache = module.forward(x)
        dx, grads = module.backward(dout, cache)         # grads has the keys of module.params

    The backward pass gets its inputs from `cache`, not from the module, so that threads can share a module. State that
    a forward pass in training mode changes, such as running statistics, is in `buffers`; a module with buffers must be
    trained by one thread only.

    To define a layer, derive from Module, pass the parameters to `super().__init__(name=array, ...)`, put arrays that
    are not trained into `self.buffers`, and define the two methods. They must not modify their arguments, with which
    out and dx may share memory; gradients of parameters are new arrays.

    A class that defines `forward` but no `backward` computes with Tensors, and is differentiated automatically:

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(8, 8, 3, padding=1)
                self.scale = nn.Parameter(np.ones(1, np.float32))

            def forward(self, x):
                return F.relu(self.conv(x) * self.scale + x)

    Modules, Parameters and Buffers that are its attributes (also in a `ModuleList` or `ModuleDict`) are found there,
    under the names of the attributes, as in torch. One that is used twice has one entry in `params`. The Parameters of
    a layer are its attributes, too: `conv.weight`.

    Calling a Module, `module(x)`, on a Tensor gives a Tensor and records the tape, on which a layer with both passes is
    one operation, and so are neighbours with a fused kernel. On an array it gives an array and records nothing.

    params: the parameters by name

    loss_function: function of (scores, y) that returns (loss, dscores), for `loss`; in a class body staticmethod(f)
    reg: strength of the penalty 0.5 * reg * sum(W*W) on the `regularized` parameters, in `loss`
    regularized: names of the parameters that are penalized as weights
    transposed: names of the parameters whose torch layout is the transpose
    non_persistent: names of the buffers that torch does not have, and that `state_dict` omits
    """

    regularized: tuple[str, ...] = ()
    non_persistent: tuple[str, ...] = ()
    loss_function: Callable = staticmethod(softmax_loss)
    reg: float = 0.0
    _given: tuple[tuple, dict[str, Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _CHECKED & vars(cls).keys():
            setattr(cls, name, signatures.checked(vars(cls)[name]))
        if "__init__" in vars(cls):
            cls.__init__ = recording(cls.__init__)  # type: ignore[method-assign]
        cls._is_recorded = cls.backward is Module.backward
        if "__call__" in vars(cls) and not cls._is_recorded:
            cls.__call__ = taking_tensors(cls.__call__)  # type: ignore[method-assign]
        if cls.__call__ in (Module.__call__, _call) and cls._is_recorded != (cls.__call__ is _call):
            cls.__call__ = _call if cls._is_recorded else Module.__call__  # type: ignore[method-assign]
        if cls.__setattr__ in (object.__setattr__, set_attribute):
            cls.__setattr__ = set_attribute if cls._is_recorded else object.__setattr__  # type: ignore[assignment]
            cls.__delattr__ = delete_attribute if cls._is_recorded else object.__delattr__  # type: ignore[assignment]

    def __init__(self, **params: np.ndarray) -> None:
        for name, value in params.items():
            if not isinstance(value, np.ndarray):
                raise TypeError(
                    f"{type(self).__name__}: {name}={validation.brief(value)} is not an array; expected parameters "
                    f"only; leave {name} out, or pass a NumPy array"
                )
            validation.plain(type(self).__name__, name, value)
        self._params: MutableMapping[str, np.ndarray] = params
        self._buffers: MutableMapping[str, np.ndarray] = {}
        self._training = True
        if self._is_recorded:
            self._params = AttributeArrays("params", self)
            self._buffers = AttributeArrays("buffers", self)
            for name, value in params.items():
                from .parameter import Parameter

                setattr(self, name, Parameter(value))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return the output for x and the cache for `backward`.

        x: input, float32 or float64, in a shape that the layer accepts
        """
        raise NotImplementedError(
            f"{type(self).__name__}: forward is missing; expected forward(x) -> (out, cache), or of a "
            f"class without backward forward(x) -> out, on Tensors"
        )

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        """Return the gradients with respect to x (None unless needed) and to each parameter.

        dout: gradient of the loss with respect to the output, in its shape
        cache: from `forward`
        need_dx: False to skip dx
        """
        raise NotImplementedError(
            f"{type(self).__name__}: backward is missing; expected backward(dout, cache, need_dx) -> (dx, grads)"
        )

    @signatures.checked
    def __call__(self, x: Any) -> Any:
        """Return the output for x: a Tensor for a Tensor, an array for an array.

        x: input, in a shape that `forward` accepts
        """
        if self._is_recorded:
            return _call(self, x)
        return call_layer(self, x) if is_tensor(x) else self.forward(x)[0]

    @signatures.checked
    def loss(self, X: np.ndarray, y: Any = None) -> Any:
        """Return the scores of X in eval mode if y is None, else the loss with its penalty and all gradients.

        X: input, any real dtype
        y: target of the loss function; labels (N,) for softmax_loss
        Returns scores, or (loss, dict of gradients by the names of `params`).
        """
        if y is None:
            with eval_mode():
                return self(X)
        taking = early.receiver(self)
        loss, grads = self._passes(X, y)
        if taking is not None:
            return loss + taking.finish(grads), grads
        if self.reg:
            names = self._penalized()
            weights = [self.params[name] for name in names]
            for name, weight in zip(names, weights, strict=True):
                grads[name] = arrays.contiguous(grads[name], weight.dtype)
            loss = loss + l2.weight_penalty(weights, [grads[name] for name in names], self.reg)
        return loss, grads

    def _passes(self, X: Any, y: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """The loss without its penalty, and the gradients."""
        if self._is_recorded:
            return recorded().passes(self, X, y)
        scores, cache = self.forward(X)
        loss, dscores = self.loss_function(scores, y)
        return loss, self.backward(dscores, cache, need_dx=False)[1]

    @property
    def params(self) -> MutableMapping[str, np.ndarray]:
        """The parameters by name: the arrays themselves, not copies.

        Assigning a dict of all parameters copies their values into the module. Raises ValueError if names or
        shapes differ.
        """
        return self._params

    @params.setter
    def params(self, values: Mapping[str, np.ndarray]) -> None:
        checked = all_fitting(f"{type(self).__name__}.params", "params", self._params, values)
        self._params.update(checked)

    @property
    def buffers(self) -> MutableMapping[str, np.ndarray]:
        """The state that is not trained, by name; can be assigned like `params`."""
        return self._buffers

    @buffers.setter
    def buffers(self, values: Mapping[str, np.ndarray]) -> None:
        checked = all_fitting(f"{type(self).__name__}.buffers", "buffers", self._buffers, values)
        self._buffers.update(checked)

    @property
    def resident(self) -> bool:
        """Whether the module can compute on arrays in GPU memory; True for fastnn's own modules.

        A custom layer that computes only with `fastnn` and the operators of arrays can override it with True. If a
        layer of a network calls NumPy, the arrays of the network stay in host memory.
        """
        if self._is_recorded:
            return all(child.resident for child in self.children())
        return is_ours(self)

    def to_device(self) -> "Module":
        """Move parameters and buffers to the device of the active backend. Returns the module.

        Otherwise every kernel call transfers them to the device and back.
        """
        return self._move(to_device)

    def to_host(self) -> "Module":
        """Move parameters and buffers to host memory, as NumPy arrays. Returns the module."""
        return self._move(to_numpy)

    @signatures.checked
    def to(self, device: Any = None) -> "Module":
        """Move the module as `to_device` does, in torch's form. Returns the module.

        device: ignored, since the switch of backends decides
        """
        if isinstance(device, (type, np.dtype)):
            raise TypeError(
                f"{type(self).__name__}.to: dtype {np.dtype(device)} cannot be changed; expected a device; pass dtype "
                f"to the layers"
            )
        return self.to_device()

    def _move(self, move: Callable) -> "Module":
        for child in self.children():
            child._move(move)
        for kind in ("params", "buffers"):
            for values, key in self._own(kind).values():
                values[key] = move(values[key])
        return self

    @signatures.checked
    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers with torch's names and layouts.

        "2.weight" is the weight of the layer at position 2, "2.0.weight" that of the first layer inside it. The weight
        of Linear has the layout (out, in). The state of Dropout, which torch does not have, is omitted.
        """
        return collect(self)

    @signatures.checked
    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Differences:
        """Load arrays in the form of `state_dict`, also a torch network's, as tensors on the CPU.

        values: arrays by name
        strict: require exactly the names of the module; False loads the names that both have
        Returns (missing_keys, unexpected_keys), both empty if strict. Raises KeyError for missing and unexpected names,
        ValueError for another shape, TypeError for something other than arrays; the module is then unchanged.
        """
        return restore(self, values, strict)

    @signatures.checked
    def save(self, name: str | os.PathLike) -> None:
        """Write parameters and buffers to a file, as data only.

        name: path; the format is HDF5 if it ends in .h5 or .hdf5; safetensors, with the names and layouts of
            `state_dict`, if it ends in .safetensors, for which the package of that name is needed; else npz
        """
        saving.save(self, name)

    @signatures.checked
    def load(self, name: str | os.PathLike) -> None:
        """Read what `save` wrote, or a torch network's safetensors, without executing anything in the file.

        name: path
        Raises ValueError if names or shapes differ from those of this module, or the file has another format; the
        module is then unchanged.
        """
        saving.load(self, name)

    @property
    def training(self) -> bool:
        """Whether the module is in training mode, the initial mode; see `train` and `eval`."""
        return self._training and not _evaluating.get()

    @signatures.checked
    def train(self, mode: bool = True) -> "Module":
        """Put the module and those inside it into training mode (or eval mode, for False). Returns the module."""
        if "fastnn.autograd" in sys.modules:
            sys.modules["fastnn.autograd"].tape.settle()
        self._training = validation.flag(f"{type(self).__name__}.train", "mode", mode)
        for child in self.children():
            child.train(mode)
        return self

    @signatures.checked
    def eval(self) -> "Module":
        """Put the module and those inside it into eval mode. Returns the module."""
        return self.train(False)

    @signatures.checked
    def apply(self, function: Callable) -> "Module":
        """Call a function for all modules inside this one, then for this one. Returns the module.

        function: function of a Module
        """
        arguments.function(f"{type(self).__name__}.apply", "function", function)
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def __repr__(self) -> str:
        return table.text(self) if self._is_recorded else f"{type(self).__name__}()"

    def _repr_html_(self) -> str | None:
        """Return the layers as a table for notebooks; None for a single layer, whose repr is a line."""
        return table.as_html(self) if self.named_children() else None


def shape_of(module: Module, x: Any) -> tuple[int, ...]:
    """The shape of the input of a layer."""
    return x.shape if isinstance(x, np.ndarray) else validation.array(repr(module), "x", x).shape


def check_input(module: Module, x: np.ndarray, *axes: int | str) -> None:
    """Check the shape of x, as in `check_input(self, x, "N", 3, "H", "W")`: axes given as numbers have that length."""
    shape = shape_of(module, x)
    fits = len(shape) == len(axes) and all(
        axis == length for axis, length in zip(axes, shape, strict=True) if isinstance(axis, int)
    )
    if not fits:
        raise ValueError(
            f"{module!r}: x.shape = {shape} does not fit; expected ({', '.join(map(str, axes))}); "
            f"check the input and the layer before this one"
        )
