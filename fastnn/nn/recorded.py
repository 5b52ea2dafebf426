"""Modules that define only `forward`: their arrays, calls with Tensors and arrays, and the passes of training.

The modules are those whose class does not define `backward`; `Module` calls these functions for them.
"""

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.autograd import Tensor, apply, enable_grad, is_grad_enabled, no_grad, tape, tensor
from fastnn.kernels.dispatch import arrays, validation

from .named_arrays import NamedArrays
from .parameter import Buffer, Parameter, structure

Entries = dict[str, tuple[MutableMapping[str, Any], str]]


class AttributeArrays(NamedArrays):
    """The parameters or buffers of a module and of those in its attributes; collected again after a change of these.

    tensors: the Parameters by name; none for buffers
    """

    def __init__(self, kind: str, module: Any) -> None:
        self._kind, self._module, self._at = kind, module, -1
        self._found: Entries = {}
        self._tensors: dict[str, Parameter] = {}

    @property
    def _entries(self) -> Entries:  # type: ignore[override]
        if self._at != structure[0]:
            at = structure[0]
            if self._kind == "params":
                self._tensors = _parameters(self._module)
                self._found = {name: (one._store, one._key) for name, one in self._tensors.items()}
            else:
                self._found = _buffers(self._module)
            self._at = at
        return self._found

    @property
    def tensors(self) -> dict[str, Parameter]:
        return self._tensors if self._entries else {}

    def mark_changed(self) -> None:
        """Say that the arrays were overwritten; see `Tensor.mark_changed`."""
        for one in self.tensors.values():
            one.mark_changed()


def own(module: Any, kind: str) -> dict[str, Any]:
    """The Parameters or Buffers in the attributes of a module."""
    wanted = Parameter if kind == "params" else Buffer
    return {name: value for name, value in vars(module).items() if isinstance(value, wanted)}


def _parameters(module: Any) -> dict[str, Parameter]:
    """The Parameters of a module and of those inside it, each under its first name."""
    found: dict[Parameter, str] = {}
    for name, one in own(module, "params").items():
        found.setdefault(one, name)
    for name, child in module.named_children().items():
        for key, one in child._tensors().items():
            found.setdefault(one, f"{name}.{key}")
    return {name: one for one, name in found.items()}


def _buffers(module: Any) -> Entries:
    """The entries of the buffers of a module and of those inside it, each under its first name."""
    found: Entries = {name: (one._store, one._key) for name, one in own(module, "buffers").items()}
    for name, child in module.named_children().items():
        found.update({f"{name}.{key}": entry for key, entry in entries(child.buffers).items()})
    names: dict[tuple[int, str], str] = {}
    for name, (store, key) in found.items():
        names.setdefault((id(store), key), name)
    return {name: found[name] for name in names.values()}


def entries(values: MutableMapping[str, Any]) -> Entries:
    """The dicts that hold the arrays of `values`, and their keys there."""
    if not isinstance(values, NamedArrays):
        return {key: (values, key) for key in values}
    found = {}
    for name, (store, key) in values._entries.items():
        found[name] = entries(store)[key] if isinstance(store, NamedArrays) else (store, key)
    return found


# ---- calls ----


def call(module: Any, *inputs: Any, **options: Any) -> Any:
    """`module(...)`: Tensors give Tensors, recorded; arrays give arrays, and nothing is recorded."""
    given = (*inputs, *options.values())
    if any(isinstance(x, Tensor) for x in given):
        return _checked(module, module.forward(*inputs, **options))
    with no_grad(), _placed(module):
        made = [_tensor(module, x) for x in inputs]
        out = _checked(module, module.forward(*made, **{key: _tensor(module, x) for key, x in options.items()}))
    on_host = not any(map(arrays.is_on_device, given))
    return _unwrapped(out, on_host)


def call_layer(module: Any, x: Tensor) -> Tensor:
    """`module(x)` for a Tensor and a module with both passes: one operation of the tape."""
    named = module._tensors()
    if is_grad_enabled() and (x.requires_grad or any(one.requires_grad for one in named.values())):
        return apply(module, x, named)
    return Tensor(module(x.data))


