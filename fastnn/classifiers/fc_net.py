"""Fully connected networks.

As in the course, `from fastnn.classifiers.fc_net import *` also imports everything in `fastnn.layer_utils`.
"""

import functools
import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import arguments, layer_utils, rng
from fastnn.kernels.dispatch import signatures, validation
from fastnn.layer_utils import *  # noqa: F403
from fastnn.layers.dropout import LARGEST_SEED
from fastnn.nn import BatchNorm1d, Dropout, LayerNorm, Linear, Module, ReLU, Sequential, init
from fastnn.output.streams import say

from . import course_layers
from .course_layers import ReseedingDropout

__all__ = ["FullyConnectedNet", "TwoLayerNet"]
__all__ += layer_utils.__all__

_NORMALIZATIONS = {"batchnorm": BatchNorm1d, "layernorm": LayerNorm}


class TwoLayerNet(Sequential):
    """Affine - ReLU - affine - softmax, with parameters W1 (D, H), b1 (H,), W2 (H, K), b2 (K,).

    input_dim, hidden_dim, num_classes: D, H, K; inputs (N, d1, ..., dk) are flattened to (N, D)
    weight_scale: standard deviation of the initial weights; biases are initially 0
    reg: strength of the penalty 0.5 * reg * (sum(W1*W1) + sum(W2*W2))
    dtype, seed: of the parameters (see `fastnn.rng`)
    """

    def __init__(
        self,
        input_dim: int = 3072,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        *,
        dtype: Any = np.float64,
        seed: Any = None,
    ) -> None:
        input_dim = validation.integer("TwoLayerNet", "input_dim", input_dim, minimum=1)
        hidden_dim = validation.integer("TwoLayerNet", "hidden_dim", hidden_dim, minimum=1)
        num_classes = validation.integer("TwoLayerNet", "num_classes", num_classes, minimum=1)
        weight_scale = validation.number("TwoLayerNet", "weight_scale", weight_scale, minimum=0)
        options: dict[str, Any] = {
            "dtype": dtype,
            "init": functools.partial(init.normal, std=weight_scale),
            "seed": rng.generator(seed),
        }
        super().__init__(
            Linear(input_dim, hidden_dim, **options),
            ReLU(),
            Linear(hidden_dim, num_classes, **options),
            reg=reg,
            names=("W1", "b1", "W2", "b2"),
        )

    @signatures.checked
    def save(self, name: str | os.PathLike) -> None:
        """Write the parameters to a file, as `Module.save` does, and print its name.

        name: path
        """
        super().save(name)
        say(f"{os.fspath(name)} saved.")


class FullyConnectedNet(Sequential):
    """[affine - normalization - ReLU - dropout] x (L - 1) - affine - softmax, for L - 1 hidden layers.

    Parameters: W1 (D, H1), b1 (H1,), with a normalization gamma1, beta1 (H1,), then W2 (H1, H2), ... up to WL, bL.

    hidden_dims: H1, H2, ...; input_dim: D; num_classes: K; inputs (N, d1, ..., dk) are flattened to (N, D)
    dropout_keep_ratio: probability of keeping an element; 1: no dropout layers
    normalization: None, "batchnorm" or "layernorm"; as in the course, batch norm's running_var is initially 0
    reg: strength of the penalty 0.5 * reg * (sum(W1*W1) + ... + sum(WL*WL)); gamma, beta and biases are not penalized
    weight_scale: standard deviation of the initial weights; biases and beta are initially 0, gamma 1
    dtype: of the parameters
    seed: of dropout, as in the course: with an int, every dropout layer calls np.random.seed(seed) in every forward
        pass and draws its mask from NumPy's global state, so that masks stay the same in gradient checks (to train such
        a net, pass a seed to the Solver, which else draws the same batches again and again); None lets masks vary, with
        keys drawn from `generator` after the weights
    generator: source of the weights, drawn in the order W1, W2, ... (a `seed` as in `fastnn.rng`)
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3072,
        num_classes: int = 10,
        dropout_keep_ratio: float = 1,
        normalization: str | None = None,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: Any = np.float32,
        seed: int | None = None,
        *,
        generator: Any = None,
    ) -> None:
        function = "FullyConnectedNet"
        if normalization is not None:
            validation.choice(function, "normalization", normalization, _NORMALIZATIONS)
        keep = validation.number(function, "dropout_keep_ratio", dropout_keep_ratio, above=0, maximum=1)
        weight_scale = validation.number(function, "weight_scale", weight_scale, minimum=0)
        source, dtype = rng.generator(generator), arguments.dtype(function, dtype)
        if seed is not None:
            seed = validation.integer(function, "seed", seed, minimum=0, maximum=LARGEST_SEED)
        initialiser = functools.partial(init.normal, std=weight_scale)
        input_dim = validation.integer(function, "input_dim", input_dim, minimum=1)
        num_classes = validation.integer(function, "num_classes", num_classes, minimum=1)
        sizes = [input_dim, *_sizes(function, hidden_dims), num_classes]
        affine = [Linear(*size, dtype=dtype, init=initialiser, seed=source) for size in itertools.pairwise(sizes)]
        layers: list[Module] = []
        names: list[str] = []
        for number, linear in enumerate(affine, start=1):
            layers.append(linear)
            names += [f"W{number}", f"b{number}"]
            if number == len(affine):
                break
            if normalization is not None:
                layer = _NORMALIZATIONS[normalization](linear.out_features, dtype=dtype)
                layers.append(course_layers.batchnorm(layer) if isinstance(layer, BatchNorm1d) else layer)
                names += [f"gamma{number}", f"beta{number}"]
            layers.append(ReLU())
            if keep < 1:
                dropout = Dropout(1 - keep, seed=source) if seed is None else ReseedingDropout(1 - keep, seed)
                layers.append(dropout)
        super().__init__(*layers, reg=reg, names=names)


def _sizes(function: str, hidden_dims: Any) -> list[int]:
    if not isinstance(hidden_dims, (tuple, list, np.ndarray)):
        raise TypeError(
            f"{function}: hidden_dims={hidden_dims!r} is not a list; expected the sizes of the hidden layers; "
            f"pass a list such as [100, 100]"
        )
    return [validation.integer(function, "hidden_dims", size, minimum=1) for size in hidden_dims]
