"""Specification of the functions of `updates`, derived from the records in `rules`; see `dispatch.specification`."""

import inspect

from ..dispatch.specification import Floats, Function, Number, Timed, sizes
from .rules import LIMITS, RULES

W = Floats("...")
CHOICES = {
    "t": (1, 2, 1000),
    "learning_rate": (0.5, 0.1),
    "momentum": (0.9, 0.5),
    "decay_rate": (0.9, 0.5),
    "beta1": (0.875, 0.5),  # exact in every dtype, for discontinuous rules
    "beta2": (0.99, 0.5),
    "epsilon": (0.1, 0.5),
    "weight_decay": (0.0, 0.25),
}


def _function(rule):
    state = {name: W._replace(positive=name in rule.not_negative) for name in rule.state}
    numbers = {name: Number(CHOICES[name], **LIMITS[name], integer=name == "t") for name in rule.hyperparameters}
    arguments = {"w": W, "dw": W, **state, "out": W, **numbers}
    return Function(rule.kernel, arguments, (), written=("out", *rule.state), jumps=rule.jumps)


def _torch_step(rule):
    """Return a step of PyTorch's optimizer, fused if it supports that."""

    def step(torch, t, s):
        w = t.w.clone().requires_grad_()
        w.grad = t.dw
        kind = getattr(torch.optim, rule.torch.name)
        fused = {"fused": True} if "fused" in inspect.signature(kind).parameters else {}
        optimizer = kind([w], **rule.torch.arguments({name: s[name] for name in rule.defaults}), **fused)
        state = optimizer.state[w]
        state["step"] = torch.tensor(s.get("t", 1) - 1.0, device=w.device)  # fused optimizers expect it there
        for ours, theirs in rule.torch.state.items():
            state[theirs] = getattr(t, ours) / (-s["learning_rate"] if ours == "velocity" else 1)

        def update():
            optimizer.step()
            return (w.detach(),)

        return update

    return step


def _timed(rule):
    arrays = 3 + 2 * len(rule.state)  # w, dw and the state are read, w and the state are written
    return Timed(
        rule.kernel,
        {"update": rule.kernel},
        (sizes((4_100_000,), headline=rule.kernel == "adam_update"),),
        lambda s, itemsize: {"update": float(itemsize * s["w"] * arrays)},
        numbers={**rule.defaults, "t": 5, "beta1": 0.875, "in_place": True},
        prepared=_torch_step(rule) if rule.torch else None,
    )


FUNCTIONS = tuple(map(_function, RULES.values()))
TIMED = tuple(map(_timed, RULES.values()))
