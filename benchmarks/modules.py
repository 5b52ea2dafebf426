"""The networks of the benchmarks, written as a Module with nothing but `forward`, as a user would write them."""

import fastnn.nn.functional as F
from fastnn import nn


class AsModule(nn.Module):
    """The network of a Sequential: its layers with parameters, and functions for the others."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.ModuleList(model.layers)
        self.loss_function, self.reg = model.loss_function, model.reg

    def forward(self, x):
        for layer in self.layers:
            match layer:
                case nn.ReLU():
                    x = F.relu(x)
                case nn.MaxPool2d():
                    x = F.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
                case nn.Flatten():
                    x = x.flatten(1)
                case _:
                    x = layer(x)
        return x
