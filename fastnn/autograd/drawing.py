"""A picture of a tape."""

import os
from collections.abc import Mapping
from typing import Any

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation

from . import tape
from .tensor import Tensor


@signatures.checked
def draw(loss: Tensor, path: str | os.PathLike | None = None, names: Mapping[str, Tensor] | None = None) -> Any:
    """Draw the tape of a Tensor: its operations and leaves, from the top down, with their shapes.

    loss: a Tensor with a tape
    path: a file in the format of its suffix, such as .svg and .png
    names: leaves by name, which are then drawn under it
    Constants are not on the tape. Draw before `backward`, which frees the tape. Returns the Figure. Raises TypeError if
    loss is not a Tensor, ValueError if it has no tape.
    """
    path = arguments.path_or_none("draw", "path", path)
    if not isinstance(loss, Tensor):
        raise TypeError(f"draw: loss={validation.brief(loss)} is not a Tensor; expected one with a tape; pass a loss")
    if loss.grad_fn is None or loss.grad_fn.gradients is None:
        raise ValueError(
            f"draw: loss, of shape {loss.shape}, has no tape; expected the result of operations on a leaf with "
            f"requires_grad=True; draw after the forward pass and before backward"
        )
    known = {id(leaf): name for name, leaf in arguments.mapping("draw", "names", names or {}, "Tensors").items()}
    boxes = tape.nodes(loss.grad_fn)
    places = {box: position for position, box in enumerate(boxes)}
    labels = [(getattr(box, "name", "") or known.get(id(box), "leaf"), box.shape) for box in boxes]
    inputs = [[places[one] for one in getattr(box, "inputs", ()) if one is not None] for box in boxes]

    from fastnn.vis_utils.tape import draw_tape

    return draw_tape(labels, inputs, path)
