"""Settings of a training run, their defaults per data set, and the model, data and Solver built from them."""

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation as checks
from fastnn.kernels.updates import rules

from . import models
from .models import MODELS

# For mean-subtracted pixels of 0 to 255, as in `shapes`. With larger inputs Adam at 1e-3 is unstable, and the accuracy
# after one epoch on CIFAR-10 is about 0.1 lower.
PIXEL_SCALE = np.float32(1 / 64)

# by data set; those of cifar10 are from the course
DEFAULTS: dict[str, dict[str, Any]] = {
    "shapes": {
        "epochs": 5,
        "batch_size": 50,
        "learning_rate": 1e-3,
        "update_rule": "adam",
        "reg": 1e-3,
        "num_filters": 32,
        "filter_size": 7,
        "hidden_dim": 100,
        "weight_scale": 1e-2,
        "num_train": 8000,
        "num_validation": 1000,
        "num_test": 1000,
    },
    "cifar10": {
        "epochs": 1,
        "batch_size": 50,
        "learning_rate": 1e-3,
        "update_rule": "adam",
        "reg": 1e-3,
        "num_filters": 32,
        "filter_size": 7,
        "hidden_dim": 500,
        "weight_scale": 1e-3,
        "num_train": 49_000,
        "num_validation": 1000,
        "num_test": 1000,
    },
}
# of a sweep: fewer images and epochs, as there are many trials
SWEEP_DEFAULTS: dict[str, dict[str, Any]] = {
    "shapes": {**DEFAULTS["shapes"], "epochs": 2, "num_train": 2000, "num_test": 0},
    "cifar10": {**DEFAULTS["cifar10"], "num_train": 10_000, "num_test": 0},
}
# type and help text of the settings that are options
OPTIONS: dict[str, tuple[type, str]] = {
    "epochs": (int, ""),
    "batch_size": (int, ""),
    "learning_rate": (float, ""),
    "update_rule": (str, ""),
    "reg": (float, "strength of the penalty on weights; "),
    "num_filters": (int, ""),
    "filter_size": (int, ""),
    "hidden_dim": (int, ""),
    "weight_scale": (float, "of the initial weights; "),
    "num_train": (int, "training images; "),
}
UPDATE_RULES = tuple(rules.RULES)
SCHEDULES = ("none", "step", "exponential", "cosine", "warmup-cosine", "one-cycle", "plateau")


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings that determine a run's results; stored in checkpoints. Older checkpoints lack the last ones."""

    model: str
    data: str
    data_root: str | None
    epochs: int
    batch_size: int
    learning_rate: float
    update_rule: str
    reg: float
    seed: int
    num_filters: int
    filter_size: int
    hidden_dim: int
    weight_scale: float
    num_train: int
    num_validation: int
    num_test: int
    lr_decay: float = 1.0
    schedule: str = "none"
    weight_decay: float | None = None
    sampling: str = "with_replacement"
    early_stopping: int | None = None
    augment: bool = False
    shards: int = 1

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace, defaults: dict[str, dict] = DEFAULTS) -> "Settings":
        """The defaults of the data set, then of the model, overridden by the command line."""
        given = {name: value for name, value in vars(arguments).items() if name in _NAMES and value is not None}
        models.check_applies(arguments.model, given)
        if given.get("augment") and arguments.data != "cifar10":
            raise ValueError(
                f"--augment does not apply to --data {arguments.data}; expected photographs, whose mirror images keep "
                f"their class; leave it out or choose --data cifar10"
            )
        if arguments.data_root is not None:
            given["data_root"] = str(Path(os.path.expanduser(arguments.data_root)).resolve())
        given["seed"] = checks.integer(arguments.command, "seed", arguments.seed, minimum=0)
        usual = {**defaults[arguments.data], **MODELS[arguments.model].defaults_on(arguments.data)}
        if "shards" in given:
            shards = checks.integer(arguments.command, "shards", given["shards"], minimum=1)
            usual["batch_size"] = -(-usual["batch_size"] // shards) * shards
        return cls(**{"data_root": None, **usual, **given})

    @classmethod
    def from_checkpoint(cls, tree: dict, path: Path) -> "Settings":
        """The settings stored in a checkpoint of `fastnn train`."""
        stored = tree["settings"]
        if (
            not isinstance(stored, dict)
            or not _REQUIRED <= set(stored) <= _NAMES
            or stored["model"] not in list(MODELS)
        ):
            raise ValueError(
                f"resume: path={str(path)!r} has settings that this fastnn does not know ({stored}); expected those of "
                f"`fastnn train` of this version or an older one; update fastnn"
            )
        return cls(**stored)

    def load_data(self) -> dict:
        """The data set, as a dict of float32 images, integer labels and the preprocessing."""
        return load_data(self.data, self.data_root, self.num_train, self.num_validation, self.num_test)

    def build_model(self, seed: Any, data: dict) -> Any:
        """The network with its initial weights, for the image shape of the data."""
        return MODELS[self.model].build(self, data["X_train"].shape[1:], seed)

    def describe_model(self) -> str:
        """A description of the network, without its class."""
        return MODELS[self.model].description.format_map(vars(self))

    def solver_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Solver`."""
        from fastnn.augment import Augment

        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return {
            "update_rule": self.update_rule,
            "optim_config": {"learning_rate": self.learning_rate, **decay},
            "lr_decay": self.lr_decay,
            "schedule": self.build_schedule(),
            "batch_size": self.batch_size,
            "num_epochs": self.epochs,
            "sampling": self.sampling,
            "early_stopping": self.early_stopping,
            "on_nonfinite": "raise",
            "shards": self.shards,
            "transform": Augment(padding=4, flip=0.5) if self.augment else None,
        }

    def build_solver(self, data: dict, verbose: bool = False, comm: Any = None) -> Any:
        """A new model and the Solver that trains it, on the ranks of comm; equal settings give equal results."""
        from fastnn.solver import Solver

        model_seed, solver_seed = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(2))
        model = self.build_model(model_seed, data)
        return Solver(model, data, seed=solver_seed, verbose=verbose, comm=comm, **self.solver_arguments())

    def build_schedule(self) -> Any:
        """The schedule, with lengths that suit the number of epochs, or None."""
        from fastnn.schedules import Cosine, Exponential, OneCycle, Plateau, Step, Warmup

        epochs = max(self.epochs, 1)  # Solver raises an error for fewer
        return {
            "none": None,
            "step": Step(max(epochs // 3, 1), 0.1),
            "exponential": Exponential(0.01 ** (1 / epochs)),
            "cosine": Cosine(),
            "warmup-cosine": Warmup(0.05 * epochs, then=Cosine()),
            "one-cycle": OneCycle(),
            "plateau": Plateau(0.3, patience=2),
        }[self.schedule]


_NAMES = {field.name for field in dataclasses.fields(Settings)}
_REQUIRED = {field.name for field in dataclasses.fields(Settings) if field.default is dataclasses.MISSING}


def load_data(
    name: str, root: str | None, train: int, validation: int, test: int, scaled: bool = True, dtype: Any = np.float32
) -> dict:
    """Load a data set with the given numbers of images; scaled: scale the pixels as `fastnn train` does."""
    from fastnn import data_utils

    sizes = train, validation, test

    if name == "shapes":
        return data_utils.get_shapes_data(*sizes, dtype=dtype, preprocessing=True)
    data = data_utils.get_CIFAR10_data(*sizes, root=root, dtype=dtype, preprocessing=True)
    if scaled:
        for part in ("X_train", "X_val", "X_test"):
            data[part] *= PIXEL_SCALE
        data["scale"] = data["scale"] * PIXEL_SCALE
    return data


def data_of_script(command: str, tree: dict, path: Path, name: str | None, root: str | None) -> dict:
    """The data set that a script trained on; its checkpoint stores a checksum instead of the name."""
    from fastnn.checkpoint import run

    if name is None:
        raise ValueError(
            f"{command}: path={str(path)!r} was written by a script, and does not name its data set; expected the name "
            f"of a data set; pass --data {' or --data '.join(DEFAULTS)} if it was trained on that, or resume in the "
            f"script: Solver.resume(path, data)"
        )
    then = tree.get("data", {})
    if then.get("dtype") in ("float32", "float64"):
        sizes = then["num_train"], then["num_val"], DEFAULTS[name]["num_test"]
        for scaled in (True, False):
            data = load_data(name, root, *sizes, scaled, then["dtype"])
            if run.about(data)["digest"] == then["digest"]:
                return data
    raise ValueError(
        f"{command}: path={str(path)!r} was trained on other data than --data {name}, or on other images of it; "
        f"expected those that `fastnn train` or fastnn.data_utils make; resume in the script: Solver.resume(path, data)"
    )


def defaults_of(name: str, defaults: dict[str, dict], own: Mapping[str, Mapping] | None = None) -> str:
    """The defaults of a setting as text for --help: one value or one per data set, and exceptions of models."""
    values = {data: table[name] for data, table in defaults.items()}
    usual = list(dict.fromkeys(values.values()))
    words = [f"{value} for {data}" for data, value in values.items()] if len(usual) > 1 else map(str, usual)
    return f"default {', '.join(words)}{models.exceptions(name, usual, own)}"
