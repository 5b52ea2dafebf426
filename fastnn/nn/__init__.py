"""Layers and networks. Layers have an explicit forward and backward pass; networks of your own need only a forward.

    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 100), nn.ReLU(), nn.Linear(100, 10), reg=1e-3)
    Solver(model, data, update_rule="adam").train()

`Module` describes how to define a layer, one class with two methods, and a network, one class with `forward`.

`fastnn.nn.functional` has the layers as functions of Tensors, for networks defined by running them.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from . import init
from .activations import ELU, GELU, LeakyReLU, Maxout, PReLU, ReLU, Sigmoid, Tanh
from .blocks import DenseBlock, Residual
from .dropout import Dropout
from .functions import AdaptiveAvgPool2d, CrossEntropyLoss, MSELoss
from .layers import AvgPool2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from .lists import ModuleDict, ModuleList
from .module import Module, eval_mode
from .normalization import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from .sequential import Sequential

if TYPE_CHECKING:
    from .parameter import Buffer, Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
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
    "MSELoss",
    "MaxPool2d",
    "Maxout",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "eval_mode",
    "init",
]


def __getattr__(name: str) -> Any:
    """Import what needs automatic differentiation on first access; and map a former name."""
    if name == "functional":
        return importlib.import_module(f"{__name__}.functional")
    if name in ("Buffer", "Parameter"):
        return getattr(importlib.import_module(f"{__name__}.parameter"), name)
    if name == "evaluating":
        warnings.warn(f"{__name__}.evaluating is now {__name__}.eval_mode", DeprecationWarning, stacklevel=2)
        return eval_mode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
