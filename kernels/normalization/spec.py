"""Specification of the functions of `normalization`; see `dispatch.specification`."""

from ..dispatch.specification import ANY, EPSILON, Floats, Function, Number, layer, pair, sizes

X, CHANNELS, VARIANCES = Floats(ANY), Floats("C"), Floats("C", positive=True)
SCALE = {"gamma": CHANNELS, "beta": CHANNELS}
STATISTICS = {"mean": CHANNELS, "var": VARIANCES, "epsilon": EPSILON}
GROUPS = {"groups": Number((1, 2, 3), minimum=1, integer=True)}
OF_GROUPS = {"mean": Floats("N G"), "var": Floats("N G", positive=True), "epsilon": EPSILON}
OF_CHANNELS = {"mean": Floats("N C"), "var": Floats("N C", positive=True), "epsilon": EPSILON}
GRADIENTS = ("dx", "dgamma", "dbeta")

_BACKWARD = {"dout": X, "x": X, "gamma": CHANNELS, **STATISTICS}

FUNCTIONS = (
    *pair(
        "batchnorm_forward",
        "batchnorm_backward",
        {"x": X, **SCALE, "epsilon": EPSILON},
        _BACKWARD,
        results=("out", "mean", "var"),
        gradients=GRADIENTS,
        mixes_infinity=True,
    ),
    Function("batchnorm_backward_alt", _BACKWARD, GRADIENTS, forward="batchnorm_forward", mixes_infinity=True),
    *pair(
        "batchnorm_inference",
        "batchnorm_inference_backward",
        {"x": X, **SCALE, **STATISTICS},
        _BACKWARD,
        results=("out",),
        gradients=GRADIENTS,
        mixes_infinity=True,
    ),
    *pair(
        "instancenorm_forward",
        "instancenorm_backward",
        {"x": X, **SCALE, "epsilon": EPSILON},
        {"dout": X, "x": X, "gamma": CHANNELS, **OF_CHANNELS},
        results=("out", "mean", "var"),
        gradients=GRADIENTS,
        mixes_infinity=True,
    ),
    *pair(
        "groupnorm_forward",
        "groupnorm_backward",
        {"x": X, **SCALE, **GROUPS, "epsilon": EPSILON},
        {"dout": X, "x": X, "gamma": CHANNELS, **GROUPS, **OF_GROUPS},
        results=("out", "mean", "var"),
        gradients=GRADIENTS,
        mixes_infinity=True,
    ),
)

EXACT = {"epsilon": 1e-5}


def traffic(s, itemsize):
    return {"forward": 2.0 * itemsize * s["x"], "backward": 3.0 * itemsize * s["x"]}


def _torch_batchnorm(torch, t, s):
    return torch.nn.functional.batch_norm(t.x, None, None, t.gamma, t.beta, training=True, eps=s["epsilon"])


def _torch_inference(torch, t, s):
    return torch.nn.functional.batch_norm(t.x, t.mean, t.var, t.gamma, t.beta, training=False, eps=s["epsilon"])


def _torch_groupnorm(torch, t, s):
    if t.x.ndim == 2 and s["groups"] == 1:
        return torch.nn.functional.layer_norm(t.x, t.x.shape[1:], t.gamma, t.beta, s["epsilon"])
    return torch.nn.functional.group_norm(t.x, s["groups"], t.gamma, t.beta, s["epsilon"])


def _torch_instancenorm(torch, t, s):
    return torch.nn.functional.instance_norm(t.x, None, None, t.gamma, t.beta, eps=s["epsilon"])


_OF_BATCH = {"terms": lambda s: s["x"] // s["C"], "numbers": EXACT, "leaves": ("x", "gamma", "beta")}

TIMED = (
    layer(
        "batchnorm",
        traffic,
        [sizes((256, 200)), sizes((64, 32, 32, 32), headline=True)],
        passes={"forward": "batchnorm_forward", "backward": "batchnorm_backward_alt"},
        peer=_torch_batchnorm,
        **_OF_BATCH,
    ),
    layer(
        "batchnorm_inference",
        traffic,
        [sizes((64, 32, 32, 32))],
        passes={"forward": "batchnorm_inference", "backward": "batchnorm_inference_backward"},
        peer=_torch_inference,
        **_OF_BATCH,
    ),
    layer(
        "instancenorm",
        traffic,
        [sizes((64, 32, 32, 32))],
        peer=_torch_instancenorm,
        **_OF_BATCH,
    ),
    layer(
        "groupnorm",
        traffic,
        [sizes((256, 200), groups=1), sizes((64, 32, 32, 32), groups=1), sizes((64, 32, 32, 32), groups=8)],
        label=lambda s: f" in {s['groups']}",
        peer=_torch_groupnorm,
        **{**_OF_BATCH, "terms": lambda s: s["x"] // min(s["N"], s["C"])},
    ),
)
