"""Ratios to PyTorch, NumPy and the loops from the results of a machine, and the targets for them.

`parts` holds the results of `benchmarks/run.py`, by the names of its `PARTS`; ratios are computed by
`fastnn.benchmarking.summary`.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import bench_threads
from networks import STEPS, TARGETED, Network

from fastnn.benchmarking import summary
from fastnn.benchmarking.summary import geometric_mean

Part = dict[str, Any]
Parts = dict[str, Part]

KINDS = ("float32 default", "float32 tuned", "float64 default", "float64 tuned")


def by_operation(part: Part) -> dict[str, list[dict]]:
    """The results of each operation."""
    return summary.grouped(part["results"], "operation")


def case_ratios(part: Part | None, operation: str, other: str) -> dict[str, float]:
    """The ratio of each case of an operation, all passes together; cases without one are left out."""
    if part is None:
        return {}
    cases = summary.grouped(by_operation(part).get(operation, []), "case")
    found = {case: summary.ratio(results, part["subject"], other) for case, results in cases.items()}
    return {case: value for case, value in found.items() if value is not None}


def step_ratios(part: Part | None, other: str = "torch") -> dict[str, float]:
    """Time of another framework, or of "module", over that of a Sequential, by network; {} if not measured."""
    results = part["results"] if part else []
    return {result["network"]: result["speedup"][other] for result in results if other in result["speedup"]}


def startup(parts: Parts) -> dict[str, float]:
    """Seconds of each series."""
    return {result["series"]: result["seconds"] for result in parts.get("startup", {"results": []})["results"]}


def ratios(parts: Parts) -> dict[str, Any]:
    """A line of the history: mean ratios to PyTorch by operation, ratios of training steps, seconds of start-up."""
    line: dict[str, Any] = {}
    for kind in KINDS:
        part = parts.get(f"operations {kind}")
        if part:
            means = {name: geometric_mean(case_ratios(part, name, "torch").values()) for name in by_operation(part)}
            line[f"operations {kind}"] = {name: mean for name, mean in means.items() if mean is not None}
    for name in ("steps default", "steps tuned"):
        if name in parts:
            line[name] = step_ratios(parts[name])
    return line | ({"startup": startup(parts)} if "startup" in parts else {})


@dataclasses.dataclass(frozen=True)
class Target:
    """A performance target.

    values: function of the parts that returns {name: value}, of which the worst counts; {} if not measured
    at_most: the wanted value is an upper instead of a lower bound
    """

    text: str
    wanted: float
    values: Callable[[Parts], dict[str, float]]
    unit: str = "x"
    at_most: bool = False

    def worst(self, parts: Parts) -> tuple[str, float] | None:
        """The name and value of the worst result, or None."""
        values = self.values(parts)
        if not values:
            return None
        return (max if self.at_most else min)(values.items(), key=lambda item: item[1])

    def is_met(self, value: float) -> bool:
        return value <= self.wanted if self.at_most else value >= self.wanted


def _cases(operation: str, kind: str) -> Callable[[Parts], dict[str, float]]:
    return lambda parts: case_ratios(parts.get(f"operations {kind}"), operation, "torch")


def _mean(operation: str, kind: str) -> Callable[[Parts], dict[str, float]]:
    def values(parts: Parts) -> dict[str, float]:
        found = _cases(operation, kind)(parts)
        mean = geometric_mean(found.values())
        return {} if mean is None else {f"{len(found)} shape{'s' * (len(found) != 1)}": mean}

    return values


def _shares(dtype: str, direction: str) -> Callable[[Parts], dict[str, float]]:
    """Percent of the measured peak, for large enough convolutions whose rows are multiples of the vector width."""

    def values(parts: Parts) -> dict[str, float]:
        part = parts.get(f"operations {dtype} default")
        found = {}
        for result in part["results"] if part else []:
            shares = result["share"].get(part["subject"]) if part else None
            if result["pass"] == direction and shares and _fills_vectors(result["case"], dtype, part):
                found[result["case"]] = 100 * shares
        return found

    return values


def _fills_vectors(case: str, dtype: str, part: Part | None) -> bool:
    sizes = re.fullmatch(r"conv2d \d+x(\d+)x\d+x(\d+) \d+f(\d+)x\d+ p(\d+)", case)  # names with a stride contain an s
    if not sizes or part is None:
        return False
    C, W, KW, pad = map(int, sizes.groups())
    features = " ".join(part["machine"]["vector_features"])
    width = 64 if re.search("AVX512|X86_V4", features) else 32 if re.search("AVX2|X86_V3", features) else 16  # bytes
    return C * KW**2 >= 64 and (W + 2 * pad - KW + 1) % (width // (4 if dtype == "float32" else 8)) == 0


def _fused_pooling(kind: str) -> Callable[[Parts], dict[str, float]]:
    def values(parts: Parts) -> dict[str, float]:
        found = case_ratios(parts.get(f"operations {kind}"), "fused", "torch")
        return {case: value for case, value in found.items() if case.startswith("conv2d_relu_pool ")}

    return values


def _over_loops(operation: str, start: str) -> Callable[[Parts], dict[str, float]]:
    def values(parts: Parts) -> dict[str, float]:
        found = case_ratios(parts.get("operations float32 default"), operation, "naive")
        return {case: value for case, value in found.items() if case.startswith(start)}

    return values


def _steps(
    part: str, other: str = "torch", networks: Sequence[Network] = TARGETED
) -> Callable[[Parts], dict[str, float]]:
    names = [network.name for network in networks]

    def values(parts: Parts) -> dict[str, float]:
        found = step_ratios(parts.get(part), other)
        return {name: value for name, value in found.items() if name in names}

    return values


def _serial(parts: Parts) -> dict[str, float]:
    shares = bench_threads.serial_shares(parts.get("threads", {"results": []}))
    return {name: 100 * share for name, share in shares.items()}


def _cold(parts: Parts) -> dict[str, float]:
    return {"cold": startup(parts)["cold"]} if "cold" in startup(parts) else {}


MEANS = dict(zip(KINDS, (1.7, 1.4, 2.8, 2.0), strict=True))

TARGETS: tuple[Target, ...] = (
    *(Target(f"PyTorch / ours, {kind}: convolutions, geometric mean", MEANS[kind], _mean("conv2d", kind))
      for kind in KINDS),
    *(Target(f"PyTorch / ours, {kind}: slowest convolution", 1.05, _cases("conv2d", kind)) for kind in KINDS),
    *(Target(f"PyTorch / ours, {kind}: affine layers, geometric mean", 1.1, _mean("affine", kind)) for kind in KINDS),
    *(Target(f"PyTorch / ours, {kind}: slowest affine layer", 1.0, _cases("affine", kind)) for kind in KINDS),
    *(Target(f"PyTorch / ours, {kind}: convolution, ReLU and pooling in one", 2.0, _fused_pooling(kind))
      for kind in KINDS if kind.endswith("tuned")),
    *(Target(f"PyTorch / ours, {kind}: training steps of {name}", wanted, _steps(f"steps {kind}", "torch", networks))
      for kind in ("default", "tuned")
      for name, wanted, networks in (("dense networks", 1.4, TARGETED[:2]), ("the residual network", 1.4, STEPS[-1:]),
                                     ("convolutional networks", 2.0, TARGETED[2:]))),
    *(Target(f"{title} / ours: training steps", 1.3, _steps("peers", name, STEPS))
      for name, title in (("compile", "torch.compile"), ("jax", "JAX"))),
    Target("Module / Sequential, tuned: two-layer net", 1.25, _steps("steps tuned", "module", TARGETED[:1]),
           at_most=True),
    Target("Module / Sequential, tuned: convolutional networks", 1.05, _steps("steps tuned", "module", TARGETED[2:]),
           at_most=True),
    *(Target(f"share of peak, {dtype}: convolutions, {direction}", wanted, _shares(dtype, direction), "%")
      for dtype in ("float32", "float64") for direction, wanted in (("forward", 90), ("backward", 80))),
    Target("loops / ours: the notebook's convolution", 5000, _over_loops("conv2d", "conv2d 100x3x31x31 ")),
    Target("loops / ours: max pooling", 1000, _over_loops("pool2d", "max_pool2d ")),
    Target("loops / ours: linear losses", 78, _over_loops("linear_losses", "linear_")),
    Target("serial share of calls of at least 1 ms", 2, _serial, "%", at_most=True),
    Target("compilation of ThreeLayerConvNet", 10, _cold, " s", at_most=True),
)  # fmt: skip
