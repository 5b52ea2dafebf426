"""Valid calls of `fastnn.nn`: constructors, forward and backward passes, initial weights, whole networks."""

import numpy as np

from fastnn import nn
from fastnn.autograd import Tensor
from fastnn.layers import softmax_loss

from .calls_layers import LABELS, SCORES, X
from .kinds import (
    NOTHING,
    Call,
    Fed,
    array,
    choice,
    dtype,
    flag,
    function,
    instance,
    integer,
    labels,
    number,
    pair,
    path,
    seed,
    shape,
)  # fmt: skip

NN: dict[str, Call] = {}
MADE = {"dtype": dtype(), "init": choice("normal", none=True, functions=True), "seed": seed()}
IMAGES, ROWS = X.astype(np.float32), SCORES.astype(np.float32)
SPATIAL = ROWS.reshape(1, 4, 3, 1).copy()

CONSTRUCTORS = {
    nn.Linear: {"in_features": integer(4, 1), "out_features": integer(3, 1), "bias": flag(True), **MADE},
    nn.Conv2d: {
        "in_channels": integer(3, 1), "out_channels": integer(2, 1), "kernel_size": pair(3, 1), "stride": pair(1, 1),
        "padding": pair(1, 0), "dilation": pair(1, 1), "bias": flag(True), **MADE,
    },
    nn.MaxPool2d: {"kernel_size": pair(2, 1), "stride": pair(2, 1, none=True), "padding": pair(0, 0)},
    nn.AvgPool2d: {"kernel_size": pair(2, 1), "stride": pair(2, 1, none=True), "padding": pair(0, 0)},
    nn.GlobalAvgPool2d: {},
    nn.Flatten: {},
    nn.ReLU: {}, nn.Sigmoid: {}, nn.Tanh: {}, nn.GELU: {},
    nn.LeakyReLU: {"negative_slope": number(0.01)},
    nn.ELU: {"alpha": number(1.0)},
    nn.PReLU: {"num_parameters": integer(4, 1), "init": number(0.25), "dtype": dtype()},
    nn.Maxout: {"pieces": integer(2, 1)},
    nn.Dropout: {"p": number(0.5, least=0, below=1), "seed": seed(), "fixed": flag(True)},
    nn.GroupNorm: {
        "num_groups": integer(2, 1), "num_channels": integer(4, 1), "eps": number(1e-5, above=0), "affine": flag(True),
        "dtype": dtype(),
    },
    nn.InstanceNorm2d: {
        "num_features": integer(4, 1), "eps": number(1e-5, above=0), "affine": flag(True), "dtype": dtype(),
    },
    nn.LayerNorm: {
        "normalized_shape": shape((4,), scalar=True), "eps": number(1e-5, above=0), "elementwise_affine": flag(True),
        "bias": flag(True), "dtype": dtype(),
    },
}  # fmt: skip
for kind in (nn.BatchNorm1d, nn.BatchNorm2d):
    CONSTRUCTORS[kind] = {
        "num_features": integer(4, 1), "eps": number(1e-5, above=0), "affine": flag(True), "dtype": dtype(),
        "momentum": number(0.1, least=0, most=1, none=True),
    }  # fmt: skip
INPUTS = {
    nn.Conv2d: IMAGES, nn.MaxPool2d: IMAGES, nn.AvgPool2d: IMAGES, nn.GlobalAvgPool2d: IMAGES, nn.BatchNorm2d: SPATIAL,
    nn.GroupNorm: SPATIAL, nn.InstanceNorm2d: SPATIAL,
}  # fmt: skip
ANY_RANK = (nn.Flatten, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.LeakyReLU, nn.ELU, nn.Maxout, nn.Dropout)
ANY_RANK += (nn.Linear, nn.LayerNorm, nn.PReLU, nn.GroupNorm, nn.BatchNorm1d)  # these accept or flatten further axes


def passed(kind, made):
    """What a forward pass passes to the backward pass; None without dropout."""
    return Fed(made, [3, "a", NOTHING, (1, 2), *([] if kind is nn.Dropout else [None])])


for kind, arguments in CONSTRUCTORS.items():
    name, given = f"nn.{kind.__name__}", {key: fed.good for key, fed in arguments.items()}
    NN[name] = Call(lambda kind=kind: kind, **arguments)
    x, any_rank = INPUTS.get(kind, ROWS), kind in ANY_RANK
    out, made = kind(**given).forward(x)
    NN[f"{name}.forward"] = Call(lambda kind=kind, given=given: kind(**given).forward, x=array(x, any_rank))
    NN[f"{name}.backward"] = Call(
        lambda kind=kind, given=given: kind(**given).backward,
        dout=array(np.ones_like(out), kind is nn.Flatten), cache=passed(kind, made), need_dx=flag(True),
    )  # fmt: skip


def around(kind, **options):
    return kind(nn.Linear(4, 4, seed=0), **options)


