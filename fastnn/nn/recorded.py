"""Modules that define only `forward`: calls with Tensors and arrays, and the passes of training.

The modules are those whose class does not define `backward`; `Module` calls these functions for them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.autograd import Tensor, enable_grad, no_grad, tape, tensor
from fastnn.kernels.dispatch import arrays, validation

from . import deferred, early

# ---- calls ----


def call(module: Any, *inputs: Any, **options: Any) -> Any:
    """`module(...)`: Tensors give Tensors, recorded; arrays give arrays, and nothing is recorded."""
    given = (*inputs, *options.values())
    if any(isinstance(x, Tensor) for x in given):
        with tape.deferring():
            return _checked(module, module.forward(*inputs, **options))
    placed = _placed(module) if arrays.computes_on_gpu() else contextlib.nullcontext()
    with no_grad(), placed, tape.deferring():
        made = [_tensor(module, x) for x in inputs]
        out = _checked(module, module.forward(*made, **{key: _tensor(module, x) for key, x in options.items()}))
    on_host = not any(map(arrays.is_on_device, given))
    return _unwrapped(out, on_host)


def call_layer(module: Any, x: Tensor) -> Tensor:
    """`module(x)` for a Tensor and a module with both passes: one operation of the tape, or part of one."""
    out = deferred.call(module, x)
    return deferred.compute(module, x) if out is None else out


@contextlib.contextmanager
def _placed(module: Any) -> Iterator[None]:
    """Have the arrays of a module where Tensors are: if cuda is active and some are not on the GPU, for this block."""
    values = (*module.params.values(), *module.buffers.values())
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
    dtype = x.dtype
    for store, key in module.params.places.values():
        dtype = store[key].dtype
        break
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


def passes(module: Any, x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
    """Return the loss without its penalty, and the gradients of all parameters."""
    given, is_outermost = _tensor(module, validation.array(type(module).__name__, "X", x)), tape.waiting() is None
    with _recording(module):
        out = module.forward(given)
        is_waiting = is_outermost and type(out) is deferred.Deferred
        found = deferred.affine_loss(module, given, out, y) if is_waiting else None
        if found is not None:
            del out
            deferred.forget()
    if found is None:
        scores, cache = _result(module, x, given, out)
        loss, dscores = module.loss_function(scores, y)
        return loss, backward(module, dscores, cache, False)[1]
    loss, leaves, first, dx = found
    if dx is not None:
        take = _taking(module, early.receiver_of_layers(module, type(module).backward))
        tape.run(first.grad_fn, dx, False, leaves, take)
    return loss, {name: _gradient(leaves, one) for name, one in module._tensors().items()}


def forward(module: Any, x: Any, need_dx: bool) -> tuple[Any, Any]:
    """Return the output for an array x, and the cache for `backward`: the Tensors of x and of the output."""
    given = _tensor(module, validation.array(type(module).__name__, "X", x))
    if need_dx and given.dtype.kind == "f":
        given.requires_grad = True
    with _recording(module):
        out = module.forward(given)
    return _result(module, x, given, out)


@contextlib.contextmanager
def _recording(module: Any) -> Iterator[None]:
    placed = _placed(module) if arrays.computes_on_gpu() else contextlib.nullcontext()
    with enable_grad(), placed, tape.deferring():
        yield


def _result(module: Any, x: Any, given: Tensor, out: Any) -> tuple[Any, Any]:
    """Check what a module returned; return its array, in the memory of x, and the cache for `backward`."""
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
        root, taking = out if out.is_leaf else out.grad_fn, early.receiver_of_layers(module, type(module).backward)
        found = tape.run(root, dout.astype(out.dtype, copy=False), False, done=_taking(module, taking))
    grads = {name: _gradient(found, one) for name, one in module._tensors().items()}
    return arrays.on_same_device(_gradient(found, given), like) if need_dx else None, grads


def _taking(module: Any, taking: early.Receiver | None) -> Callable[[Any, Any], None] | None:
    """What to do with the gradient of a leaf as soon as it is complete."""
    if taking is None:
        return None
    names = {id(one): name for name, one in module._tensors().items()}

    def take(leaf: Any, gradient: Any) -> None:
        if id(leaf) in names:
            taking.receive({names[id(leaf)]: gradient})

    return take


def _gradient(found: dict[Any, Any], leaf: Tensor) -> Any:
    """The gradient of a leaf, in its memory."""
    gradient, data = found.get(leaf), leaf.data
    if type(gradient) is type(data) is np.ndarray:
        return gradient
    return arrays.zeros(data.shape, data) if gradient is None else arrays.on_same_device(gradient, data)
