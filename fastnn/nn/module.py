"""What every layer and every network is: a Module, with arrays under names."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn.arguments import unshared
from fastnn.devices import is_ours
from fastnn.kernels import to_device, to_numpy
from fastnn.kernels.dispatch import signatures, validation

from .named_arrays import all_fitting
from .state_dict import Differences, collect, restore

# arguments that, as objects, decide about nothing but the first values of parameters; some cannot be copied
_ONLY_AT_FIRST = ("seed", "generator", "init")
_CHECKED = {"__init__", "__call__", "forward", "backward"}  # of every layer, what the names of arguments are checked of

_evaluating: ContextVar[bool] = ContextVar("fastnn_evaluating", default=False)


@contextlib.contextmanager
def eval_mode() -> Iterator[None]:
    """Inside the block every Module is in eval mode, in this thread; its own mode stays."""
    token = _evaluating.set(True)
    try:
        yield
    finally:
        _evaluating.reset(token)


class Module:
    """A differentiable function with parameters: the base of all layers and networks.

        out, cache = module.forward(x)
        dx, grads = module.backward(dout, cache)         # grads has the keys of module.params

    What the backward pass needs travels in `cache`, never on the module, so that threads may share it. What a forward
    pass in training mode does leave behind, such as running statistics, is in `buffers`: a module with buffers is for
    one thread while it trains. A layer of your own derives from Module, hands its parameters to
    `super().__init__(name=array, ...)`, puts arrays that are not trained into `self.buffers`, and defines the two
    methods. Neither modifies its arguments, which out and dx may share memory with; gradients of parameters are arrays
    of their own.

    regularized: the names of the parameters on which weights are penalized
    transposed: the names of the parameters whose torch layout is the transpose
    non_persistent: the names of the buffers that torch does not have, and `state_dict` leaves out
    """

    regularized: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    non_persistent: tuple[str, ...] = ()
    _given: tuple[tuple, dict[str, Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _CHECKED & vars(cls).keys():
            setattr(cls, name, signatures.checked(vars(cls)[name]))
        if "__init__" in vars(cls):
            cls.__init__ = _remembering(cls.__init__)  # type: ignore[method-assign]

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

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """The output for x, and what `backward` needs to know about it."""
        raise NotImplementedError(f"{type(self).__name__}: forward is missing; expected forward(x) -> (out, cache)")

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        """Gradients of a loss with respect to x (None unless needed) and to each parameter, given dout = dloss/dout."""
        raise NotImplementedError(
            f"{type(self).__name__}: backward is missing; expected backward(dout, cache, need_dx) -> (dx, grads)"
        )

    @signatures.checked
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The output for x."""
        return self.forward(x)[0]

    @property
    def params(self) -> MutableMapping[str, np.ndarray]:
        """The parameters by name: the arrays themselves, not copies.

        Assigning a dict of all parameters copies their values into the module. ValueError where names or shapes differ.
        """
        return self._params

    @params.setter
    def params(self, values: Mapping[str, np.ndarray]) -> None:
        checked = all_fitting(f"{type(self).__name__}.params", "params", self._params, values)
        self._params.update(checked)

    @property
    def buffers(self) -> MutableMapping[str, np.ndarray]:
        """The arrays that are state but not trained, by name; assigned to as `params` are."""
        return self._buffers

    @buffers.setter
    def buffers(self, values: Mapping[str, np.ndarray]) -> None:
        checked = all_fitting(f"{type(self).__name__}.buffers", "buffers", self._buffers, values)
        self._buffers.update(checked)

    @property
    def resident(self) -> bool:
        """Whether the module computes on arrays in a GPU's memory: a module of fastnn's own does.

        A layer of yours that leaves all arithmetic to `fastnn` and to the arrays' operators may say True as well; with
        one that calls NumPy, a network keeps its arrays in the host's memory.
        """
        return is_ours(self)

    def to_device(self) -> "Module":
        """Move parameters and buffers to where the active backend computes, on cuda a GPU. Returns the module.

        Without it every call of a kernel moves them there and back.
        """
        return self._move(to_device)

    def to_host(self) -> "Module":
        """Move parameters and buffers to the host's memory, where they are arrays of NumPy's. Returns the module."""
        return self._move(to_numpy)

    def _move(self, move: Callable) -> "Module":
        for child in self.children():
            child._move(move)
        if not self.children():
            for arrays in (self._params, self._buffers):
                arrays.update({key: move(value) for key, value in arrays.items()})
        return self

    @signatures.checked
    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers under torch's names and in torch's layouts.

        "2.weight" is the weight of the layer at position 2, "2.0.weight" that of the first layer inside it. Linear's
        weight is (out, in) here. Dropout's state, which torch does not have, is left out.
        """
        return collect(self)

    @signatures.checked
    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> Differences:
        """Put arrays in the form of `state_dict` into the module; also a torch network's, as tensors on the CPU.

        strict: every name has to be there, and no other; else what the module and `values` share is taken
        Returns (missing_keys, unexpected_keys), both empty where strict. Raises KeyError for missing and unexpected
        names, ValueError for another shape, TypeError for what is no such array; nothing is then changed.
        """
        return restore(self, values, strict)

    @property
    def training(self) -> bool:
        """Whether the module is in training mode, as it is at first; see `train` and `eval`."""
        return self._training and not _evaluating.get()

    def named_children(self) -> dict[str, "Module"]:
        """The modules directly inside this one, by name. A module has these or arrays of its own, not both."""
        return {}

    def children(self) -> tuple["Module", ...]:
        """The modules directly inside this one."""
        return tuple(self.named_children().values())

    @signatures.checked
    def train(self, mode: bool = True) -> "Module":
        """Put the module and those inside it into training mode (or eval mode, for False). Returns the module."""
        self._training = validation.flag(f"{type(self).__name__}.train", "mode", mode)
        for child in self.children():
            child.train(mode)
        return self

    @signatures.checked
    def eval(self) -> "Module":
        """Put the module and those inside it into eval mode. Returns the module."""
        return self.train(False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _remembering(constructor: Callable) -> Callable:
    """The constructor, which leaves its arguments on the module: `fastnn.checkpoint.config` makes it anew from them."""

    @functools.wraps(constructor)
    def remembering(self: Module, *arguments: Any, **options: Any) -> None:
        if "_given" not in vars(self):  # else this is a base's constructor, called by that of the module's class
            given = unshared(options)
            kept = {name: value for name, value in given.items() if name not in _ONLY_AT_FIRST or _is_plain(value)}
            self._given = unshared(arguments), kept
        constructor(self, *arguments, **options)

    return remembering


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float, str, np.generic))


def shape_of(module: Module, x: Any) -> tuple[int, ...]:
    """The shape of what a layer was given."""
    return x.shape if isinstance(x, np.ndarray) else validation.array(repr(module), "x", x).shape


def check_input(module: Module, x: np.ndarray, *axes: int | str) -> None:
    """x has these axes, as in `check_input(self, x, "N", 3, "H", "W")`: a number is the length that it must have."""
    shape = shape_of(module, x)
    fits = len(shape) == len(axes) and all(
        axis == length for axis, length in zip(axes, shape, strict=True) if isinstance(axis, int)
    )
    if not fits:
        raise ValueError(
            f"{module!r}: x.shape = {shape} does not fit; expected ({', '.join(map(str, axes))}); "
            f"check the input and the layer before this one"
        )
