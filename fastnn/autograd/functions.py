"""Functions of Tensors: kernels, layers and losses as operations of the tape, and functions of several Tensors."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, signatures, validation

from . import arithmetic, operands, shapes
from .tensor import Tensor, operation, record, wrap


def function(forward: Callable, backward: Callable, name: str = "") -> Callable:
    """Return a function of Tensors, made of a forward and a backward pass.

        affine = autograd.function(layers.affine_forward, layers.affine_backward)
        out = affine(x, w, b)

    forward: function(*arguments, **options) -> (out, cache); it gets arrays in place of Tensors
    backward: function(dout, cache) -> the gradients of the first arguments, in their order: an array, or a tuple with
        None for those without; a parameter `need_dx` is passed False if the first argument needs no gradient.
        Gradients are new arrays, or share memory with dout only.
    name: what errors and pictures call it; by default that of `forward`, without `_forward`
    The function raises what forward and backward raise.
    """
    name = name or getattr(forward, "__name__", "function").removesuffix("_forward")
    takes_need_dx = _takes_need_dx(backward)

    def of_tensors(*arguments: Any, **options: Any) -> Tensor:
        out, cache = forward(*map(_data, arguments), **{key: _data(value) for key, value in options.items()})

        def gradients(dout: Any, needed: list[bool]) -> list[Any]:
            found = backward(dout, cache, **({"need_dx": needed[0]} if takes_need_dx else {}))
            found = list(found) if isinstance(found, (tuple, list)) else [found]
            return found + [None] * (len(needed) - len(found))

        return record(name, arguments, out, gradients)

    functools.update_wrapper(of_tensors, forward)
    return of_tensors


def apply(module: Any, x: Any, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return the output of a layer as a Tensor.

    module: a layer with `forward(x) -> (out, cache)` and `backward(dout, cache, need_dx) -> (dx, gradients)`
    x: its input, a Tensor or an array
    parameters: the Tensors, by the names of `module.params`, to whose `grad` the gradients are added; their data are
        the arrays in `module.params`. Without them only the gradient of x is passed on.
    """
    out, cache = module.forward(_data(x))
    names = tuple(parameters or ())
    takes_need_dx = _takes_need_dx(type(module).backward)

    def gradients(dout: Any, needed: list[bool]) -> list[Any]:
        dx, found = module.backward(dout, cache, **({"need_dx": needed[0]} if takes_need_dx else {}))
        return [dx, *(found[name] for name in names)]

    name = vars(module).get("title", type(module).__name__)
    return record(name, (x, *(parameters or {}).values()), out, gradients)


def loss(function: Callable, name: str = "") -> Callable:
    """Return a function of Tensors that computes a loss, as a scalar.

    function: function(scores, y, ...) -> (loss, dscores)
    name: what errors and pictures call it; by default that of `function`
    """
    name = name or getattr(function, "__name__", "loss")

    def of_tensors(scores: Any, *others: Any, **options: Any) -> Tensor:
        value, slope = function(_data(scores), *map(_data, others), **options)
        out = value.astype(slope.dtype) if arrays.is_on_device(value) else np.asarray(value, slope.dtype)
        gradients = (lambda dout: slope * arrays.on_same_device(dout, slope), *[None] * len(others))
        return record(name, (scores, *others), out, gradients, keeps="")

    functools.update_wrapper(of_tensors, function)
    return of_tensors


@signatures.checked
def grad(output: Tensor, inputs: Any, gradient: Any = None, retain_graph: bool = False) -> tuple[Tensor | None, ...]:
    """Return the gradients of a Tensor with respect to leaves, and add to nobody's `grad`; otherwise as `backward`.

    output: a Tensor; a scalar, unless gradient is given
    inputs: a leaf or a list of them; the result holds a gradient for each, None where output does not depend on it
    gradient: that of a loss with respect to output, in its shape
    retain_graph: keep the tape for another pass
    """
    wanted = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    for position, leaf in enumerate(wanted):
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"grad: inputs[{position}]={validation.brief(leaf)} is not a Tensor; expected leaves; pass Tensors "
                f"with requires_grad=True"
            )
        if not leaf.is_leaf:
            raise ValueError(
                f"grad: inputs[{position}] is the result of {leaf.grad_fn.name}; expected leaves; use "
                f"x = x.detach().requires_grad_() before the forward pass"
            )
    found = output._gradients(gradient, retain_graph)
    return tuple(wrap(found[leaf]) if leaf in found else None for leaf in wanted)


@functools.cache
def _takes_need_dx(backward: Callable) -> bool:
    return "need_dx" in inspect.signature(backward).parameters


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


# ---- several Tensors ----

where = operation(arithmetic.where, 3)


@signatures.checked
def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Return Tensors joined along an axis.

    tensors: of equal lengths but on that axis
    dim: the axis
    """
    given = _several("cat", tensors)
    values = [_data(one) for one in given]
    try:
        out, gradients = shapes.cat(values, dim)
    except (ValueError, IndexError) as error:
        raise type(error)(operands.misfit("cat", values, (), {"dim": dim}, error)) from None
    return record("cat", given, out, gradients, keeps="")


@signatures.checked
def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Return Tensors joined along a new axis.

    tensors: of one shape
    dim: the new axis
    """
    return cat([one.unsqueeze(dim) for one in _several("stack", tensors)], dim)


def _several(name: str, tensors: Any) -> list[Any]:
    if not isinstance(tensors, (tuple, list)) or not tensors or not all(isinstance(one, Tensor) for one in tensors):
        raise TypeError(
            f"{name}: tensors={validation.brief(tensors)} is not a list of Tensors; expected at least one; pass a list "
            f"or tuple of Tensors"
        )
    operands.one_device(name, [one.data for one in tensors])
    return list(tensors)
