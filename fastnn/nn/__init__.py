"""fastnn.nn: networks from layers. No tape: every Module has a forward and a backward pass that can be read.

    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 100), nn.ReLU(), nn.Linear(100, 10), reg=1e-3)
    Solver(model, data, update_rule="adam").train()

`Module` says what a layer is; a layer of your own is one class with two methods.
"""

from . import init
from .activations import ELU, GELU, LeakyReLU, Maxout, PReLU, ReLU, Sigmoid, Tanh
from .layers import AvgPool2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d
from .module import Module, Parameters, evaluating
from .sequential import Sequential

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "ELU",
    "Flatten",
    "GELU",
    "GlobalAvgPool2d",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Maxout",
    "Module",
    "PReLU",
    "Parameters",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "evaluating",
    "init",
]
