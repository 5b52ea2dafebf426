"""The same networks in PyTorch, and how long its training steps take beside ours."""

from typing import Any

import numpy as np
import torch
from networks import Network
from torch import nn as torch_nn

from fastnn import nn
from fastnn.benchmarking import measure
from fastnn.layers import svm_loss
from fastnn.solver import Solver

STEPS = 20  # in one timed call


def twin(module: nn.Module) -> torch_nn.Module:
    """The module in PyTorch, with the same weights."""
    copy = _translated(module)
    copy.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in module.state_dict().items()})
    return copy


def _translated(module: nn.Module) -> torch_nn.Module:
    match module:
        case nn.Residual():
            return _Residual(module)
        case nn.Sequential():
            return torch_nn.Sequential(*map(_translated, module.children()))
        case nn.Linear():
            return _Linear(module.in_features, module.out_features, "bias" in module.params)
        case nn.Conv2d():
            sizes = (module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)
            return torch_nn.Conv2d(*sizes, bias="bias" in module.params)
        case nn.BatchNorm2d():
            return torch_nn.BatchNorm2d(module.num_features)
        case nn.BatchNorm1d():
            return torch_nn.BatchNorm1d(module.num_features)
        case nn.MaxPool2d():
            return torch_nn.MaxPool2d(module.kernel_size, module.stride, module.padding)
        case nn.Dropout():
            return torch_nn.Dropout(module.p)
        case nn.GlobalAvgPool2d():
            return torch_nn.Sequential(torch_nn.AdaptiveAvgPool2d(1), torch_nn.Flatten())
        case nn.ReLU():
            return torch_nn.ReLU()
        case nn.Flatten():
            return torch_nn.Flatten()
    raise TypeError(f"twin: {module!r} has no translation here; expected a layer of the courses' networks; add it")


class _Linear(torch_nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


class _Residual(torch_nn.Sequential):
    def __init__(self, module: nn.Residual) -> None:
        super().__init__(*map(_translated, module.children()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x


def step_ratio(network: Network) -> float:
    """PyTorch's time for a training step over ours, both without augmentation: medians of turns in alternation.

    Images are noise. Ours is a step of Solver, with all that it does besides.

    PyTorch runs eagerly, with the fused form of its optimiser, on as many threads as there are cores.
    """
    arguments = {**network.solver_arguments(), "transform": None, "schedule": None, "num_epochs": 1}
    generator = np.random.default_rng(0)
    data: dict[str, np.ndarray] = {}
    for part, count in (("train", STEPS * arguments["batch_size"]), ("val", 1)):
        data[f"X_{part}"] = generator.standard_normal((count, 3, 32, 32), dtype=np.float32)
        data[f"y_{part}"] = generator.integers(0, 10, count)
    arguments["num_train_samples"] = 1
    solver = Solver(network.build(generator), data, seed=0, verbose=False, print_every=0, **arguments)
    train_torch = _torch_epoch(network, arguments, data)
    timings = measure.alternate({"fastnn": solver.train, "torch": train_torch}, rounds=8)
    return timings["torch"].median / timings["fastnn"].median


def _torch_epoch(network: Network, arguments: dict[str, Any], data: dict[str, np.ndarray]):
    model = network.build(np.random.default_rng(0))
    peer, loss = twin(model), _loss(model)
    rate = arguments["optim_config"]["learning_rate"]
    if arguments["update_rule"] == "adam":
        optimiser: torch.optim.Optimizer = torch.optim.Adam(peer.parameters(), rate, weight_decay=model.reg, fused=True)
    else:
        optimiser = torch.optim.SGD(
            peer.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=model.reg, fused=True
        )
    X, y = torch.from_numpy(data["X_train"]), torch.from_numpy(data["y_train"])

    def epoch() -> None:
        for places in torch.randperm(len(X)).split(arguments["batch_size"]):
            optimiser.zero_grad()
            loss(peer(X[places]), y[places]).backward()
            optimiser.step()

    return epoch


def _loss(model: nn.Sequential) -> torch_nn.Module:
    if model.loss_function is svm_loss:
        return torch_nn.MultiMarginLoss()
    smoothing = getattr(model.loss_function, "keywords", {}).get("label_smoothing", 0.0)
    return torch_nn.CrossEntropyLoss(label_smoothing=smoothing)
