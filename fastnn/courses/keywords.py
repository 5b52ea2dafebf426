"""Keywords of the courses that mean something else in fastnn; functions of their value, for `Adapted.keywords`.

Dropout changed its meaning twice. Up to 2017 CS231n's p is the probability of dropping, 0 means no dropout; from 2018
p is the probability of keeping, and 1 means no dropout; since 2021 the keyword is `dropout_keep_ratio`. At UCLA p is
the probability of keeping, and 0 means no dropout.
"""

from collections.abc import Mapping
from typing import Any

from fastnn.kernels.dispatch import validation

_RULES = {"sgd_nesterov_momentum": "nesterov"}
_AMBIGUOUS = (
    "FullyConnectedNet: {} in editions of CS231n up to 2017, and {} in those from 2018 to 2020; expected one meaning; "
    'call fastnn.courses.install("cs231n", year=2017) first, or pass {}'
)


def keep_ratio(dropout: Any) -> dict[str, Any]:
    """The probability of keeping (CS231n 2018 to 2020)."""
    if not isinstance(dropout, (str, type(None))) and dropout == 0:
        raise ValueError(_AMBIGUOUS.format("dropout=0 means no dropout", "keeping nothing", "dropout=1"))
    return {"dropout_keep_ratio": dropout}


def of_one_edition(given: Mapping[str, Any]) -> None:
    """Raise ValueError for dropout beside use_batchnorm, which editions have where dropout is what is dropped."""
    if {"dropout", "use_batchnorm"} <= given.keys():
        words = f"dropout={given['dropout']!r} is the probability of dropping"
        raise ValueError(_AMBIGUOUS.format(words, "of keeping", "normalization='batchnorm' for use_batchnorm=True"))


def drop_ratio(dropout: Any) -> dict[str, Any]:
    """The probability of dropping (CS231n up to 2017, CS182)."""
    return {"dropout_keep_ratio": 1 - _probability("FullyConnectedNet", "dropout", dropout)}


def keep_or_none(dropout: Any) -> dict[str, Any]:
    """The probability of keeping, 0 for no dropout (UCLA)."""
    return {"dropout_keep_ratio": _probability("FullyConnectedNet", "dropout", dropout, maximum=1) or 1}


def dropping_param(dropout_param: Any) -> dict[str, Any]:
    """`dropout_param` whose p is the probability of dropping."""
    if isinstance(dropout_param, Mapping) and "p" in dropout_param:
        p = _probability("dropout_forward", 'dropout_param["p"]', dropout_param["p"])
        dropout_param = {**dropout_param, "p": 1 - p}
    return {"dropout_param": dropout_param}


def use_batchnorm(value: Any) -> dict[str, Any]:
    return {"normalization": "batchnorm" if value else None}


def update_rule(value: Any) -> dict[str, Any]:
    return {"update_rule": _RULES.get(value, value) if isinstance(value, str) else value}


def half(reg: Any) -> dict[str, Any]:
    """The penalty of CS231n up to 2016 is 0.5 * reg * sum(W * W)."""
    return {"reg": 0.5 * validation.number("loss", "reg", reg, minimum=0)}


def ignored(value: Any) -> dict[str, Any]:
    """A keyword without effect in its course."""
    return {}


def _probability(function: str, name: str, value: Any, maximum: float | None = None) -> float:
    if maximum is None:
        return validation.number(function, name, value, minimum=0, below=1)
    return validation.number(function, name, value, minimum=0, maximum=maximum)
