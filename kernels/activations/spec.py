"""Specification of the functions of `activations`; see `dispatch.specification`."""

from ..dispatch.specification import ANY, Floats, Number, Result, layer, pair, sizes

X, PLANES, SLOPES = Floats("..."), Floats(ANY), Floats("C")
PIECES = Number((1, 2, 3), minimum=1, maximum=256, integer=True)
NUMBERS = {
    "leaky_relu": {"slope": Number((0.01, 0.25))},
    "prelu": {"slope": SLOPES},
    "elu": {"alpha": Number((1.0, 0.5))},
}
KINDS = ("relu", "leaky_relu", "prelu", "elu", "sigmoid", "tanh", "gelu")
FROM_OUT = ("sigmoid", "tanh")  # the gradient is computed from the output of the forward pass


def _element_by_element(kind):
    numbers = NUMBERS.get(kind, {})
    return pair(
        f"{kind}_forward",
        f"{kind}_backward",
        {"x": X, **numbers},
        {"dout": X, "out" if kind in FROM_OUT else "x": X, **numbers},
        results=("out",),
        gradients=("dx", "dslope") if kind == "prelu" else ("dx",),
    )


FUNCTIONS = (
    *(function for kind in KINDS for function in _element_by_element(kind)),
    *pair(
        "maxout_forward",
        "maxout_backward",
        {"x": Floats("N channels ..."), "pieces": PIECES},
        {"dout": PLANES, "index": Result(ANY), "pieces": PIECES},
        results=("out", "index"),
        gradients=("dx",),
    ),
)


def _traffic(s, itemsize):
    return {"forward": 2.0 * itemsize * s["x"], "backward": 3.0 * itemsize * s["x"]}


def _timed(kind):
    large = sizes((64, 32, 32, 32), headline=kind == "gelu")

    def peer(torch, t, s):
        function = getattr(torch if kind in FROM_OUT else torch.nn.functional, kind)
        return function(t.x, t.slope) if kind == "prelu" else function(t.x)

    return layer(
        kind,
        _traffic,
        [sizes((256, 200)), large] if kind == "relu" else [large],
        terms=(lambda s: s["x"] // s["C"]) if kind == "prelu" else (lambda s: 1),
        peer=peer,
        leaves=("x", "slope") if kind == "prelu" else ("x",),
    )


TIMED = (
    *map(_timed, KINDS),
    layer(
        "maxout",
        lambda s, itemsize: dict.fromkeys(("forward", "backward"), float(itemsize * (s["x"] + s["dout"]) + s["dout"])),
        [sizes((256, 200), pieces=2), sizes((64, 32, 32, 32), pieces=2)],
        label=lambda s: f" by {s['pieces']}",
        peer=lambda torch, t, s: t.x.unflatten(1, (-1, s["pieces"])).max(2).values,
        leaves=("x",),
    ),
)
