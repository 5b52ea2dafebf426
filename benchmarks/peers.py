"""The networks in PyTorch: their layers, losses and training steps, and a check that they compute the same results."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from networks import Network
from torch import nn as torch_nn

from fastnn import environment, nn
from fastnn.layers import svm_loss

LARGEST_DIFFERENCE = 1e-9  # relative, in norm
NEGLIGIBLE = 1e-4  # of the largest gradient's norm: the gradient of a bias before batch norm is only rounding error


class WrongTwin(RuntimeError):
    """The network in PyTorch computes other results than fastnn's, so their times cannot be compared."""


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
    raise TypeError(
        f"twin: {module!r} has no PyTorch equivalent here; expected a layer of the courses' networks; add it"
    )


class _Linear(torch_nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


class _Residual(torch_nn.Sequential):
    def __init__(self, module: nn.Residual) -> None:
        super().__init__(*map(_translated, module.children()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x


def torch_loss(model: nn.Sequential) -> torch_nn.Module:
    """The model's loss function in PyTorch."""
    if model.loss_function is svm_loss:
        return _SumOfMargins()
    smoothing = getattr(model.loss_function, "keywords", {}).get("label_smoothing", 0.0)
    return torch_nn.CrossEntropyLoss(label_smoothing=smoothing)


class _SumOfMargins(torch_nn.MultiMarginLoss):
    """The multiclass hinge loss summed over classes, as in the course; PyTorch takes the mean."""

    def forward(self, scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().forward(scores, y) * scores.shape[1]


def check(network: Network, images: int) -> None:
    """Compare loss and gradients of one batch with PyTorch's in float64. Raises WrongTwin if they differ.

    In float32, rounding may decide ties in ReLU or pooling and so move a whole gradient. The penalty, which PyTorch
    adds in its optimiser, and dropout, which is random, are turned off.
    """
    model, of_torch = network.build(np.random.default_rng(0)), network.build(np.random.default_rng(0))
    widen(model)
    widen(of_torch)
    model.reg = 0.0
    for layer in model.children():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    generator = np.random.default_rng(1)
    X = generator.standard_normal((images, 3, 32, 32), dtype=np.float32).astype(np.float64)
    y = generator.integers(0, 10, images)
    peer = twin(model).double()
    expected_loss = torch_loss(model)(peer(torch.from_numpy(X)), torch.from_numpy(y))
    expected_loss.backward()
    loss, grads = model.loss(X, y)
    of_torch.params = grads  # converts them to PyTorch's names and layouts
    gradients = of_torch.state_dict()
    pairs = {"loss": (np.array(loss), expected_loss.detach().numpy())}
    pairs |= {name: (gradients[name], parameter.grad.numpy()) for name, parameter in peer.named_parameters()}
    negligible = NEGLIGIBLE * max(np.linalg.norm(expected) for _, expected in list(pairs.values())[1:])
    for name, (actual, expected) in pairs.items():
        difference = np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), negligible)
        if not difference <= LARGEST_DIFFERENCE:
            raise WrongTwin(f"check: {name} of {network.name} differs from PyTorch's by {difference:.1e} of its norm")


def widen(module: nn.Module) -> None:
    """Convert the parameters to float64."""
    for child in module.children():
        widen(child)
    if not list(module.children()):
        module.params.update({name: value.astype(np.float64) for name, value in module.params.items()})


def torch_step(
    network: Network,
    rate: float,
    data: dict[str, np.ndarray],
    fused: bool,
    device: str = "cpu",
    compiled: bool = False,
    **options: Any,
) -> Callable[[], Any]:
    """A training step with as many threads as the kernels: draw a batch, compute gradients, update.

    rate: the learning rate; fused: use the fused optimisers
    compiled: compile network and loss by torch.compile; otherwise they run eagerly
    options: of Adam, such as capturable=True for CUDA graphs
    """
    torch.set_num_threads(environment.threads())
    model = network.build(np.random.default_rng(0))
    peer, loss, size = twin(model).to(device), torch_loss(model), network.solver_arguments()["batch_size"]
    X, y = (torch.from_numpy(data[name]).to(device) for name in ("X_train", "y_train"))
    common = {"lr": rate, "weight_decay": model.reg, "fused": fused or None}
    optimiser = optimiser_of(network.training["update_rule"], peer, common, options)

    def forward(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return loss(peer(images), labels)

    run = torch.compile(forward) if compiled else forward

    def step() -> None:
        places = torch.randint(len(X), (size,), device=device)
        optimiser.zero_grad()
        run(X[places], y[places]).backward()
        optimiser.step()

    return step


def optimiser_of(rule: str, peer: torch_nn.Module, common: dict[str, Any], of_adam: dict[str, Any]) -> Any:
    """The optimiser of an update rule, with options for all and for Adam."""
    if rule == "adam":
        return torch.optim.Adam(peer.parameters(), **common, **of_adam)
    if rule == "nesterov":
        return torch.optim.SGD(peer.parameters(), momentum=0.9, nesterov=True, **common)
    if rule == "sgd":
        return torch.optim.SGD(peer.parameters(), **common)
    raise ValueError(f"torch_step: {rule!r} has no PyTorch equivalent here; expected a rule of the table; add it")


def parallel_step(
    network: Network, rate: float, data: dict[str, np.ndarray], rank: int, size: int
) -> Callable[[], Any]:
    """A training step of DistributedDataParallel: each rank draws its part of the batch, with fused optimisers."""
    model = network.build(np.random.default_rng(0))
    peer, loss = torch_nn.parallel.DistributedDataParallel(twin(model)), torch_loss(model)
    common = {"lr": rate, "weight_decay": model.reg, "fused": True}
    optimiser = optimiser_of(network.training["update_rule"], peer, common, {})
    X, y = (torch.from_numpy(data[name]) for name in ("X_train", "y_train"))
    images = network.solver_arguments()["batch_size"] // size
    generator = torch.Generator().manual_seed(rank)

    def step() -> None:
        places = torch.randint(len(X), (images,), generator=generator)
        optimiser.zero_grad()
        loss(peer(X[places]), y[places]).backward()
        optimiser.step()

    return step
