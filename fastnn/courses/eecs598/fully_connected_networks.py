"""Assignment 3: layers, fully connected networks and update rules."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from fastnn import layers
from fastnn.layer_utils import affine_relu_backward, affine_relu_forward
from fastnn.optim import adam, rmsprop, sgd, sgd_momentum

from .adapters import layer
from .networks import Network, Step
from .solver import Solver

__all__ = [
    "Dropout",
    "FullyConnectedNet",
    "Linear",
    "Linear_ReLU",
    "ReLU",
    "Solver",
    "TwoLayerNet",
    "adam",
    "create_solver_instance",
    "get_five_layer_network_params",
    "get_three_layer_network_params",
    "hello_fully_connected_networks",
    "rmsprop",
    "sgd",
    "sgd_momentum",
]


def hello_fully_connected_networks() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from fully_connected_networks.py!")


def dropout_forward(x: torch.Tensor, dropout_param: Mapping[str, Any]) -> tuple[torch.Tensor, Any]:
    """Set each element to 0 with probability p and divide the others by 1 - p; in test mode, copy x.

    dropout_param: p, the probability to drop, which is 1 minus that of `fastnn.layers.dropout_forward`; mode, 'train'
        or 'test'; seed: if given, it seeds torch's random state, from which the mask is drawn
    Returns out, cache.
    """
    keep, mask = 1 - dropout_param["p"], None
    if dropout_param["mode"] == "train":
        if dropout_param.get("seed") is not None:
            torch.manual_seed(dropout_param["seed"])
        mask = torch.rand(x.shape, device=x.device) >= dropout_param["p"]
    return layers.dropout_backward(x, (mask, keep)), (mask, keep)


Linear = layer("Linear", layers.affine_forward, layers.affine_backward)
ReLU = layer("ReLU", layers.relu_forward, layers.relu_backward)
Linear_ReLU = layer("Linear_ReLU", affine_relu_forward, affine_relu_backward)
Dropout = layer("Dropout", dropout_forward, layers.dropout_backward)


class TwoLayerNet(Network):
    """linear - ReLU - linear - softmax; params W1 (D, H), b1, W2 (H, K), b2; penalty reg * sum(W * W).

    weight_scale: standard deviation of the initial weights; biases are initially 0
    """

    def __init__(
        self,
        input_dim: int = 3 * 32 * 32,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> None:
        super().__init__(reg, dtype, device)
        self._normal("1", weight_scale, input_dim, hidden_dim)
        self._normal("2", weight_scale, hidden_dim, num_classes)

    def _steps(self, mode: str) -> Iterator[Step]:
        yield Step(Linear_ReLU, ("W1", "b1"))
        yield Step(Linear, ("W2", "b2"))


class FullyConnectedNet(Network):
    """(linear - ReLU - [dropout]) for each hidden size - linear - softmax; penalty reg/2 * sum(W * W).

    dropout: probability to drop an element; 0: no dropout
    weight_scale: standard deviation of the initial weights; biases are initially 0
    seed: seed of each mask of dropout, which is then always the same
    """

    _PENALTY = 0.5
    _SAVED = ("num_layers", "use_dropout", "dropout_param")

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        dropout: float = 0.0,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        seed: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> None:
        super().__init__(reg, dtype, device)
        sizes = [input_dim, *hidden_dims, num_classes]
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
            self._normal(str(number), weight_scale, inputs, outputs)
        self.num_layers, self.use_dropout = len(sizes) - 1, dropout != 0
        self.dropout_param = {"p": dropout, "seed": seed} if self.use_dropout else {}

    def _steps(self, mode: str) -> Iterator[Step]:
        for number in range(1, self.num_layers):
            yield Step(Linear_ReLU, (f"W{number}", f"b{number}"))
            if self.use_dropout:
                yield Step(Dropout, (), ({**self.dropout_param, "mode": mode},))
        yield Step(Linear, (f"W{self.num_layers}", f"b{self.num_layers}"))


def create_solver_instance(data_dict: dict[str, torch.Tensor], dtype: torch.dtype, device: Any) -> Solver:
    """Return a Solver whose two-layer net gets more than half of CIFAR-10's validation images right."""
    model = TwoLayerNet(hidden_dim=200, weight_scale=1e-2, dtype=dtype, device=device)
    return Solver(
        model,
        data_dict,
        update_rule=sgd_momentum,
        optim_config={"learning_rate": 2e-2},
        lr_decay=0.9,
        num_epochs=10,
        print_every=100,
        device=device,
    )


def get_three_layer_network_params() -> tuple[float, float]:
    """Return a weight_scale and a learning rate with which three layers learn 50 images by heart."""
    return 0.1, 0.2


def get_five_layer_network_params() -> tuple[float, float]:
    """Return a weight_scale and a learning rate with which five layers learn 50 images by heart."""
    return 0.13, 0.15
