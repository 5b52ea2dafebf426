"""Valid calls of `fastnn.layers`, `layer_utils` and `fast_layers`."""

import numpy as np

from fastnn import fast_layers, layer_utils, layers

from .kinds import Call, array, cache, choice, flag, integer, keys, labels, number, pair, required

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 5))
W = RNG.normal(size=(4, 3, 3, 3))
B = np.arange(1.0, 5.0)
ROWS, MATRIX = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 4))
SCORES = RNG.normal(size=(3, 4))
LABELS = np.array([0, 3, 1])

CONVOLUTION = required(keys(stride=pair(1, 1), pad=pair(1, 0)))
POOLING = required(keys(pool_height=integer(2, 1), pool_width=integer(2, 1), stride=pair(2, 1)))
PADDED = keys(pool_height=integer(2, 1), pool_width=integer(2, 1), stride=pair(1, 1), pad=pair(1, 0))
DROPOUT = keys(p=number(0.5, above=0, most=1), mode=choice("train"), seed=integer(7, 0, none=True))
EPSILON = {"eps": number(1e-5, above=0)}
LAYER_NORM = keys(**EPSILON, mode=choice("train"))
BATCH_NORM = keys(
    mode=choice("train"), **EPSILON, momentum=number(0.9, least=0, most=1),
    running_mean=array(B * 0.0, wide=[np.float16], none=True), running_var=array(B, wide=[np.float16], none=True),
)  # fmt: skip
FIXED = keys(
    mode=choice("test"), **EPSILON, momentum=number(0.9, least=0, most=1),
    running_mean=array(B * 0.0, none=True), running_var=array(B, none=True),
)  # fmt: skip

LAYERS: dict[str, Call] = {}


def both(module, name, forward, backward=None, back=None, need_dx=False):
    """Return calls of a forward function, and of its backward function with the results."""
    forward_name, backward_name = f"{name}_forward{back or ''}", f"{name}_{backward or 'backward'}{back or ''}"
    out, made = getattr(module, forward_name)(**{key: fed.good for key, fed in forward.items()})
    prefix = module.__name__.removeprefix("fastnn.")
    LAYERS[f"{prefix}.{forward_name}"] = Call(lambda: getattr(module, forward_name), **forward)
    options = {"need_dx": flag(True)} if need_dx else {}
    any_rank = name in ELEMENTWISE
    LAYERS[f"{prefix}.{backward_name}"] = Call(
        lambda: getattr(module, backward_name), dout=array(np.ones_like(out), any_rank), cache=cache(made), **options
    )


ELEMENTWISE = ("relu", "leaky_relu", "prelu", "elu", "sigmoid", "tanh", "gelu", "maxout", "dropout")
for name, options in {
    "relu": {},
    "leaky_relu": {"slope": number(0.1)},
    "elu": {"alpha": number(0.5)},
    "sigmoid": {},
    "tanh": {},
    "gelu": {},
    "dropout": {"dropout_param": DROPOUT},
}.items():
    both(layers, name, {"x": array(SCORES, any_rank=True), **options})
both(layers, "prelu", {"x": array(SCORES, any_rank=True), "slope": array(B)})
both(layers, "maxout", {"x": array(X.transpose(0, 2, 3, 1), any_rank=True), "pieces": integer(2, 1)})

AFFINE = {"x": array(ROWS), "w": array(MATRIX), "b": array(B)}
SCALED = {"gamma": array(B), "beta": array(B)}
FLAT = {**AFFINE, "x": array(ROWS.reshape(3, 5, 1), any_rank=True)}
both(layers, "affine", FLAT, need_dx=True)
IMAGES = {"x": array(X), "w": array(W), "b": array(B), "conv_param": CONVOLUTION}
for suffix in ("", "_naive"):
    both(layers, "conv", IMAGES, back=suffix, need_dx=True)
    both(layers, "max_pool", {"x": array(X), "pool_param": PADDED}, back=suffix)
