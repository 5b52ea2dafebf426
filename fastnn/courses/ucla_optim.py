"""The update rules of UCLA's course. Their configurations have other keys: v and a in adam, a in rmsprop."""

import functools
from collections.abc import Callable
from typing import Any

from fastnn import optim
from fastnn.optim import sgd, sgd_momentum

__all__ = ["adam", "rmsprop", "sgd", "sgd_momentum", "sgd_nesterov_momentum"]


def _with_keys(rule: Callable, keys: dict[str, str]) -> Callable:
    """Return `rule` for configurations with the course's keys, {course's: fastnn's}; the dict given is updated."""
    back = {own: course for course, own in keys.items()}

    @functools.wraps(rule)
    def called(w: Any, dw: Any, config: dict | None = None) -> Any:
        config = {} if config is None else config
        next_w, found = rule(w, dw, {keys.get(name, name): value for name, value in config.items()})
        config.clear()
        config.update({back.get(name, name): value for name, value in found.items()})
        return next_w, config

    return called


adam = _with_keys(optim.adam, {"v": "m", "a": "v"})
rmsprop = _with_keys(optim.rmsprop, {"a": "cache"})
sgd_nesterov_momentum = optim.nesterov
