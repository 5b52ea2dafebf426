"""Specification of the functions of `linear_losses`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Function, Labels, Number, Timed, sizes

WEIGHTS = Floats("D K", scale=1 / 64)  # keeps softmax from saturating with many features
ARGUMENTS = {"W": WEIGHTS, "X": Floats("N D"), "y": Labels(), "reg": Number((0.5, 0.0, 3.0), minimum=0)}
RESULTS = ("loss", "dW")

FUNCTIONS = (
    Function("linear_svm_loss", ARGUMENTS, RESULTS),
    Function("linear_softmax_loss", ARGUMENTS, RESULTS),
)


def _timed(name, loss, headline=False):
    return Timed(
        name,
        {"loss": name},
        (sizes((128, 3073), K=10, headline=headline),),
        lambda s, itemsize: {"loss": 4.0 * s["N"] * s["D"] * s["K"]},  # the scores and dW
        unit="FLOP/s",
        label=lambda s: f"x{s['K']}",
        terms=lambda s: max(s["X"], s["W"]),
        numbers={"reg": 1e-3},
        peer=lambda torch, t, s: loss(torch.nn.functional, t, s) + s["reg"] * (t.W * t.W).sum(),
        leaves=("W",),
    )


TIMED = (
    _timed("linear_softmax_loss", lambda functional, t, s: functional.cross_entropy(t.X @ t.W, t.y)),
    _timed("linear_svm_loss", lambda functional, t, s: s["K"] * functional.multi_margin_loss(t.X @ t.W, t.y), True),
)
