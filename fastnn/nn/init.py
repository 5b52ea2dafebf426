"""Weight initialisers: `initialiser(shape, *, seed=None, dtype=np.float32) -> array`, with seeds as in `fastnn.rng`.

Pass one, or its name, as the `init` of a layer; bind options with `functools.partial(init.normal, std=1e-3)`. fan_in
is the number of inputs of an output, fan_out the number of outputs of an input.

`kaiming_normal_`, `constant_` and the others that end in an underscore fill a Tensor in place, with torch's arguments:

    nn.init.kaiming_normal_(layer.weight)
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import arrays, signatures, validation


@signatures.checked
def kaiming_normal(
    shape: tuple[int, ...], *, seed: Any = None, dtype: Any = np.float32, slope: float = 0.0, mode: str = "fan_in"
) -> np.ndarray:
    """Normal with variance 2 / ((1 + slope^2) * fan), for layers before a ReLU (slope 0) or a leaky ReLU.

    shape: of weights (D, M) or filters (F, C, KH, KW)
    seed: source of random numbers, see `fastnn.rng`
    dtype: float32 or float64
    slope: of the leaky ReLU
    mode: "fan_in" keeps the size of the values on the way forward, "fan_out" that of the gradients on the way back.
    Returns an array of that shape.
    Source: He, Zhang, Ren & Sun, Delving deep into rectifiers (2015), section 2.2.
    """
    shape, chosen = _checked("kaiming_normal", shape, dtype)
    return normal(shape, seed=seed, dtype=chosen, std=_kaiming_std("kaiming_normal", shape, slope, mode))


@signatures.checked
def kaiming_uniform(
    shape: tuple[int, ...], *, seed: Any = None, dtype: Any = np.float32, slope: float = 0.0, mode: str = "fan_in"
) -> np.ndarray:
    """Uniform with mean 0 and the variance of `kaiming_normal`; arguments and results as of `kaiming_normal`."""
    shape, chosen = _checked("kaiming_uniform", shape, dtype)
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform", shape, slope, mode)
    return rng.generator(seed).uniform(-bound, bound, shape).astype(chosen)


@signatures.checked
def xavier_normal(
    shape: tuple[int, ...], *, seed: Any = None, dtype: Any = np.float32, gain: float = 1.0
) -> np.ndarray:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out), for layers before a tanh or a sigmoid.

    gain: factor of the standard deviation; other arguments and results as of `kaiming_normal`
    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward networks (2010), section 4.2.1.
    """
    shape, chosen = _checked("xavier_normal", shape, dtype)
    gain = validation.number("xavier_normal", "gain", gain, minimum=0)
    return normal(shape, seed=seed, dtype=chosen, std=gain * math.sqrt(2 / sum(fans("xavier_normal", shape))))


@signatures.checked
def xavier_uniform(
    shape: tuple[int, ...], *, seed: Any = None, dtype: Any = np.float32, gain: float = 1.0
) -> np.ndarray:
    """Uniform with mean 0 and the variance of `xavier_normal`; arguments and results as of `xavier_normal`."""
    shape, chosen = _checked("xavier_uniform", shape, dtype)
    bound = validation.number("xavier_uniform", "gain", gain, minimum=0) * math.sqrt(
        6 / sum(fans("xavier_uniform", shape))
    )
    return rng.generator(seed).uniform(-bound, bound, shape).astype(chosen)


@signatures.checked
def normal(shape: tuple[int, ...], *, seed: Any = None, dtype: Any = np.float32, std: float = 1e-2) -> np.ndarray:
    """Normal with mean 0; arguments and results as of `kaiming_normal`.

    std: standard deviation
    """
    shape, chosen = _checked("normal", shape, dtype)
    std = validation.number("normal", "std", std, minimum=0)
    return rng.generator(seed).normal(0.0, std, shape).astype(chosen)


INITIALISERS = {
    initialiser.__name__: initialiser
    for initialiser in (kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform, normal)
}


def find(function: str, init: Callable | str) -> Callable:
    """Return the initialiser of a name; a function is returned unchanged.

    function: the caller's name, for messages
    init: a name, or a function
    """
    return init if callable(init) else INITIALISERS[validation.choice(function, "init", init, INITIALISERS)]


