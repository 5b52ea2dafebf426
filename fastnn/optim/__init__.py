"""Update rules, as functions of arrays and as optimizers of Tensors.

    sgd, sgd_momentum, nesterov, rmsprop, adagrad,      functions.py    rule(w, dw, config) -> (next_w, config)
    adam, adamw, lion; update, clip_by_norm
    SGD, RMSprop, Adagrad, Adam, AdamW, Lion            optimizers.py   SGD(parameters, lr=1e-2).step(); base.py
    `update` for the same parameters in every step      repeated.py

Both run the kernels of `fastnn.kernels.updates`, `update` and `step` once for all parameters.
"""

from .functions import (
    DEFAULTS,
    RULES,
    STATE,
    adagrad,
    adam,
    adamw,
    base_rate,
    checked_config,
    clip_by_norm,
    find,
    lion,
    nesterov,
    next_numbers,
    rmsprop,
    sgd,
    sgd_momentum,
    update,
    usual_rate,
)
from .optimizers import SGD, Adagrad, Adam, AdamW, Lion, RMSprop

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Lion", "RMSprop",
    "DEFAULTS", "RULES", "STATE", "adagrad", "adam", "adamw", "base_rate", "checked_config", "clip_by_norm", "find",
    "lion", "nesterov", "next_numbers", "rmsprop", "sgd", "sgd_momentum", "update", "usual_rate",
]  # fmt: skip