both(layers, "avg_pool", {"x": array(X), "pool_param": PADDED})
both(layers, "global_avg_pool", {"x": array(X)})
FOUR = array(X.transpose(0, 2, 3, 1)[..., :1].repeat(4, 1)[:, :4])
NORMAL = {"x": array(SCORES), **SCALED, "bn_param": BATCH_NORM}
both(layers, "batchnorm", NORMAL)
both(layers, "batchnorm", NORMAL, backward="backward_alt")
both(layers, "layernorm", {"x": array(SCORES), **SCALED, "ln_param": LAYER_NORM})
both(layers, "spatial_batchnorm", {"x": FOUR, **SCALED, "bn_param": FIXED})
WIDE = {name: array(B.reshape(1, 4, 1, 1)) for name in SCALED}
both(layers, "spatial_groupnorm", {"x": FOUR, **WIDE, "G": integer(2, 1), "gn_param": LAYER_NORM})
both(layers, "spatial_instancenorm", {"x": FOUR, **SCALED, "in_param": LAYER_NORM})
for name in ("conv", "max_pool"):
    arguments = IMAGES if name == "conv" else {"x": array(X), "pool_param": POOLING}
    both(fast_layers, name, arguments, back="_fast", need_dx=name == "conv")

NORM = {**SCALED, "bn_param": BATCH_NORM}
both(layer_utils, "affine_relu", FLAT, need_dx=True)
both(layer_utils, "affine_bn_relu", {**FLAT, **NORM}, need_dx=True)
both(layer_utils, "affine_ln_relu", {**FLAT, **SCALED, "ln_param": LAYER_NORM}, need_dx=True)
both(layer_utils, "conv_relu", IMAGES, need_dx=True)
both(layer_utils, "conv_bn_relu", {**IMAGES, **SCALED, "bn_param": FIXED}, need_dx=True)
both(layer_utils, "conv_relu_pool", {**IMAGES, "pool_param": POOLING}, need_dx=True)
both(layer_utils, "conv_bn_relu_pool", {**IMAGES, **NORM, "pool_param": POOLING}, need_dx=True)

SMOOTHING = {"label_smoothing": number(0.1, least=0, below=1)}
LAYERS |= {
    "layers.softmax_loss": Call(lambda: layers.softmax_loss, x=array(SCORES), y=labels(LABELS, 4), **SMOOTHING),
    "layers.svm_loss": Call(lambda: layers.svm_loss, x=array(SCORES), y=labels(LABELS, 4)),
    "layers.mse_loss": Call(lambda: layers.mse_loss, x=array(SCORES), target=array(SCORES)),
}
# parameter names in errors that a kernel raises, if they differ
ALIASES = {
    "conv_param": ["stride", "pad"],
    "pool_param": ["size", "stride", "pad", "window"],
    "dropout_param": ["p=", "mode", "seed"],
    "cache": [": "],  # errors that a kernel raises use its own parameter names
    "bn_param": ["epsilon"],
    "ln_param": ["epsilon"],
    "gn_param": ["epsilon"],
    "gamma": ["running_mean", "b.shape", "x.shape"],
    "beta": ["x.shape", "b.shape"],
    "G": ["groups"],
    "w": ["x.shape", "b.shape"],
    "dout": ["x.shape", "out.shape", "mask.shape"],
    "layers": ["layer "],
    "params": ["is not an array", "W1", "b1", "W2", "b2", "x.shape", "x=", "w."],
    "values": ["0.bias"],
    "X": ["x=", "x.", "axes; expected"],
    "name": ["backend="],
    "config": [
        "learning_rate",
        "weight_decay",
        "momentum",
        "decay_rate",
        "epsilon",
        "beta",
        "velocity",
        "cache",
        "m=",
        "m.",
        "v=",
        "v.",
    ],
    "gradients": ["dw"],
    "grads": ["dw"],
    "configs": ["config"],
    "solver": ["lacks", "_history"],
    "class_names": ["classes"],
    "results": ["lacks"],
    "data_dict": ["X_", "y_"],
    "choices": ["reg="],
    "distributions": ["reg="],
    "net": ["W1"],
    "weights": ["W1"],
    "model": ["W1"],
    "trials": ["trial", "params", "val_acc", "learning_rate"],
    "lr": ["learning_rate"],
    "data": ["X_", "y_"],
    "inputs": ["vals"],
}
