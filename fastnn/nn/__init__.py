"""Layers and networks. There is no autograd: every Module has an explicit forward and backward pass.

    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 100), nn.ReLU(), nn.Linear(100, 10), reg=1e-3)
    Solver(model, data, update_rule="adam").train()

`Module` describes how to define a layer: one class with two methods.
"""

from fastnn.kernels.dispatch import deprecated

from . import init
from .activations import ELU, GELU, LeakyReLU, Maxout, PReLU, ReLU, Sigmoid, Tanh
from .blocks import DenseBlock, Residual
from .dropout import Dropout
from .layers import AvgPool2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from .module import Module, eval_mode
from .normalization import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from .sequential import Sequential

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "DenseBlock",
    "Dropout",
    "ELU",
    "Flatten",
    "GELU",
    "GlobalAvgPool2d",
    "GroupNorm",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Maxout",
    "Module",
    "PReLU",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "eval_mode",
    "init",
]

__getattr__ = deprecated.names(__name__, evaluating="eval_mode")