def fans(function: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return fan_in, fan_out of weights (D, M) or filters (F, C, KH, KW).

    function: the caller's name, for messages
    shape: of the weights or filters
    """
    if len(shape) not in (2, 4):
        raise ValueError(
            f"{function}: shape={shape} has no fans; expected weights (D, M) or filters (F, C, KH, KW); "
            f"use init.normal, or reshape"
        )
    if len(shape) == 2:
        return shape[0], shape[1]
    return shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])


# ---- in place ----


@signatures.checked
def kaiming_normal_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill a Tensor as `kaiming_normal` does. Returns the Tensor.

    tensor: matrix (out, in) or filters (F, C, KH, KW); of the weight of Linear, (in, out), the layout is known
    a: slope of the leaky ReLU
    nonlinearity: "leaky_relu", "relu" (a is 0) or "linear" (variance 1 / fan)
    generator: a seed, see `fastnn.rng`
    """
    return _fill("kaiming_normal_", kaiming_normal, tensor, generator, mode=mode, slope=_slope(a, nonlinearity))


@signatures.checked
def kaiming_uniform_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill a Tensor as `kaiming_uniform` does; arguments are those of `kaiming_normal_`. Returns the Tensor."""
    return _fill("kaiming_uniform_", kaiming_uniform, tensor, generator, mode=mode, slope=_slope(a, nonlinearity))


@signatures.checked
def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill a Tensor as `xavier_normal` does; tensor and generator as of `kaiming_normal_`. Returns the Tensor."""
    return _fill("xavier_normal_", xavier_normal, tensor, generator, gain=gain)


@signatures.checked
def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill a Tensor as `xavier_uniform` does; tensor and generator as of `kaiming_normal_`. Returns the Tensor."""
    return _fill("xavier_uniform_", xavier_uniform, tensor, generator, gain=gain)


@signatures.checked
def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Fill a Tensor with normal numbers. Returns the Tensor.

    tensor: of any shape
    mean, std: mean and standard deviation
    generator: a seed, see `fastnn.rng`
    """
    mean, std = validation.number("normal_", "mean", mean), validation.number("normal_", "std", std, minimum=0)
    return _put("normal_", tensor, lambda shape: rng.generator(generator).normal(mean, std, shape))


@signatures.checked
def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Fill a Tensor with numbers drawn evenly from a to b. Returns the Tensor.

    tensor: of any shape
    a, b: limits
    generator: a seed, see `fastnn.rng`
    """
    a = validation.number("uniform_", "a", a)
    b = validation.number("uniform_", "b", b, minimum=a)
    return _put("uniform_", tensor, lambda shape: rng.generator(generator).uniform(a, b, shape))


@signatures.checked
def constant_(tensor: Any, val: float) -> Any:
    """Set all elements of a Tensor to a number. Returns the Tensor.

    tensor: of any shape
    val: the number
    """
    val = validation.number("constant_", "val", val)
    return _put("constant_", tensor, lambda shape: np.full(shape, val))


@signatures.checked
def zeros_(tensor: Any) -> Any:
    """Set all elements of a Tensor to 0. Returns the Tensor.

    tensor: of any shape
    """
    return _put("zeros_", tensor, np.zeros)


@signatures.checked
def ones_(tensor: Any) -> Any:
    """Set all elements of a Tensor to 1. Returns the Tensor.

    tensor: of any shape
    """
    return _put("ones_", tensor, np.ones)


def _fill(function: str, initialiser: Callable, tensor: Any, seed: Any, **options: Any) -> Any:
    """Fill a Tensor by an initialiser, which takes matrices (in, out)."""

    def values(shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) != 2 or getattr(tensor, "is_transposed", False):
            return initialiser(shape, seed=seed, dtype=tensor.dtype, **options)
        return initialiser(shape[::-1], seed=seed, dtype=tensor.dtype, **options).T

    return _put(function, tensor, values)


def _put(function: str, tensor: Any, values: Callable[[tuple[int, ...]], np.ndarray]) -> Any:
    """Copy the array values(shape) into a Tensor of floats."""
    from fastnn.autograd import Tensor, no_grad

    if not isinstance(tensor, Tensor) or tensor.dtype.kind != "f":
        raise TypeError(
            f"{function}: tensor={validation.brief(tensor)} cannot be filled; expected a Tensor of float32 or float64; "
            f"pass such as layer.weight"
        )
    with no_grad():
        return tensor.copy_(arrays.on_same_device(values(tensor.shape).astype(tensor.dtype), tensor.data))


def _slope(a: float, nonlinearity: str) -> float:
    """The slope, for which the gain of `nonlinearity` is sqrt(2 / (1 + slope^2))."""
    slope = validation.number("nn.init", "a", a)
    validation.choice("nn.init", "nonlinearity", nonlinearity, ("leaky_relu", "relu", "linear"))
    return {"leaky_relu": slope, "relu": 0.0, "linear": 1.0}[nonlinearity]


def _checked(function: str, shape: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype]:
    return arguments.lengths(function, "shape", shape), arguments.dtype(function, dtype)


def _kaiming_std(function: str, shape: tuple[int, ...], slope: float, mode: str) -> float:
    validation.choice(function, "mode", mode, ("fan_in", "fan_out"))
    slope = validation.number(function, "slope", slope)
    fan_in, fan_out = fans(function, shape)
    return math.sqrt(2 / ((1 + slope**2) * (fan_in if mode == "fan_in" else fan_out)))
