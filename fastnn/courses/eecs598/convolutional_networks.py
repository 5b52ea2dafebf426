"""Assignment 3: convolutional layers and networks."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fastnn import fast_layers, layer_utils, layers

from .adapters import layer, on_the_host
from .fully_connected_networks import Linear, Linear_ReLU, ReLU, adam
from .networks import Network, Step
from .solver import Solver

__all__ = [
    "BatchNorm",
    "Conv",
    "Conv_BatchNorm_ReLU",
    "Conv_BatchNorm_ReLU_Pool",
    "Conv_ReLU",
    "Conv_ReLU_Pool",
    "DeepConvNet",
    "FastConv",
    "FastMaxPool",
    "Linear",
    "Linear_BatchNorm_ReLU",
    "Linear_ReLU",
    "MaxPool",
    "ReLU",
    "Solver",
    "SpatialBatchNorm",
    "ThreeLayerConvNet",
    "adam",
    "create_convolutional_solver_instance",
    "find_overfit_parameters",
    "hello_convolutional_networks",
    "kaiming_initializer",
]


def hello_convolutional_networks() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from convolutional_networks.py!")


Conv = layer("Conv", on_the_host(layers.conv_forward_naive), on_the_host(layers.conv_backward_naive))
MaxPool = layer("MaxPool", on_the_host(layers.max_pool_forward_naive), on_the_host(layers.max_pool_backward_naive))
FastConv = layer("FastConv", fast_layers.conv_forward_fast, fast_layers.conv_backward_fast)
FastMaxPool = layer("FastMaxPool", fast_layers.max_pool_forward_fast, fast_layers.max_pool_backward_fast)
BatchNorm = layer(
    "BatchNorm", layers.batchnorm_forward, layers.batchnorm_backward, backward_alt=layers.batchnorm_backward_alt
)
SpatialBatchNorm = layer("SpatialBatchNorm", layers.spatial_batchnorm_forward, layers.spatial_batchnorm_backward)
Conv_ReLU = layer("Conv_ReLU", layer_utils.conv_relu_forward, layer_utils.conv_relu_backward)
Conv_ReLU_Pool = layer("Conv_ReLU_Pool", layer_utils.conv_relu_pool_forward, layer_utils.conv_relu_pool_backward)
Linear_BatchNorm_ReLU = layer(
    "Linear_BatchNorm_ReLU", layer_utils.affine_bn_relu_forward, layer_utils.affine_bn_relu_backward
)
Conv_BatchNorm_ReLU = layer("Conv_BatchNorm_ReLU", layer_utils.conv_bn_relu_forward, layer_utils.conv_bn_relu_backward)
Conv_BatchNorm_ReLU_Pool = layer(
    "Conv_BatchNorm_ReLU_Pool", layer_utils.conv_bn_relu_pool_forward, layer_utils.conv_bn_relu_pool_backward
)

_POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}


class ThreeLayerConvNet(Network):
    """conv - ReLU - 2x2 max pool - linear - ReLU - linear - softmax; penalty reg * sum(W * W).

    filter_size: odd; convolutions keep height and width
    weight_scale: standard deviation of the initial weights; biases are initially 0
    """

    def __init__(
        self,
        input_dims: tuple[int, int, int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> None:
        super().__init__(reg, dtype, device)
        C, H, W = input_dims
        self._normal("1", weight_scale, num_filters, C, filter_size, filter_size)
        self._normal("2", weight_scale, num_filters * (H // 2) * (W // 2), hidden_dim)
        self._normal("3", weight_scale, hidden_dim, num_classes)

    def _steps(self, mode: str) -> Iterator[Step]:
        conv_param = {"stride": 1, "pad": (self.params["W1"].shape[2] - 1) // 2}
        yield Step(Conv_ReLU_Pool, ("W1", "b1"), (conv_param, _POOL))
        yield Step(Linear_ReLU, ("W2", "b2"))
        yield Step(Linear, ("W3", "b3"))


class DeepConvNet(Network):
    """(3x3 conv - [batch norm] - ReLU - [2x2 max pool]) for each of num_filters - linear - softmax.

    max_pools: the convolutions, counted from 0, that are followed by a pooling
    batchnorm: whether to normalise
    weight_scale: standard deviation of the initial weights, or "kaiming" for `kaiming_initializer`
    The penalty is reg * sum(W * W). running_mean and running_var of batch norm begin at 0; they are in bn_params.
    """

    _SAVED = ("num_layers", "max_pools", "batchnorm", "bn_params")

    def __init__(
        self,
        input_dims: tuple[int, int, int] = (3, 32, 32),
        num_filters: Sequence[int] = (8, 8, 8, 8, 8),
        max_pools: Sequence[int] = (0, 1, 2, 3, 4),
        batchnorm: bool = False,
        num_classes: int = 10,
        weight_scale: float | str = 1e-3,
        reg: float = 0.0,
        weight_initializer: Any = None,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> None:
        super().__init__(reg, dtype, device)
        self.num_layers, self.max_pools, self.batchnorm = len(num_filters) + 1, list(max_pools), batchnorm
        self.bn_params: list[dict[str, Any]] = [{"mode": "train"} for _ in num_filters] if batchnorm else []
        channels, H, W = input_dims
        for number, filters in enumerate(num_filters, 1):
            self._layer(number, weight_scale, channels, filters, 3)
            channels = filters
            if number - 1 in max_pools:
                H, W = H // 2, W // 2
            if batchnorm:
                self._constant(f"gamma{number}", 1.0, filters)
                self._constant(f"beta{number}", 0.0, filters)
        self._layer(self.num_layers, weight_scale, channels * H * W, num_classes, None)

    def _layer(self, number: int, weight_scale: float | str, inputs: int, outputs: int, size: int | None) -> None:
        """Add the parameters of a layer; size: of the filters, None: a linear layer."""
        if isinstance(weight_scale, str):
            relu = size is not None
            self.params[f"W{number}"] = kaiming_initializer(inputs, outputs, size, relu, self._device, self.dtype)
            self._constant(f"b{number}", 0.0, outputs)
        else:
            self._normal(
                str(number), weight_scale, *((inputs, outputs) if size is None else (outputs, inputs, size, size))
            )

    def _steps(self, mode: str) -> Iterator[Step]:
        conv_param = {"stride": 1, "pad": 1}
        for index in range(self.num_layers - 1):
            options: list[Any] = [conv_param]
            names = [f"W{index + 1}", f"b{index + 1}"]
            if self.batchnorm:
                self.bn_params[index]["mode"] = mode
                options.append(self.bn_params[index])
                names += [f"gamma{index + 1}", f"beta{index + 1}"]
            pooled = index in self.max_pools
            yield Step(_BLOCKS[self.batchnorm, pooled], names, (*options, _POOL) if pooled else options)
        yield Step(Linear, (f"W{self.num_layers}", f"b{self.num_layers}"))


_BLOCKS = {  # by batch norm and pooling
    (False, False): Conv_ReLU,
    (False, True): Conv_ReLU_Pool,
    (True, False): Conv_BatchNorm_ReLU,
    (True, True): Conv_BatchNorm_ReLU_Pool,
}


def kaiming_initializer(
    Din: int,
    Dout: int,
    K: int | None = None,
    relu: bool = True,
    device: Any = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Draw the weights (Din, Dout) of a linear layer, or if K is given the K x K filters (Dout, Din, K, K).

    Their variance is 1 / (number of inputs), twice that before a ReLU.
    Source: He, Zhang, Ren & Sun, Delving deep into rectifiers (2015), section 2.2.
    """
    shape = (Din, Dout) if K is None else (Dout, Din, K, K)
    inputs = Din if K is None else Din * K * K
    return math.sqrt((2 if relu else 1) / inputs) * torch.randn(shape, dtype=dtype, device=device)


def find_overfit_parameters() -> tuple[float, float]:
    """Return a weight_scale and a learning rate with which a DeepConvNet learns 50 images by heart."""
    return 0.15, 3e-3


def create_convolutional_solver_instance(data_dict: dict[str, torch.Tensor], dtype: torch.dtype, device: Any) -> Solver:
    """Return a Solver for a DeepConvNet of three convolutions with batch norm, each followed by a pooling."""
    model = DeepConvNet(
        num_filters=(32, 64, 128),
        max_pools=(0, 1, 2),
        batchnorm=True,
        weight_scale="kaiming",
        reg=1e-5,
        dtype=dtype,
        device=device,
    )
    return Solver(
        model,
        data_dict,
        update_rule=adam,
        optim_config={"learning_rate": 2e-3},
        lr_decay=0.9,
        batch_size=128,
        num_epochs=100,
        print_every=50,
        device=device,
    )
