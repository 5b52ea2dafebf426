"""The functions of the courses that are graded: arguments, results and points."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from fastnn import layers, optim
from fastnn.kernels.dispatch.specification import EPSILON, KERNEL, PAD, STRIDE, Flag, Floats, Function, Labels, Number
from fastnn.kernels.linear_losses import linear_softmax_loss, linear_svm_loss
from fastnn.testing.conformance.strategies import Plan

from . import calls

_COMMON: Plan = {"values": "normal", "layout": "C"}
_UNPADDED = {"PH": 0, "PW": 0}
_TRAINING = Flag()


class CourseFunction(Function):
    """A function of the courses, in the form of a kernel, so that the tools of `conformance` apply.

    allowed_terms: the longest sum that rounding may affect, per element of an argument: results agree to about 1e-9
    """

    __slots__ = ()
    allowed_terms = 10**9

    @property
    def public(self) -> Callable:
        """The reference, which runs on the active backend."""
        exercise = EXERCISES[self.name]
        forward = EXERCISES[exercise.forward].reference if exercise.forward else None
        return partial(exercise.call, exercise.reference, forward)


class Exercise(NamedTuple):
    """A graded function.

    call: of `calls`, which calls it as the courses do; reference: fastnn's function of the same signature
    forward: the name of the forward pass whose cache it takes, or None
    plans: choices that are not drawn; the first are judged first
    numeric: whether a wrong gradient can be compared with a numeric one
    group: functions that the courses keep in one file
    """

    function: CourseFunction
    call: Callable
    reference: Callable
    points: int
    group: str
    forward: str | None = None
    plans: tuple[Plan, ...] = (_COMMON,)
    numeric: bool = False

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def required(self) -> bool:
        """Whether a file with the other passes of the layer should have it."""
        return not self.name.endswith("_alt")


EXERCISES: dict[str, Exercise] = {}


def _add(
    name: str,
    call: Callable,
    arguments: Mapping[str, Any],
    results: tuple[str, ...],
    points: int,
    group: str,
    reference: Callable | None = None,
    plans: tuple[Mapping[str, Any], ...] = ({},),
    operation: str = "course",
    **more: Any,
) -> None:
    function = CourseFunction(name, arguments, results, operation=operation)
    found = reference or getattr(layers, name, None) or getattr(optim, name)
    fixed = tuple({**_COMMON, **plan} for plan in plans)
    EXERCISES[name] = Exercise(function, call, found, points, group, plans=fixed, **more)


def _pair(
    names: tuple[str, ...],
    forward: Callable,
    backward: Callable,
    arguments: Mapping[str, Any],
    gradients: tuple[str, ...],
    points: tuple[int, ...],
    dout: str,
    before: Mapping[str, Any] | None = None,
    results: tuple[str, ...] = ("out",),
    **more: Any,
) -> None:
    """Add a forward pass and its backward passes. before: the arguments of the forward pass, if it has more."""
    first, *others = names
    numeric = more.pop("numeric", True)
    _add(first, forward, before or arguments, results, points[0], "layers", **more)
    if before:
        more.pop("plans")  # of arguments that the backward passes lack
    for name, worth in zip(others, points[1:], strict=True):
        taken = {"dout": Floats(dout), **arguments}
        _add(name, backward, taken, gradients, worth, "layers", forward=first, numeric=numeric, **more)


_IMAGES, _ROWS, _CHANNELS, _COLUMNS = Floats("N C H W"), Floats("N D"), Floats("C"), Floats("D")
_BROADCAST = Floats("1 channels 1 1")
_CONV = {"x": _IMAGES, "w": Floats("F C KH KW"), "b": Floats("F"), "stride": STRIDE, "pad": PAD}
_POOL = {"x": _IMAGES, "size": KERNEL, "stride": STRIDE}
_SCALED = ("dx", "dgamma", "dbeta")
_CONV_PLANS = tuple({"SH": s, "SW": s, "PH": p, "PW": p} for s, p in ((1, 0), (1, 1), (2, 0), (2, 1)))
_POOL_PLANS = tuple({"SH": s, "SW": s, **_UNPADDED} for s in (1, 2, 3))
_BOTH_MODES = ({"training": True}, {"training": False})


def _norm(x: Floats, scale: Floats) -> dict[str, Any]:
    return {"x": x, "gamma": scale, "beta": scale}


def _add_batchnorm(names: tuple[str, ...], x: Floats, scale: Floats, points: tuple[int, ...]) -> None:
    usual = _norm(x, scale)
    running = {"running_mean": scale, "running_var": scale._replace(positive=True), "training": _TRAINING}
    _pair(
        names, calls.batchnorm_forward, calls.batchnorm_backward, {**usual, "eps": EPSILON}, _SCALED, points, x.axes,
        before={**usual, **running, "eps": EPSILON}, results=("out", "running_mean", "running_var"), plans=_BOTH_MODES,
    )  # fmt: skip


_pair(
    ("affine_forward", "affine_backward"), calls.affine_forward, calls.affine_backward,
    {"x": Floats("N C pieces"), "w": Floats("channels M"), "b": Floats("M")}, ("dx", "dw", "db"), (1, 2), "N M",
    plans=({"pieces": 2},),
)  # fmt: skip
_pair(
    ("relu_forward", "relu_backward"), calls.activation_forward, calls.activation_backward,
    {"x": _ROWS}, ("dx",), (1, 1), "N D",
)  # fmt: skip
_add_batchnorm(("batchnorm_forward", "batchnorm_backward", "batchnorm_backward_alt"), _ROWS, _COLUMNS, (3, 4, 2))
_pair(
    ("layernorm_forward", "layernorm_backward"), calls.layernorm_forward, calls.layernorm_backward,
    {**_norm(_ROWS, _COLUMNS), "eps": EPSILON}, _SCALED, (2, 2), "N D",
)  # fmt: skip
_pair(
    ("dropout_forward", "dropout_backward"), calls.dropout_forward, calls.dropout_backward,
    {"x": _ROWS, "p": Number((0.75, 0.3)), "training": _TRAINING}, ("dx",), (1, 1), "N D",
    results=("out", "share kept"), plans=tuple({"N": 60, "D": 50, **mode} for mode in _BOTH_MODES), numeric=False,
)  # fmt: skip
_pair(
    ("conv_forward_naive", "conv_backward_naive"), calls.conv_forward, calls.conv_backward,
    _CONV, ("dx", "dw", "db"), (4, 4), "N F OH OW", plans=_CONV_PLANS,
)  # fmt: skip
_pair(
    ("max_pool_forward_naive", "max_pool_backward_naive"), calls.pool_forward, calls.pool_backward,
    _POOL, ("dx",), (2, 2), "N C OH OW", plans=_POOL_PLANS,
)  # fmt: skip
_add_batchnorm(("spatial_batchnorm_forward", "spatial_batchnorm_backward"), _IMAGES, _CHANNELS, (2, 2))
_pair(
    ("spatial_groupnorm_forward", "spatial_groupnorm_backward"), calls.groupnorm_forward, calls.groupnorm_backward,
    {**_norm(Floats("N channels H W"), _BROADCAST), "groups": Number((1, 2, 3), integer=True), "eps": EPSILON},
    _SCALED, (2, 3), "N channels H W", plans=tuple({"groups": G, "pieces": G} for G in (1, 2, 3)),
)  # fmt: skip

for _name in ("svm_loss", "softmax_loss"):
    _add(_name, calls.loss, {"x": Floats("N K"), "y": Labels()}, ("loss", "dx"), 2, "layers", numeric=True)

_LINEAR = {"W": Floats("D K"), "X": _ROWS, "y": Labels(), "reg": Number((0.5, 0.0, 3.0))}
for _group, _kernel in (("svm_loss", linear_svm_loss), ("softmax_loss", linear_softmax_loss)):
    for _form, _worth in (("naive", 2), ("vectorized", 3)):
        _add(
            f"{_group}_{_form}", calls.linear_loss, _LINEAR, ("loss", "dW"), _worth, _group,
            reference=_kernel, numeric=True,
        )  # fmt: skip

_UPDATE = {"w": _ROWS, "dw": _ROWS}
_RATE, _SMALL = {"learning_rate": Number((0.5, 0.1))}, {"epsilon": Number((1e-8, 0.1))}
_SQUARES = _ROWS._replace(positive=True)
_add("sgd", calls.sgd, {**_UPDATE, **_RATE}, ("next_w",), 0, "optim")
_add(
    "sgd_momentum", calls.sgd_momentum, {**_UPDATE, "velocity": _ROWS, **_RATE, "momentum": Number((0.9, 0.5))},
    ("next_w", "velocity"), 1, "optim",
)  # fmt: skip
_add(
    "rmsprop", calls.rmsprop, {**_UPDATE, "cache": _SQUARES, **_RATE, "decay_rate": Number((0.9, 0.5)), **_SMALL},
    ("next_w", "cache"), 1, "optim",
)  # fmt: skip
_add(
    "adam", calls.adam,
    {
        **_UPDATE, "m": _ROWS, "v": _SQUARES, "t": Number((1, 2, 1000), integer=True), **_RATE,
        "beta1": Number((0.9, 0.5)), "beta2": Number((0.99, 0.5)), **_SMALL,
    },
    ("next_w", "m", "v", "t"), 2, "optim",
)  # fmt: skip
