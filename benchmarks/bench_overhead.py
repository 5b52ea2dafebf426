"""Where the time of a training step of a small network goes: kernels, launches, Python by layer of code, gathering.

    python benchmarks/bench_overhead.py                    a table
    python benchmarks/bench_overhead.py --json FILE        also the figures, "-" for stdout

Functions at the borders of the layers are replaced by ones that take the time; what a function calls behind another
border does not count as its own. Each figure is a median over steps, so that a busy machine disturbs little. "Python"
is the time of a step without its kernels and without drawing and gathering the batch. For it, only kernels and the
sampler take the time, and what taking it costs is subtracted, measured on a function that does nothing; the table of
all layers contains this cost, so its sum is larger. The time of a kernel includes reading its arguments.
"""

import argparse
import contextlib
import functools
import importlib
import json
import statistics
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from networks import TARGETED
from steps import noise, solver_step

from fastnn.kernels import OPERATIONS
from fastnn.kernels.fused import njit
from fastnn.nn.affine_chain import AffineChain
from fastnn.optim import functions

NETWORKS = TARGETED[:2]
LAYERS = {
    "solver": "Solver: loop, snapshots, histories",
    "gather": "drawing and gathering the batch",
    "network": "network and loss",
    "layers": "layers",
    "checks": "contracts: checks and dispatch",
    "variants": "variants: arrays and geometry",
    "launches": "launches",
    "update": "update: checks and tables",
}
_OTHERS = ("fastnn.kernels.cpu.threads", "fastnn.kernels.gpu")  # called by other threads; not used here
COMPILED = ("gather", "kernels")  # not Python's
STEPS, BLOCK = 600, 20  # of each mode, in blocks of the two modes in turns


