"""The tape: a node for every operation, and the walk back from a result to the leaves.

A node holds the inputs of its operation, as nodes or as leaf Tensors, and the functions that turn the gradient of its
result into those of its inputs. It holds no result, so nodes only refer to older ones: there are no reference cycles,
and an array is freed as soon as nobody needs it.
"""

import contextlib
import heapq
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, signatures

_recording: ContextVar[bool] = ContextVar("fastnn_recording", default=True)  # threads begin with the default
_anomaly: ContextVar[bool] = ContextVar("fastnn_anomaly", default=False)
_waiting: ContextVar[list | None] = ContextVar("fastnn_waiting", default=None)
_numbers = itertools.count()


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing in this thread during the block or, as a decorator, during a call: `@no_grad()`."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


@contextlib.contextmanager
def enable_grad() -> Iterator[None]:
    """Record again, inside `no_grad`."""
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise FloatingPointError as soon as an operation makes a NaN or an infinity, forward or backward, and name it.

    Each result is searched, which takes time, and on a GPU waits for it.
    """
    token = _anomaly.set(True)
    try:
        yield
    finally:
        _anomaly.reset(token)


is_grad_enabled = _recording.get
detects_anomaly = _anomaly.get


@contextlib.contextmanager
def deferring() -> Iterator[None]:
    """Let layers wait for the next layer during the block; see `nn.deferred`."""
    if _waiting.get() is not None:
        yield
        return
    todo: list = []
    token = _waiting.set(todo)
    try:
        yield
        settle()
    finally:
        todo.clear()  # what waits refers to this list
        _waiting.reset(token)


waiting = _waiting.get  # a list of what waits, with a method `compute`; None outside `deferring`


def settle() -> None:
    """Compute what waits, before something changes that it depends on."""
    while todo := _waiting.get():
        todo[-1].compute()


Gradients = tuple[Callable | None, ...] | Callable  # a function of dout for each input, or one for all


class Node:
    """One operation on the tape.

    number: nodes are numbered as they are made, so inputs have smaller numbers
    inputs: for each input its Node, or the Tensor itself if it is a leaf, or None if it needs no gradient
    gradients: a function of dout for each input; or one, `f(dout, needed)`, that returns the gradients of all
    versions: the version counters of the arrays that `gradients` reads, with their values when the node was made
    broadcasts: whether inputs were broadcast, so that their gradients must be summed
    """

    __slots__ = ("broadcasts", "dtype", "gradients", "inputs", "name", "number", "origin", "shape", "versions")

    def __init__(
        self, name: str, inputs: tuple, out: Any, gradients: Any, counters: Sequence[list[int]], broadcasts: bool
    ) -> None:
        self.number, self.name, self.inputs, self.gradients = next(_numbers), name, inputs, gradients
        self.shape, self.dtype, self.broadcasts = out.shape, out.dtype, broadcasts
        self.versions = [(counter, counter[0]) for counter in counters]
        self.origin = f", recorded in {_caller()}" if _anomaly.get() else ""

    def pull(self, dout: Any) -> Sequence[Any]:
        """Return the gradients of the inputs, given that of the result; None where none is needed."""
        for counter, version in self.versions:
            if counter[0] != version:
                raise RuntimeError(
                    f"backward: an array that {self.name} needs was overwritten {counter[0] - version} times after "
                    f"{self.name} was computed; expected the values of the forward pass; change arrays after backward, "
                    f"or change a copy"
                )
        needed = [target is not None for target in self.inputs]
        if not isinstance(self.gradients, tuple):
            return self.gradients(dout, needed)
        return [function(dout) if need else None for function, need in zip(self.gradients, needed, strict=True)]

    def free(self) -> None:
        """Drop inputs and arrays; `gradients` is None from now on."""
        self.inputs, self.gradients, self.versions = (), None, []


@signatures.quiet
def run(
    root: Any,
    gradient: Any,
    retain_graph: bool,
    leaves: dict[Any, Any] | None = None,
    done: Callable[[Any, Any], None] | None = None,
) -> dict[Any, Any]:
    """Walk from a node or leaf back to all leaves; return their gradients, by leaf.

    leaves: gradients from what was computed after the root, to which these are added
    done: called with a leaf and its gradient when nothing will be added to this any more
    The newest node comes first, so all that used its result have been visited.
    """
    if not isinstance(root, Node):
        return {root: arrays.copy(gradient, order="C")}
    gradients: dict[Any, Any] = {root: gradient}
    leaves = {} if leaves is None else leaves
    uses = Counter(target for node in nodes(root) for target in getattr(node, "inputs", ())) if done else Counter()
    if done is not None:
        for target in [target for target in leaves if not uses[target]]:
            done(target, leaves[target])
    waiting = [(-root.number, root)]
    while waiting:
        node = heapq.heappop(waiting)[1]
        dout = gradients.pop(node)
        if node.gradients is None:
            raise RuntimeError(
                f"backward: the tape of {node.name} was freed by an earlier backward; expected a new forward pass for "
                f"every backward; compute the loss again, or pass retain_graph=True to the first backward"
            )
        for target, found in zip(node.inputs, _checked(node, dout, node.pull(dout)), strict=True):
            if not isinstance(target, Node):
                if target is not None:
                    _add_to_leaf(leaves, target, found, dout)
            elif target in gradients:
                gradients[target] = gradients[target] + found
            else:
                gradients[target] = found
                heapq.heappush(waiting, (-target.number, target))
        if done is not None:
            uses.subtract(node.inputs)
            for target in dict.fromkeys(target for target in node.inputs if target in leaves and not uses[target]):
                done(target, leaves[target])
        if not retain_graph:
            node.free()
        del node, dout, target, found  # the last references, before the next node computes
    return leaves


def _add_to_leaf(leaves: dict[Any, Any], leaf: Any, gradient: Any, dout: Any) -> None:
    """Add to the gradient of a leaf, which is in an array of its own."""
    if leaf in leaves:
        leaves[leaf] += gradient
    else:  # x + y passes dout itself on, x.sum() a read-only view of one number
        if type(gradient) is type(dout) is np.ndarray and gradient.flags.owndata and dout.flags.owndata:
            own = gradient is not dout and gradient.flags.carray
        else:
            own = arrays.is_plain(gradient) and not arrays.may_share_memory(gradient, dout)
        leaves[leaf] = gradient if own else arrays.copy(gradient, order="C")


def _checked(node: Node, dout: Any, gradients: Sequence[Any]) -> list[Any]:
    """Bring the gradients to the shapes and dtypes of the inputs."""
    checked: list[Any] = []
    for position, (target, gradient) in enumerate(itertools.zip_longest(node.inputs, gradients)):
        if target is None:
            checked += [None] if position < len(node.inputs) else []
            continue
        like = target if isinstance(target, Node) else target.data
        if gradient is None or (gradient.shape != like.shape and not node.broadcasts):
            found = "no gradient" if gradient is None else f"a gradient of shape {gradient.shape}"
            raise ValueError(
                f"backward: {node.name} gave {found} for input {position}; expected the shape {like.shape} of the "
                f"input; correct the backward function of {node.name}"
            )
        if gradient.shape != like.shape:
            gradient = unbroadcast(gradient, like.shape)
        if gradient.dtype != like.dtype:
            gradient = gradient.astype(like.dtype)
        if _anomaly.get() and is_finite(dout) and not is_finite(gradient):
            raise FloatingPointError(
                f"backward: {node.name} made a NaN or infinity in the gradient of input {position} of shape "
                f"{like.shape}{node.origin}; expected finite numbers; keep its inputs away from where its derivative "
                f"is infinite"
            )
        checked.append(gradient)
    return checked


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum the gradient of a broadcast array over the axes that broadcasting added or stretched: the gradient of shape.

    An array of shape (3, 1) that meets one of shape (2, 3, 4) is read 8 times per element; the gradients add up.
    """
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    stretched = (axis + added for axis, length in enumerate(shape) if length == 1)
    return gradient.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)


