"""Small modules that define only `forward`, for the tests of such modules, and a data set."""

import numpy as np
import pytest

import fastnn.nn.functional as F
from fastnn import nn

RNG = np.random.default_rng(7)
X = RNG.standard_normal((4, 2, 6, 6))
Y = np.array([0, 2, 1, 2])
DATA = {
    "X_train": RNG.standard_normal((18, 2, 6, 6)),
    "y_train": RNG.integers(0, 3, 18),
    "X_val": RNG.standard_normal((6, 2, 6, 6)),
    "y_val": RNG.integers(0, 3, 6),
}
DOUBLE = {"dtype": np.float64}
RATE = {"learning_rate": 1e-2}


def normal(*shape):
    return np.random.default_rng(5).standard_normal(shape)


class Block(nn.Module):
    """A residual block."""

    def __init__(self, inputs, outputs, seed):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, seed=seed, **DOUBLE)
        self.norm = nn.BatchNorm2d(outputs, **DOUBLE)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, seed=seed + 1, **DOUBLE)
        self.scale = nn.Parameter(np.full((outputs, 1, 1), 0.5))

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)) * self.scale + self.shortcut(x))


class Net(nn.Module):
    """A residual network with blocks in a list, a fused Sequential and a dict of heads."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(2, 3, seed=1), Block(3, 3, seed=3)])
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, seed=5, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2))
        self.heads = nn.ModuleDict({"classes": nn.Linear(36, 3, seed=6, **DOUBLE)})

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.heads["classes"](self.body(x).flatten(1))


BLOCK = ("scale", "conv.weight", "conv.bias", "norm.weight", "norm.bias", "shortcut.weight", "shortcut.bias")
NAMES = [
    *(f"blocks.{block}.{name}" for block in (0, 1) for name in BLOCK),
    "body.0.weight", "body.0.bias", "heads.classes.weight", "heads.classes.bias",
]  # fmt: skip


def torchs():
    """The same network in torch."""
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    library = torch.nn

    class TorchBlock(library.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.conv = library.Conv2d(inputs, outputs, 3, padding=1)
            self.norm = library.BatchNorm2d(outputs)
            self.shortcut = library.Conv2d(inputs, outputs, 1)
            self.scale = library.Parameter(torch.full((outputs, 1, 1), 0.5))

        def forward(self, x):
            return torch.relu(self.norm(self.conv(x)) * self.scale + self.shortcut(x))

    class TorchNet(library.Module):
        def __init__(self):
            super().__init__()
            self.blocks = library.ModuleList([TorchBlock(2, 3), TorchBlock(3, 3)])
            self.body = library.Sequential(library.Conv2d(3, 4, 3, padding=1), library.ReLU(), library.MaxPool2d(2))
            self.heads = library.ModuleDict({"classes": library.Linear(36, 3)})

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["classes"](self.body(x).flatten(1))

    return torch, TorchNet().double()


class Shared(nn.Module):
    """One layer under two names, one Parameter in two modules, one Parameter that is not used."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, seed=0, **DOUBLE)
        self.second = self.first
        self.norm = nn.BatchNorm1d(3, **DOUBLE)
        self.same = self.norm
        self.scale = nn.Parameter(np.ones(3))
        self.inner = nn.ModuleDict()
        self.unused = nn.Parameter(np.ones(2))
        self.tied = self.scale

    def forward(self, x):
        return self.second(self.first(x).tanh()) * self.scale + self.tied
