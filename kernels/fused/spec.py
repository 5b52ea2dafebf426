"""Specification of the functions of `fused`; see `dispatch.specification`.

A name lists the layers in order: `conv2d_batchnorm_relu_pool` is a convolution, batch norm, ReLU and max pooling.
"""

from ..affine import spec as affine
from ..conv2d import spec as conv2d
from ..dispatch.specification import (
    EPSILON,
    NEED_DX,
    POOL_SIZE,
    POOL_STRIDE,
    Floats,
    Function,
    Result,
    layer,
    sizes,
)

POOLING = {"pool_size": POOL_SIZE, "pool_stride": POOL_STRIDE}
GRADIENTS, OF_NORM = ("dx", "dw", "db"), ("dgamma", "dbeta")


def _functions(name):
    """Yield the forward and the backward pass, and with batch norm those of inference."""
    parts = name.split("_")
    is_affine, has_norm, has_pool = parts[0] == "affine", len(parts) > 2 and "norm" in parts[1], parts[-1] == "pool"
    of = affine if is_affine else conv2d
    arrays = {"x": of.X, "w": of.WEIGHTS if is_affine else of.FILTERS}
    geometry = {} if is_affine else {**conv2d.GEOMETRY, **(POOLING if has_pool else {})}
    spread = {} if is_affine else conv2d.SPREAD
    channel, pooled = of.BIAS, Floats("N F UH UW")
    bias, gradient = {"b": channel}, {"dout": pooled if has_pool else of.OUT}
    result = {"index": Result("N F UH UW")} if has_pool else {"out": of.OUT}
    statistics = {"mean": channel, "var": channel._replace(positive=True)}
    if parts[1] == "layernorm":
        statistics = {"mean": Floats("N 1"), "var": Floats("N 1", positive=True)}
    scale, epsilon, need_dx = {"gamma": channel, "beta": channel}, {"epsilon": EPSILON}, {"need_dx": NEED_DX}
    traits = {"spreads_nan": True, "mixes_infinity": True}
    ties = {"moves_ties": "batchnorm" in name and has_pool}
    results = ("out", "index") if has_pool else ("out",)
    norm = {"gamma": channel, **statistics, **epsilon}
    given, kept = ({**scale, **epsilon}, {"pre_norm": of.OUT, **norm}) if has_norm else ({}, {})
    gradients = GRADIENTS + OF_NORM if has_norm else GRADIENTS
    yield Function(
        f"{name}_forward",
        {**arrays, **bias, **given, **geometry, **spread},
        (*results, "pre_norm", "mean", "var") if has_norm else results,
        **ties,
    )
    yield Function(
        f"{name}_backward",
        {**gradient, **arrays, **kept, **result, **geometry, **need_dx, **spread},
        gradients,
        forward=f"{name}_forward",
        **traits,
        **ties,
    )
    if "batchnorm" in name:
        yield Function(
            f"{name}_inference",
            {**arrays, **bias, **scale, **statistics, **epsilon, **geometry, **spread},
            results,
            **ties,
        )
        yield Function(
            f"{name}_inference_backward",
            {**gradient, **arrays, **bias, **norm, **result, **geometry, **need_dx, **spread},
            gradients,
            forward=f"{name}_inference",
            **traits,
            **ties,
        )


NAMES = (
    "affine_relu",
    "affine_batchnorm_relu",
    "affine_layernorm_relu",
    "conv2d_relu",
    "conv2d_batchnorm_relu",
    "conv2d_relu_pool",
    "conv2d_batchnorm_relu_pool",
)

FUNCTIONS = tuple(function for name in NAMES for function in _functions(name))


def _peer(name):
    """Return the same layers in PyTorch."""

    def layers(torch, t, s):
        out = torch.addmm(t.b, t.x, t.w) if "affine" in name else conv2d.torch_convolution(torch, t, s)
        if "batchnorm" in name:
            out = torch.nn.functional.batch_norm(out, None, None, t.gamma, t.beta, training=True, eps=s["epsilon"])
        elif "layernorm" in name:
            out = torch.nn.functional.layer_norm(out, out.shape[1:], t.gamma, t.beta, s["epsilon"])
        out = torch.nn.functional.relu(out)
        return torch.nn.functional.max_pool2d(out, s["QH"]) if "pool" in name else out

    return layers


def _timed(name, cases):
    of, has_norm = affine if "affine" in name else conv2d, "norm" in name
    return layer(
        name,
        of.flops,
        cases,
        unit="FLOP/s",
        label=of.label,
        terms=of.terms,
        numbers={"epsilon": 1e-5} if has_norm else {},
        peer=_peer(name),
        leaves=("x", "w", "b", *(("gamma", "beta") if has_norm else ())),
    )


HIDDEN = sizes((256, 200), M=200)
CONVOLUTIONS = (
    sizes((50, 3, 32, 32), F=32, kernel=7, pad=3),
    sizes((500, 3, 32, 32), F=64, kernel=3, pad=1),
    sizes((64, 3, 32, 32), F=16, kernel=5, pad=2),
    sizes((64, 16, 16, 16), F=32, kernel=3, pad=1),
    sizes((64, 32, 8, 8), F=64, kernel=3, pad=1),
    sizes((64, 6, 14, 14), F=16, kernel=5),
)
POOLED = [{**case, "pool_size": 2, "pool_stride": 2} for case in CONVOLUTIONS]

TIMED = (
    _timed("affine_relu", affine.SIZES),
    _timed("affine_batchnorm_relu", [HIDDEN]),
    _timed("affine_layernorm_relu", [HIDDEN]),
    _timed("conv2d_relu", CONVOLUTIONS[3:4]),
    _timed("conv2d_relu_pool", [{**POOLED[0], "headline": True}, *POOLED[1:]]),
    _timed("conv2d_batchnorm_relu", CONVOLUTIONS[3:4]),
    _timed("conv2d_batchnorm_relu_pool", POOLED[2:4]),
)
