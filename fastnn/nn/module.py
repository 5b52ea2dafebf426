"""What every layer and every network is: a Module, with parameters under names, and no memory between calls."""

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn.kernels import checks

_evaluating: ContextVar[bool] = ContextVar("fastnn_evaluating", default=False)


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
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

    What the backward pass needs travels in `cache`, never on the module, so that threads may share it. A layer of your
    own derives from Module, hands its arrays to `super().__init__(name=array, ...)` and defines the two methods; both
    return arrays of their own, which the caller may modify.
    """

    regularized: tuple[str, ...] = ()  # the names of the parameters on which weights are penalized

    def __init__(self, **params: np.ndarray) -> None:
        self._params: MutableMapping[str, np.ndarray] = params
        self._training = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """The output for x, and what `backward` needs to know about it."""
        raise NotImplementedError(f"{type(self).__name__}: forward is missing; expected forward(x) -> (out, cache)")

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        """Gradients of a loss with respect to x (None unless needed) and to each parameter, given dout = dloss/dout."""
        raise NotImplementedError(
            f"{type(self).__name__}: backward is missing; expected backward(dout, cache, need_dx) -> (dx, grads)"
        )

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
        checked = checked_params(f"{type(self).__name__}.params", self._params, values)
        for name, value in checked.items():
            self._params[name] = value

    @property
    def training(self) -> bool:
        """Whether the module is in training mode, as it is at first; see `train` and `eval`."""
        return self._training and not _evaluating.get()

    def children(self) -> tuple["Module", ...]:
        """The modules directly inside this one."""
        return ()

    def train(self, mode: bool = True) -> "Module":
        """Put the module and those inside it into training mode (or eval mode, for False). Returns the module."""
        self._training = bool(mode)
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> "Module":
        """Put the module and those inside it into eval mode. Returns the module."""
        return self.train(False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Parameters(MutableMapping):
    """The parameters of several modules as one dict: each name stands for a key of a module's own dict.

    Reading gives the module's array itself; assigning puts a copy, in the parameter's dtype, into the module. No name
    can be added or removed. Raises KeyError for an unknown name, ValueError for another shape.
    """

    def __init__(self, places: dict[str, tuple[MutableMapping[str, np.ndarray], str]]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> np.ndarray:
        params, key = self._place(name)
        return params[key]

    def __setitem__(self, name: str, value: Any) -> None:
        params, key = self._place(name)
        params[key] = _checked_param("params", name, params[key], value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be removed; expected every parameter to stay; assign to it instead")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        lines = (f"{name!r}: {value.dtype} {value.shape}" for name, value in self.items())
        return f"{{{', '.join(lines)}}}"

    def _place(self, name: str) -> tuple[MutableMapping[str, np.ndarray], str]:
        if name not in self._places:
            raise KeyError(
                f"params: there is no parameter {name!r}; expected one of {list(self._places)}"
                f"{checks.suggestion(name, self._places)}"
            )
        return self._places[name]


def checked_params(
    function: str, params: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Copies of `values` in the dtypes of `params`; ValueError where the names or a shape differ."""
    values = checks.keys(function, "params", values, required=params)
    return {name: _checked_param(function, name, params[name], values[name]) for name in params}


def _checked_param(function: str, name: str, current: np.ndarray, value: Any) -> np.ndarray:
    if np.shape(value) != current.shape:
        raise ValueError(
            f"{function}: {name!r} has shape {np.shape(value)}; expected {current.shape}, the shape of the parameter; "
            f"pass the parameters of a model of the same sizes"
        )
    return np.array(value, dtype=current.dtype, order="C")


def check_input(module: Module, x: np.ndarray, *axes: int | str) -> None:
    """x has these axes, as in `check_input(self, x, "N", 3, "H", "W")`: a number is the length that it must have."""
    shape = np.shape(x)
    fits = len(shape) == len(axes) and all(
        axis == length for axis, length in zip(axes, shape, strict=True) if isinstance(axis, int)
    )
    if not fits:
        raise ValueError(
            f"{module!r}: x.shape = {shape} does not fit; expected ({', '.join(map(str, axes))}); "
            f"check the input and the layer before this one"
        )
