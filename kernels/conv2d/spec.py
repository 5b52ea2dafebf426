"""Specification of the functions of `conv2d`; see `dispatch.specification`."""

from ..dispatch.specification import DILATION, IMAGES, NEED_DX, PAD, STRIDE, Floats, layer, pair, sizes

X, FILTERS, BIAS, OUT = Floats(IMAGES), Floats("F C KH KW"), Floats("F"), Floats("N F OH OW")
GEOMETRY, SPREAD = {"stride": STRIDE, "pad": PAD}, {"dilation": DILATION}

FUNCTIONS = pair(
    "conv2d_forward",
    "conv2d_backward",
    {"x": X, "w": FILTERS, "b": BIAS, **GEOMETRY, **SPREAD},
    {"dout": OUT, "x": X, "w": FILTERS, **GEOMETRY, "need_dx": NEED_DX, **SPREAD},
    results=("out",),
    gradients=("dx", "dw", "db"),
    spreads_nan=True,
    mixes_infinity=True,
)


def flops(s, itemsize):
    """Return the floating-point operations of each pass; the backward pass computes two convolutions."""
    forward = 2.0 * s["N"] * s["OH"] * s["OW"] * s["w"]
    return {"forward": forward, "backward": 2 * forward}


def terms(s):
    return max(s["KH"] * s["KW"] * max(s["C"], s["F"]), s["N"] * s["OH"] * s["OW"])


def label(s):
    stride, dilation = (f" {letter.lower()}{s[letter + 'H']}" if s[letter + "H"] > 1 else "" for letter in "SD")
    return f" {s['F']}f{s['KH']}x{s['KW']}{stride} p{s['PH']}{dilation}"


def torch_convolution(torch, t, s):
    stride, pad, dilation = ((s[f"{letter}H"], s[f"{letter}W"]) for letter in "SPD")
    return torch.nn.functional.conv2d(t.x, t.w, t.b, stride, pad, dilation)


TIMED = (
    layer(
        "conv2d",
        flops,
        (
            sizes((100, 3, 31, 31), F=25, kernel=3, stride=2, pad=1, headline=True, whole=True),
            sizes((50, 3, 32, 32), F=32, kernel=7, pad=3, headline=True),
            sizes((500, 3, 32, 32), F=64, kernel=3, pad=1),
            sizes((64, 3, 32, 32), F=16, kernel=5, pad=2),
            sizes((64, 16, 16, 16), F=32, kernel=3, pad=1),
            sizes((64, 32, 16, 16), F=64, kernel=3, pad=2, dilation=2),
            sizes((64, 32, 8, 8), F=64, kernel=3, pad=1, headline=True),
            sizes((64, 64, 32, 32), F=64, kernel=3, pad=1, slow=True),
            sizes((64, 64, 32, 32), F=64, kernel=3, stride=2, pad=1),
            sizes((64, 64, 16, 16), F=128, kernel=1),
            sizes((64, 6, 14, 14), F=16, kernel=5),
            sizes((32, 20, 15, 15), F=30, kernel=3, pad=1),
        ),
        unit="FLOP/s",
        label=label,
        terms=terms,
        peer=torch_convolution,
        leaves=("x", "w", "b"),
    ),
)
