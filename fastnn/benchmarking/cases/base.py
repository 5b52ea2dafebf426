"""What a case is, and what all of them share: inputs, and PyTorch's calls with gradients by its autograd."""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

Arrays = dict[str, np.ndarray]
Calls = dict[str, Callable[[], Any]]

REFERENCE = "vectorized"  # the backend that computes what a backward pass needs of the forward pass


@dataclasses.dataclass(frozen=True)
class Case(abc.ABC):
    """An operation on arrays of given shapes, as calls without arguments: one for each pass.

    Passes are "forward" and "backward"; "loss" where the value and its gradient come from one call; "update".
    x: shape of what goes in, images first: the naive loops are timed on fewer of them where they would take too long
    headline: one of the few that `fastnn bench` times when nothing is chosen
    whole: the naive loops are timed on all images, however long it takes
    slow: the naive loops take minutes for a single image
    """

    operation: ClassVar[str]
    passes: ClassVar[tuple[str, ...]] = ("forward", "backward")
    random_peer: ClassVar[tuple[str, ...]] = ()  # passes in which PyTorch draws numbers of its own

    x: tuple[int, ...]
    headline: bool = dataclasses.field(default=False, kw_only=True)
    whole: bool = dataclasses.field(default=False, kw_only=True)
    slow: bool = dataclasses.field(default=False, kw_only=True)

    @property
    @abc.abstractmethod
    def function(self) -> str:
        """The kernels' name of it, without _forward and _backward."""

    @property
    def name(self) -> str:
        """Short, and no other case's."""
        return f"{self.function} {self.size}"

    @property
    def size(self) -> str:
        return "x".join(map(str, self.x))

    @abc.abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays that are drawn."""

    def inputs(self, dtype: Any) -> Arrays:
        """What the calls compute with, the same every time."""
        generator = np.random.default_rng(0)
        return {name: normals(generator, shape, dtype) for name, shape in self.shapes().items()}

    @abc.abstractmethod
    def calls(self, arrays: Arrays) -> Calls:
        """Each pass, on the backend that is active when it is called."""

    def torch_calls(self, arrays: Arrays) -> Calls:
        """Each pass as PyTorch does the same work; without those that it has not."""
        return {}

    @abc.abstractmethod
    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """A pass's floating-point operations and "FLOP/s", or the bytes that it must read and write and "B/s"."""

    def terms(self) -> int:
        """Products in the longest sum of any pass: what the tolerance follows from."""
        return 1

    @abc.abstractmethod
    def tiny(self) -> Self:
        """The same operation on arrays so small that the naive loops take milliseconds."""


def normals(generator: np.random.Generator, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Standard normal numbers, rounded to sixteenths.

    So sums of their products are exact in float32 too, and maxima, kinks and ties the same whoever computes them.
    """
    return (np.rint(generator.standard_normal(shape) * 16) / 16).astype(dtype)


def size(*shapes: Sequence[int]) -> int:
    """The elements of arrays of these shapes."""
    return sum(map(math.prod, shapes))


def differentiated(function: Callable[..., Any], arrays: Arrays, leaves: Sequence[str]) -> Calls:
    """A function of PyTorch tensors, forward without and backward with its graph, given dout.

    The backward pass returns the gradients of the leaves, which are the function's arguments.
    """
    import torch

    tensors = [torch.from_numpy(arrays[name]) for name in leaves]
    parameters = [tensor.clone().requires_grad_() for tensor in tensors]
    out, dout = function(*parameters), torch.from_numpy(arrays["dout"])

    def forward():
        with torch.no_grad():
            return function(*tensors)

    return {
        "forward": forward,
        "backward": lambda: torch.autograd.grad(out, parameters, dout, retain_graph=True),
    }


def loss_and_gradient(function: Callable[[Any], Any], array: np.ndarray) -> Callable[[], Any]:
    """A loss of one PyTorch tensor, with its gradient."""
    import torch

    parameter = torch.from_numpy(array).clone().requires_grad_()

    def call():
        loss = function(parameter)
        return loss.detach(), *torch.autograd.grad(loss, [parameter])

    return call