@contextlib.contextmanager
def _placed(module: Any) -> Iterator[None]:
    """Have the arrays of a module where Tensors are: if cuda is active and some are not on the GPU, for this block."""
    values = (*module.params.values(), *module.buffers.values()) if arrays.computes_on_gpu() else ()
    if all(map(arrays.is_on_device, values)):
        yield
        return
    module.to_device()
    try:
        yield
    finally:
        module.to_host()


def _tensor(module: Any, x: Any) -> Any:
    """An input of a module as a Tensor: floats and bytes in the dtype of the parameters."""
    if not (isinstance(x, (np.ndarray, list)) or arrays.is_on_device(x)):
        return x
    x = validation.array(type(module).__name__, "x", x)
    dtype = next((one.dtype for one in module.params.values()), x.dtype)
    return tensor(x, dtype) if x.dtype != dtype and (x.dtype.kind == "f" or x.dtype == np.uint8) else Tensor(x)


def _unwrapped(out: Any, on_host: bool) -> Any:
    if isinstance(out, Tensor):
        return arrays.to_numpy(out.data) if on_host else out.data
    if isinstance(out, dict):
        return {key: _unwrapped(one, on_host) for key, one in out.items()}
    return type(out)(_unwrapped(one, on_host) for one in out)


def _checked(module: Any, out: Any) -> Any:
    """Raise TypeError unless a module returned a Tensor, or a tuple, list or dict of them."""
    parts = out.values() if isinstance(out, dict) else out if type(out) in (tuple, list) else (out,)
    for part in parts:
        if type(part) in (tuple, list, dict):
            _checked(module, part)
        elif not isinstance(part, Tensor):
            name, place = type(module).__name__, "" if part is out else " inside its result"
            raise TypeError(
                f"{name}: forward returned {validation.brief(part)}{place}; expected a Tensor, since {name} has no "
                f"backward; compute with Tensors and return one, or define backward(dout, cache) as well"
            )
    return out


# ---- training ----


def forward(module: Any, x: Any, need_dx: bool) -> tuple[Any, Any]:
    """Return the output for an array x, and the cache for `backward`: the Tensors of x and of the output."""
    given = _tensor(module, x)
    if need_dx and given.dtype.kind == "f":
        given.requires_grad = True
    with enable_grad(), _placed(module):
        out = module.forward(given)
    if not isinstance(out, Tensor):
        _checked(module, (out,) if type(out) in (tuple, list, dict) else out)
        raise TypeError(
            f"{type(module).__name__}: forward returned a {type(out).__name__} of Tensors; expected one Tensor, the "
            f"scores; return one, or compute the loss in a training loop of your own"
        )
    return (out.data if arrays.is_on_device(x) else arrays.to_numpy(out.data)), (given, out)


def backward(module: Any, dout: Any, cache: Any, need_dx: bool) -> tuple[Any, dict[str, Any]]:
    """Return the gradients of x (None unless needed) and of all parameters; 0 for those that were not used."""
    given, out = arguments.cache(f"{type(module).__name__}.backward", cache, 2)
    like = dout
    found: dict[Any, Any] = {}
    if out.requires_grad:
        dout = arrays.on_same_device(validation.array("backward", "dout", dout), out.data)
        validation.shape("backward", "dout", dout, out.shape)
        found = tape.run(out if out.is_leaf else out.grad_fn, dout.astype(out.dtype, copy=False), False)
    grads = {name: _gradient(found, one) for name, one in module._tensors().items()}
    return arrays.on_same_device(_gradient(found, given), like) if need_dx else None, grads


def _gradient(found: dict[Any, Any], leaf: Tensor) -> Any:
    """The gradient of a leaf, in its memory."""
    gradient, data = found.get(leaf), leaf.data
    return arrays.zeros(data.shape, data) if gradient is None else arrays.on_same_device(gradient, data)