LAYER, TWICE = nn.Linear(4, 4), nn.BatchNorm1d(4)
STACK = Fed((LAYER,), [(3,), ("a",), (None,), (nn.ReLU,), ([LAYER],), (TWICE, TWICE)])
NAMES = Fed(("W", "b"), [3, "ab c", ("W",), ("W", "W"), (1, 2), ("W", None), NOTHING])
OPTIONS = {
    nn.Residual: {"shortcut": instance(nn.Linear(4, 4), none=True)},
    nn.DenseBlock: {},
    nn.Sequential: {"loss": function(softmax_loss), "reg": number(0.1, least=0), "names": NAMES},
}
FITS = {"wide": [np.float16]}  # converted to the dtype of the network
for kind, options in OPTIONS.items():
    name = f"nn.{kind.__name__}"
    NN[name] = Call(lambda kind=kind: lambda layers, **given: kind(*layers, **given), layers=STACK, **options)
    made = around(kind).forward(ROWS)[1]
    out = around(kind)(ROWS)
    for method in ("__call__", "forward"):
        NN[f"{name}.{method}"] = Call(
            lambda kind=kind, method=method: getattr(around(kind), method), x=array(ROWS, **FITS)
        )
    NN[f"{name}.backward"] = Call(
        lambda kind=kind: around(kind).backward,
        dout=array(out), cache=Fed(made, [None, 3, "a", NOTHING, (1, 2)]), need_dx=flag(True),
    )  # fmt: skip
REDUCTION = choice("mean")
NN |= {
    "nn.AdaptiveAvgPool2d": Call(lambda: nn.AdaptiveAvgPool2d, output_size=pair(1, 1)),
    "nn.CrossEntropyLoss": Call(
        lambda: nn.CrossEntropyLoss, label_smoothing=number(0.1, least=0, below=1), reduction=REDUCTION
    ),
    "nn.MSELoss": Call(lambda: nn.MSELoss, reduction=REDUCTION),
}
MODULES = Fed([LAYER], [None, 3, "a", NOTHING, [3], [None], [nn.ReLU], LAYER])
NAMED_MODULES = Fed({"a": LAYER}, [3, "a", NOTHING, [LAYER], {"a": 3}, {"a.b": LAYER}, {"": LAYER}, {3: LAYER}])
STATE = around(nn.Sequential).state_dict()
NN |= {
    "nn.Module": Call(
        lambda: lambda params: nn.Module(**params), params=Fed({"w": ROWS}, [{"inplace": True}, {"w": [1]}])
    ),
    "nn.Module.__call__": Call(lambda: nn.ReLU().__call__, x=array(ROWS, any_rank=True)),
    "nn.Module.apply": Call(lambda: nn.ReLU().apply, function=function(type)),
    "nn.Module.to": Call(lambda: nn.ReLU().to, device=Fed("cpu", [np.float32, np.dtype("f8")])),
    "nn.Module.train": Call(lambda: nn.ReLU().train, mode=flag(True)),
    "nn.Module.load_state_dict": Call(
        lambda: around(nn.Sequential).load_state_dict,
        values=Fed(STATE, [None, 3, "a", [], {**STATE, "0.bias": "a"}, {**STATE, "0.bias": np.ones(3)}]),
        strict=flag(True),
    ),
    "nn.Module.loss": Call(
        lambda: around(nn.Sequential, reg=0.1).loss,
        X=array(ROWS, **FITS),
        y=Fed(LABELS, [value for value in labels(LABELS, 4).bad if value is not None]),
    ),
    "nn.ModuleList": Call(lambda: nn.ModuleList, modules=MODULES),
    "nn.ModuleList.append": Call(lambda: nn.ModuleList().append, module=instance(LAYER)),
    "nn.ModuleList.extend": Call(lambda: nn.ModuleList().extend, modules=MODULES),
    "nn.ModuleList.insert": Call(lambda: nn.ModuleList().insert, index=integer(0), module=instance(LAYER)),
    "nn.ModuleDict": Call(lambda: nn.ModuleDict, modules=NAMED_MODULES),
    "nn.ModuleDict.update": Call(lambda: nn.ModuleDict().update, modules=NAMED_MODULES),
    "nn.Module.save": Call(lambda: around(nn.Sequential).save, name=path("weights.npz")),
    "nn.Module.load": Call(lambda: around(nn.Sequential).load, name=path("sequential.npz")),
}

SHAPE = {"shape": shape((3, 4)), "seed": seed(), "dtype": dtype()}
KAIMING = {"slope": number(0.0), "mode": choice("fan_in")}
for name, options in {
    "normal": {"std": number(0.1, least=0)},
    "xavier_normal": {"gain": number(1.0)},
    "xavier_uniform": {"gain": number(1.0)},
    "kaiming_normal": KAIMING,
    "kaiming_uniform": KAIMING,
}.items():
    NN[f"nn.init.{name}"] = Call(lambda name=name: getattr(nn.init, name), **SHAPE, **options)
WEIGHT = {"tensor": Fed(Tensor(np.zeros((3, 4), np.float32)), [None, 3, "a", NOTHING, ROWS, Tensor(LABELS)])}
FILLED = {**WEIGHT, "generator": seed()}
KAIMING = {"a": number(0.0), "mode": choice("fan_in"), "nonlinearity": choice("relu")}
for name, options in {
    "normal_": {**FILLED, "mean": number(0.0), "std": number(0.1, least=0)},
    "uniform_": {**FILLED, "a": number(0.0), "b": number(1.0, least=0)},
    "xavier_normal_": {**FILLED, "gain": number(1.0)},
    "xavier_uniform_": {**FILLED, "gain": number(1.0)},
    "kaiming_normal_": {**FILLED, **KAIMING},
    "kaiming_uniform_": {**FILLED, **KAIMING},
    "constant_": {**WEIGHT, "val": number(1.0)},
    "zeros_": WEIGHT,
    "ones_": WEIGHT,
}.items():
    NN[f"nn.init.{name}"] = Call(lambda name=name: getattr(nn.init, name), **options)
