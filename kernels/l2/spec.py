"""Specification of the functions of `l2`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Function, Number, Timed, sizes

W = Floats("...")

FUNCTIONS = (
    Function(
        "weight_penalty", {"w": W, "dw": W, "reg": Number((0.5, 0.0, 3.0), minimum=0)}, ("penalty",), written=("dw",)
    ),
    Function("global_norm", {"dw": W}, ("norm",)),
)


def _torch_penalty(torch, t, s):
    return t.w.square().sum() * (s["reg"] / 2), t.dw.add_(t.w, alpha=s["reg"])


TIMED = (
    Timed(
        "weight_penalty",
        {"loss": "weight_penalty"},
        (sizes((4_100_000,), headline=True),),
        lambda s, itemsize: {"loss": 3.0 * itemsize * s["w"]},  # w and dw read, dw written
        terms=lambda s: s["w"],
        numbers={"reg": 0.125},
        peer={"loss": _torch_penalty},
    ),
    Timed(
        "global_norm",
        {"forward": "global_norm"},
        (sizes((4_100_000,)),),
        lambda s, itemsize: {"forward": float(itemsize * s["dw"])},
        terms=lambda s: s["dw"],
        peer={"forward": lambda torch, t, s: torch.linalg.vector_norm(t.dw)},
    ),
)
