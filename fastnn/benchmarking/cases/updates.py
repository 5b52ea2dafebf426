"""Update rules, in place, on as many parameters as a convolution, a hidden layer of 500 and a pool leave."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .base import Arrays, Calls, Case, normals

RATE, MOMENTUM, DECAY, BETAS, EPSILON, STEP = 1e-3, 0.9, 0.99, (0.9, 0.999), 1e-8, 5

STATE = {  # the arrays of each rule beside w and dw, and the numbers behind them
    "sgd": ((), (RATE,)),
    "momentum": (("velocity",), (RATE, MOMENTUM)),
    "nesterov": (("velocity",), (RATE, MOMENTUM)),
    "rmsprop": (("cache",), (RATE, DECAY, EPSILON)),
    "adagrad": (("cache",), (RATE, EPSILON)),
    "adam": (("m", "v"), (STEP, RATE, *BETAS, EPSILON)),
    "adamw": (("m", "v"), (STEP, RATE, *BETAS, EPSILON, DECAY)),
}


@dataclasses.dataclass(frozen=True)
class Update(Case):
    """One step of a rule on x parameters: w and the rule's state are overwritten, here copies of the inputs."""

    operation: ClassVar[str] = "updates"
    passes: ClassVar[tuple[str, ...]] = ("update",)

    x: tuple[int]
    rule: str

    @property
    def function(self) -> str:
        return f"{self.rule}_update"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("w", "dw", *STATE[self.rule][0]), self.x)

    def inputs(self, dtype: Any) -> Arrays:
        generator = np.random.default_rng(0)
        arrays = {name: normals(generator, shape, dtype) for name, shape in self.shapes().items()}
        for name in {"cache", "v"} & arrays.keys():
            arrays[name] = arrays[name] ** 2 + 1
        return arrays

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import updates

        function = getattr(updates, self.function)
        names, numbers = STATE[self.rule]
        w, dw, state = arrays["w"].copy(), arrays["dw"], [arrays[name].copy() for name in names]

        def update():
            function(w, dw, *state, w, *numbers)
            return w, *state

        return {"update": update}

    def torch_calls(self, arrays: Arrays) -> Calls:
        """Its optimisers, fused where they can be."""
        import torch

        w = torch.from_numpy(arrays["w"]).clone().requires_grad_()
        w.grad = torch.from_numpy(arrays["dw"])
        optimiser = self._optimiser(w)
        state = optimiser.state[w]
        for name, value in self._torch_state(arrays).items():
            state[name] = torch.from_numpy(value)
        if self.rule in ("rmsprop", "adagrad", "adam", "adamw"):
            state["step"] = torch.tensor(STEP - 1.0)

        def update():
            optimiser.step()
            return (w.detach(),)

        return {"update": update}

    def _optimiser(self, w: Any) -> Any:
        from torch import optim

        match self.rule:
            case "sgd":
                return optim.SGD([w], RATE, fused=True)
            case "momentum" | "nesterov":
                return optim.SGD([w], RATE, MOMENTUM, nesterov=self.rule == "nesterov", fused=True)
            case "rmsprop":
                return optim.RMSprop([w], RATE, DECAY, EPSILON)
            case "adagrad":
                return optim.Adagrad([w], RATE, eps=EPSILON, fused=True)
            case "adam":
                return optim.Adam([w], RATE, BETAS, EPSILON, fused=True)
        return optim.AdamW([w], RATE, BETAS, EPSILON, DECAY, fused=True)

    def _torch_state(self, arrays: Arrays) -> Arrays:
        match self.rule:
            case "momentum" | "nesterov":  # without the learning rate and the sign
                return {"momentum_buffer": arrays["velocity"] / arrays["w"].dtype.type(-RATE)}
            case "rmsprop":
                return {"square_avg": arrays["cache"].copy()}
            case "adagrad":
                return {"sum": arrays["cache"].copy()}
            case "adam" | "adamw":
                return {"exp_avg": arrays["m"].copy(), "exp_avg_sq": arrays["v"].copy()}
        return {}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """w, dw and the state read, w and the state written."""
        return float(itemsize * self.x[0] * (3 + 2 * len(STATE[self.rule][0]))), "B/s"

    def tiny(self) -> "Update":
        return dataclasses.replace(self, x=(37,))


CASES: tuple[Case, ...] = tuple(Update((4_100_000,), rule, headline=rule == "adam") for rule in STATE)
