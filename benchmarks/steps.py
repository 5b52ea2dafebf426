"""Training steps of a network on the same images: whole Solver iterations of a Sequential and of a Module, and PyTorch.

The Module defines nothing but `forward`, and is differentiated automatically.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from modules import AsModule
from networks import Network

from fastnn.benchmarking import measure
from fastnn.solver import Solver

BATCHES = 10  # in the data set: more than the caches hold for larger networks
RATE = 1e-8  # learning rate, so small that the network stays unchanged while timed


def with_batches_of(network: Network, images: int) -> Network:
    """The same network, trained on batches of another size."""
    return dataclasses.replace(network, training={**network.training, "batch_size": images})


def noise(network: Network) -> dict[str, np.ndarray]:
    """Random images and labels for training and validation."""
    generator = np.random.default_rng(0)
    data: dict[str, np.ndarray] = {}
    for part, count in (("train", BATCHES * network.solver_arguments()["batch_size"]), ("val", 1)):
        data[f"X_{part}"] = generator.standard_normal((count, 3, 32, 32), dtype=np.float32)
        data[f"y_{part}"] = generator.integers(0, 10, count)
    return data


def solver_step(
    network: Network, data: dict[str, np.ndarray], as_module: bool = False, **options: Any
) -> Callable[[], Any]:
    """An iteration of Solver without augmentation: draw a batch, gradients, update, checks, histories, snapshots.

    as_module: train the network as a Module with nothing but `forward`
    options: further keyword arguments of Solver
    A snapshot is taken before the first and every two hundredth iteration, as in training.
    """
    arguments = {**network.solver_arguments(), "transform": None, "schedule": None}
    arguments["optim_config"] = {**arguments["optim_config"], "learning_rate": RATE}
    model: Any = network.build(np.random.default_rng(0))
    return Solver(AsModule(model) if as_module else model, data, seed=0, verbose=False, **arguments, **options)._iterate


def peers(network: Network, fused: bool) -> dict[str, Callable[[], Any]]:
    """A step of fastnn, of fastnn with a Module, and of PyTorch, as calls without arguments.

    fastnn and PyTorch are checked to compute the same results. Raises peers.WrongTwin if they do not.
    """
    from peers import check, torch_step  # PyTorch

    check(network, network.solver_arguments()["batch_size"])
    data = noise(network)
    return {
        "fastnn": solver_step(network, data),
        "module": solver_step(network, data, as_module=True),
        "torch": torch_step(network, RATE, data, fused),
    }


def time_steps(network: Network, fused: bool, rounds: int = 8, settle: float = 0.25) -> dict[str, Any]:
    """Seconds per step of each, timed interleaved, and the others over fastnn's Sequential."""
    timings = measure.alternate(peers(network, fused), rounds, settle)
    return {
        "network": network.name,
        "images": network.solver_arguments()["batch_size"],
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "speedup": {name: timings[name].median / timings["fastnn"].median for name in ("torch", "module")},
    }