def is_finite(array: Any) -> bool:
    """Whether no element is NaN or infinite, of an array or a number."""
    array = array if hasattr(array, "dtype") else np.asarray(array)
    return array.dtype.kind != "f" or bool(arrays.to_numpy(arrays.module(array).isfinite(array).all()))


def check_result(name: str, given: Sequence[Any], out: Any) -> None:
    """Raise FloatingPointError if an operation made a NaN or infinity from finite arrays."""
    if is_finite(out) or not all(map(is_finite, given)):
        return
    shapes = ", ".join(str(array.shape) for array in given if hasattr(array, "shape"))
    raise FloatingPointError(
        f"{name}: the result contains NaN or infinity, made from finite inputs of shape {shapes} in {_caller()}; "
        f"expected finite numbers; check the range of the inputs"
    )


def _caller() -> str:
    """The line outside fastnn that is being run."""
    frame: Any = sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(("fastnn.", "contextlib.")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}, line {frame.f_lineno}"


def nodes(root: Any) -> list[Any]:
    """Return the nodes and leaves that a node leads to, newest first, then the leaves."""
    seen, stack = {root: None}, [root]
    while stack:
        for target in getattr(stack.pop(), "inputs", ()):
            if target is not None and target not in seen:
                seen[target] = None
                stack.append(target)
    made = sorted((one for one in seen if isinstance(one, Node)), key=lambda node: -node.number)
    return [*made, *(one for one in seen if not isinstance(one, Node))]