class Clock:
    """Adds up the time of layers, each without what is called behind another border."""

    def __init__(self) -> None:
        self.own: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.calls = 0
        self._inner = [0.0]

    def clear(self) -> None:
        self.own.clear()
        self.kernels.clear()
        self.calls = 0

    def cost(self) -> float:
        """Seconds that taking the time of one call adds to its caller's own time."""
        call = self.timed("nothing", lambda: None, "nothing")
        samples = []
        for _ in range(2000):
            self.clear()
            start = time.perf_counter()
            call()
            samples.append(time.perf_counter() - start - self.own["nothing"])
        return statistics.median(samples)

    def timed(self, layer: str, function: Callable, kernel: str = "") -> Callable:
        def called(*arguments: Any, **keywords: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                took = time.perf_counter() - start
                own = took - self._inner.pop()
                self._inner[-1] += took
                self.own[layer] += own
                self.calls += 1
                if kernel:
                    self.kernels[kernel] += own

        return functools.update_wrapper(called, function, ("__name__", "__doc__", "__module__"))


def borders(solver: Any, clock: Clock) -> Iterator[tuple[Any, Any, Any]]:
    """Yield owner, name and replacement of what takes the time: first of kernels and the sampler, after None of all."""
    yield solver.sampler, "batch", clock.timed("gather", solver.sampler.batch)
    launches = []
    for name, module in list(sys.modules.items()):
        if name.startswith("fastnn.kernels.") and not name.startswith(_OTHERS):
            for attribute, value in list(vars(module).items()):
                label = f"{name.removeprefix('fastnn.kernels.')}.{attribute.strip('_')}"
                if hasattr(value, "kernel") and hasattr(value, "__closure__"):
                    cell = value.__closure__[value.__code__.co_freevars.index("drive")]
                    launches.append((module, attribute, clock.timed("launches", value)))
                    if value.__module__ == name:
                        yield cell, "cell_contents", clock.timed("kernels", cell.cell_contents, label)
                elif hasattr(value, "py_func"):
                    yield module, attribute, clock.timed("kernels", value, label)
    yield None, None, None
    yield from launches
    model = solver.model
    yield model, "loss", clock.timed("network", model.loss)
    for step in model._steps[: None if model._chain is None else model._head]:  # the others are not computed one by one
        for name in ("forward", "backward"):
            yield step.module, name, clock.timed("layers", getattr(step.module, name))
    if model._chain is None:
        yield model, "loss_function", clock.timed("checks", model.loss_function)
    yield solver, "_update", clock.timed("update", solver._update)
    yield AffineChain, "step", clock.timed("checks", AffineChain.step)
    yield njit, "_affine_chain", clock.timed("variants", njit._affine_chain)
    for name, kernel in functions._KERNELS.items():
        yield functions._KERNELS, name, clock.timed("checks", kernel)
    for operation in OPERATIONS:
        for layer, place in (("checks", operation), ("variants", f"{operation}.njit")):
            module = importlib.import_module(f"fastnn.kernels.{place}")
            for name, value in list(vars(module).items()):
                if is_public_function(module, name, value):
                    yield module, name, clock.timed(layer, value)


def is_public_function(module: types.ModuleType, name: str, value: Any) -> bool:
    is_function = isinstance(value, types.FunctionType) and value.__module__ == module.__name__
    return is_function and not name.startswith("_") and not hasattr(value, "kernel")


@contextlib.contextmanager
def replaced(changes: list[tuple[Any, Any, Any]]) -> Iterator[None]:
    former = []
    try:
        for owner, name, value in changes:
            if isinstance(owner, dict):
                former.append((owner.__setitem__, name, owner[name]))
                owner[name] = value
            else:
                own = name == "cell_contents" or name in vars(owner)
                restore = (
                    functools.partial(setattr, owner) if own else (lambda key, _, owner=owner: delattr(owner, key))
                )
                former.append((restore, name, getattr(owner, name)))
                setattr(owner, name, value)
        yield
    finally:
        for restore, name, value in reversed(former):
            restore(name, value)


def measure(network: Any, steps: int = STEPS) -> dict[str, Any]:
    """Return the microseconds of a step, of Python, of each layer and of each kernel."""
    step = solver_step(network, noise(network))
    for _ in range(10):
        step()
    clock = Clock()
    cost = clock.cost()
    found = list(borders(step.__self__, clock))
    middle = found.index((None, None, None))
    few, every = found[:middle], found[:middle] + found[middle + 1 :]
    plain: list[float] = []
    layers: list[dict[str, float]] = []
    kernels: list[dict[str, float]] = []
    python: list[float] = []
    for _ in range(max(1, steps // BLOCK)):
        for changes in ([], few, every):
            with replaced(changes):
                for _ in range(BLOCK):
                    clock.clear()
                    start = time.perf_counter()
                    step()
                    took = time.perf_counter() - start
                    if not changes:
                        plain.append(took)
                    elif changes is few:
                        python.append(took - sum(clock.own[name] for name in COMPILED) - clock.calls * cost)
                        kernels.append(
                            dict(clock.kernels) | {"all": clock.own["kernels"], "gather": clock.own["gather"]}
                        )
                    else:
                        layers.append({"solver": took - sum(clock.own.values()), **clock.own})
    return {
        "network": network.name,
        "batch": network.training["batch_size"],
        "step": 1e6 * statistics.median(plain),
        "python": 1e6 * statistics.median(python),
        "fastest": {"step": 1e6 * min(plain), "python": 1e6 * min(python)},
        "layers": medians(layers),
        "kernels": medians(kernels),
    }


def medians(samples: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: 1e6 * statistics.median(sample.get(name, 0.0) for sample in samples) for name in names}


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['network']}, batch {result['batch']}: microseconds of a step (median)"]
    rows = [("step", result["step"]), ("Python", result["python"])]
    rows += [(f"  {text}", result["layers"].get(name, 0.0)) for name, text in LAYERS.items() if name != "gather"]
    rows += [(LAYERS["gather"], result["kernels"]["gather"]), ("kernels", result["kernels"]["all"])]
    own = {name: value for name, value in result["kernels"].items() if name not in ("all", "gather") and value}
    rows += [(f"  {name}", value) for name, value in sorted(own.items(), key=lambda item: -item[1])]
    rows += [("fastest step", result["fastest"]["step"]), ("least Python", result["fastest"]["python"])]
    return "\n".join(lines + [f"  {name:45}{value:9.1f}" for name, value in rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="default %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures; - for stdout instead of the table")
    arguments = parser.parse_args()
    results = [measure(network, arguments.steps) for network in NETWORKS]
    text = json.dumps({"results": results}, indent=1)
    if arguments.json and arguments.json != "-":
        Path(arguments.json).write_text(text, encoding="utf-8")
    print(text if arguments.json == "-" else "\n\n".join(map(table, results)))


if __name__ == "__main__":
    main()
