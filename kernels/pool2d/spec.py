"""Specification of the functions of `pool2d`; see `dispatch.specification`."""

from ..dispatch.specification import IMAGES, KERNEL, PAD, STRIDE, Floats, Result, Shape, layer, pair, sizes

X, OUT, MEANS = Floats(IMAGES), Floats("N C OH OW"), Floats("N C")
WINDOWS = {"size": KERNEL, "stride": STRIDE, "pad": PAD}
INDEX = {"index": Result("N C OH OW")}

FUNCTIONS = (
    *pair(
        "max_pool2d_forward",
        "max_pool2d_backward",
        {"x": X, **WINDOWS},
        {"dout": OUT, **INDEX, "x_shape": Shape(), **WINDOWS},
        results=("out", "index"),
        gradients=("dx",),
    ),
    *pair(
        "avg_pool2d_forward",
        "avg_pool2d_backward",
        {"x": X, **WINDOWS},
        {"dout": OUT, "x_shape": Shape(), **WINDOWS},
        results=("out",),
        gradients=("dx",),
    ),
    *pair(
        "global_avg_pool2d_forward",
        "global_avg_pool2d_backward",
        {"x": X},
        {"dout": MEANS, "x_shape": Shape()},
        results=("out",),
        gradients=("dx",),
    ),
)


def _with_index(s, itemsize):
    """Return the bytes read and written, one for each index."""
    return dict.fromkeys(("forward", "backward"), float(itemsize * (s["x"] + s["dout"]) + s["dout"]))


def _without_index(s, itemsize):
    return dict.fromkeys(("forward", "backward"), float(itemsize * (s["x"] + s["dout"])))


def _window(s):
    return s["KH"] * s["KW"]


TIMED = (
    layer(
        "max_pool2d",
        _with_index,
        (
            sizes((100, 3, 32, 32), kernel=2, stride=2, headline=True, whole=True),
            sizes((64, 32, 32, 32), kernel=2, stride=2),
            sizes((64, 32, 32, 32), kernel=3, stride=2),
        ),
        label=lambda s: f" {s['KH']}x{s['KW']} s{s['SH']}",
        terms=_window,
        peer=lambda torch, t, s: torch.nn.functional.max_pool2d(t.x, (s["KH"], s["KW"]), (s["SH"], s["SW"])),
        leaves=("x",),
    ),
    layer(
        "avg_pool2d",
        _without_index,
        [sizes((64, 32, 32, 32), kernel=2, stride=2)],
        label=lambda s: f" {s['KH']}x{s['KW']}",
        terms=_window,
        peer=lambda torch, t, s: torch.nn.functional.avg_pool2d(t.x, (s["KH"], s["KW"]), (s["SH"], s["SW"])),
        leaves=("x",),
    ),
    layer(
        "global_avg_pool2d",
        _without_index,
        [sizes((64, 64, 8, 8))],
        terms=lambda s: s["H"] * s["W"],
        peer=lambda torch, t, s: t.x.mean((2, 3)),
        leaves=("x",),
    ),
)
