"""Specification of the functions of `dropout`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Number, Result, layer, pair, sizes

X = Floats("...")
KEPT = {"p": Number((0.5, 1.0, 0.9), minimum=0, maximum=1)}
SEED = {"seed": Number((7, 2**40 + 1), minimum=0, integer=True)}

FUNCTIONS = pair(
    "dropout_forward",
    "dropout_backward",
    {"x": X, **KEPT, **SEED},
    {"dout": X, "mask": Result("..."), **KEPT},
    results=("out", "mask"),
    gradients=("dx",),
)


def _traffic(s, itemsize):
    """Return the bytes read and written, one for each element of the mask."""
    return dict.fromkeys(("forward", "backward"), float((2 * itemsize + 1) * s["x"]))


TIMED = (
    layer(
        "dropout",
        _traffic,
        [sizes((256, 200)), sizes((64, 32, 32, 32), headline=True)],
        numbers={"p": 0.5, "seed": 231},
        peer={
            "forward": lambda torch, t, s: torch.native_dropout(t.x, 1 - s["p"], True),
            "backward": lambda torch, t, s: torch.ops.aten.native_dropout_backward(t.dout, t.mask, 1 / s["p"]),
        },
        random=("forward",),
    ),
)
