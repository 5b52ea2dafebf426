"""Specification of the functions of `affine`; see `dispatch.specification`."""

from ..dispatch.specification import NEED_DX, Floats, layer, pair, sizes

X, WEIGHTS, BIAS, OUT = Floats("N D"), Floats("D M"), Floats("M"), Floats("N M")

FUNCTIONS = pair(
    "affine_forward",
    "affine_backward",
    {"x": X, "w": WEIGHTS, "b": BIAS},
    {"dout": OUT, "x": X, "w": WEIGHTS, "need_dx": NEED_DX},
    results=("out",),
    gradients=("dx", "dw", "db"),
)


def flops(s, itemsize):
    """Return the floating-point operations of each pass; the backward pass computes two products."""
    forward = 2.0 * s["N"] * s["D"] * s["M"]
    return {"forward": forward, "backward": 2 * forward}


def terms(s):
    return max(s["N"], s["D"], s["M"])


def label(s):
    return f"x{s['M']}"


SIZES = (
    sizes((100, 3072), M=100),
    sizes((256, 200), M=200),
    sizes((50, 8192), M=500),
    sizes((500, 16384), M=500),
    sizes((64, 1024), M=10),
)

TIMED = (
    layer(
        "affine",
        flops,
        ({**SIZES[0], "headline": True}, *SIZES[1:]),
        unit="FLOP/s",
        label=label,
        terms=terms,
        peer=lambda torch, t, s: torch.addmm(t.b, t.x, t.w),
        leaves=("x", "w", "b"),
    ),
)
