"""Specification of the functions of `losses`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Function, Labels, Number, Timed, sizes

SCORES, RESULTS = Floats("N K"), ("loss", "dx")
SMOOTHING = Number((0.0, 0.25), minimum=0, below=1)

FUNCTIONS = (
    Function("softmax_loss", {"x": SCORES, "y": Labels(), "label_smoothing": SMOOTHING}, RESULTS),
    Function("svm_loss", {"x": SCORES, "y": Labels()}, RESULTS),
    Function("mse_loss", {"x": Floats("N ..."), "target": Floats("N ...")}, RESULTS),
)


def _timed(name, x, arrays, peer, headline=False):
    """Return a benchmark. arrays: the number of arrays of x's size that are read or written, without the labels."""
    return Timed(
        name,
        {"loss": name},
        (sizes(x, headline=headline),),
        lambda s, itemsize: {"loss": float(itemsize * s["x"] * arrays)},
        terms=lambda s: s["x"],
        peer=peer,
        leaves=("x",),
    )


TIMED = (
    _timed("softmax_loss", (500, 10), 2, lambda torch, t, s: torch.nn.functional.cross_entropy(t.x, t.y), True),
    _timed("svm_loss", (500, 10), 2, lambda torch, t, s: s["K"] * torch.nn.functional.multi_margin_loss(t.x, t.y)),
    _timed(
        "mse_loss",
        (500, 256),
        3,
        lambda torch, t, s: torch.nn.functional.mse_loss(t.x, t.target, reduction="sum") / (2 * s["N"]),
    ),
)
