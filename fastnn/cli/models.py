"""Table of the models of the command line.

Each model is a class of `fastnn.classifiers` and a record here. The class takes the settings in the record's `options`
as keywords, and also input_dim, num_classes, reg, dtype and seed.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

OPTIONS = ("num_filters", "filter_size", "hidden_dim", "weight_scale")  # settings that some models do not have


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that can be trained by name.

    class_name: of the class in `fastnn.classifiers`
    summary: text for --help; description: format string of its sizes, filled with the settings
    options: members of OPTIONS that apply to it, keywords of the class
    is_flat: its input_dim is the number of values in an image, instead of (C, H, W)
    arguments: further keywords of the class
    defaults: settings that differ from the defaults of the data set; data_defaults: more of them, by data set
    grid: the values that a sweep tries; ranges: those that a random sweep draws from
    """

    class_name: str
    summary: str
    description: str
    options: tuple[str, ...]
    is_flat: bool = False
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data_defaults: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    grid: Mapping[str, list] = dataclasses.field(
        default_factory=lambda: {"learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], "reg": [1e-4, 1e-3, 1e-2, 1e-1]}
    )
    ranges: Mapping[str, list] = dataclasses.field(
        default_factory=lambda: {"learning_rate": [(1e-4, 1e-2)], "reg": [(1e-5, 1e-1)]}
    )

    def build(self, settings: Any, input_shape: Sequence[int], seed: Any) -> Any:
        """The network with its initial weights."""
        from fastnn import classifiers

        return getattr(classifiers, self.class_name)(
            input_dim=math.prod(input_shape) if self.is_flat else tuple(input_shape),
            num_classes=10,
            reg=settings.reg,
            dtype="float32",
            seed=seed,
            **{name: getattr(settings, name) for name in self.options},
            **self.arguments,
        )

    def defaults_on(self, data: str) -> dict[str, Any]:
        """The model's default settings on a data set."""
        return {**self.defaults, **self.data_defaults.get(data, {})}


MODELS: dict[str, Model] = {
    "three-layer-conv": Model(
        class_name="ThreeLayerConvNet",
        summary="convolution, ReLU, max pool and two affine layers",
        description="{num_filters} filters {filter_size}x{filter_size}, hidden {hidden_dim}",
        options=("num_filters", "filter_size", "hidden_dim", "weight_scale"),
    ),
    "two-layer": Model(
        class_name="TwoLayerNet",
        summary="two affine layers with a ReLU between them",
        description="hidden {hidden_dim}",
        options=("hidden_dim", "weight_scale"),
        is_flat=True,
    ),
    "resnet": Model(
        class_name="ResNet",
        summary="eight convolutions with batch norm, two pairs of them with a shortcut",
        description="{num_filters} to 8 * {num_filters} filters 3x3",
        options=("num_filters",),
        arguments={"label_smoothing": 0.1},
        defaults={
            "batch_size": 128,
            "learning_rate": 0.1,
            "update_rule": "nesterov",
            "schedule": "one-cycle",
            "sampling": "epoch",
            "reg": 5e-4,
            "num_filters": 16,
        },
        data_defaults={"cifar10": {"augment": True}},
        grid={"learning_rate": [0.01, 0.03, 0.1, 0.3], "reg": [1e-4, 5e-4, 2e-3]},
        ranges={"learning_rate": [(1e-2, 1)], "reg": [(1e-5, 1e-2)]},
    ),
}


def check_applies(model: str, given: Mapping[str, Any]) -> None:
    """Raise ValueError if a given setting does not apply to the model."""
    for name in OPTIONS:
        if name in given and name not in MODELS[model].options:
            option = "--" + name.replace("_", "-")
            others = " or ".join(other for other, record in MODELS.items() if name in record.options)
            raise ValueError(
                f"{option}={given[name]} does not apply to --model {model}; expected a model that has it; "
                f"leave it out or choose --model {others}"
            )


def summaries() -> str:
    """The summaries of all models, for --help."""
    return "; ".join(f"{name}: {model.summary}" for name, model in MODELS.items())


def exceptions(setting: str, usual: Collection, own: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Text for --help: models that do not have a setting or have another default.

    own: defaults of each model; None: those in the table
    """
    words = []
    for name, model in MODELS.items():
        if setting in OPTIONS and setting not in model.options:
            words.append(f"; not for {name}")
        elsewhere = {f"{name} on {data}": table for data, table in model.data_defaults.items()} if own is None else {}
        for where, table in {name: model.defaults if own is None else own[name], **elsewhere}.items():
            if setting in table and table[setting] not in usual:
                value = table[setting]
                words.append(f"; {'yes' if value is True else value} for {where}")
    return "".join(words)
