"""A model of the time of the courses' matrix products on an H200, not a measurement.

    python benchmarks/gpu_model.py                 a table of all cases, in float32 and TF32
    python benchmarks/gpu_model.py --tiles 128x128 as if there were only this tile
    python benchmarks/gpu_model.py --count         instructions and registers of each tile in machine code, beside those
                                                   that the model assumes

For every convolution and affine case of the benchmarks and of the residual network, and for each pass (forward, dx,
dw), the table shows the tile and the parts that `fastnn.kernels.gpu.cost` chooses, the useful share of the computed
products, the modelled time with its launches and the copies of padded images, that of the roofline, which reads and
writes each array once and computes at the peak, the ratio of both, and what binds: instructions, cache, memory or
launches.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastnn.benchmarking.cases import CASES
from fastnn.benchmarking.table import markdown
from fastnn.kernels.gpu import cost, tile_shapes

SHORTEST, WIDEST = 64, 128  # as in `gpu.products` on a GPU
BATCH, CLASSES = 128, 10  # of the residual network
RESIDUAL = (
    (3, 16, 32),
    (16, 32, 32),
    (32, 64, 16),
    (64, 64, 16),
    (64, 128, 16),
    (128, 128, 4),
)  # channels, filters, side


class Work(NamedTuple):
    """A product: its lengths, the bytes of its arrays, those that are copied into padded images before, the overlap."""

    case: str
    direction: str
    lengths: tuple[int, int, int]
    bytes: int
    copied: int = 0
    overlap: int = 1


class Row(NamedTuple):
    """What the model says about a product."""

    work: Work
    plan: cost.Plan
    share: float
    seconds: float
    roofline: float
    bound: str

    @property
    def ratio(self) -> float:
        return self.seconds / self.roofline


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.count:
        from gpu_counts import table_of_counts

        print(table_of_counts())
        return 0
    print(f"A model, not a measurement: {cost.H200}\n")
    for tf32 in (False, True):
        rows = [*modelled(tf32, arguments.tiles)]
        print(f"{'TF32' if tf32 else 'float32'}\n\n{table(rows)}\n")
        least, largest = min(row.share for row in rows), max(row.ratio for row in rows)
        print(f"Least useful share {least:.0%}, largest ratio {largest:.1f}.\n")
    return 0


def works() -> Iterator[Work]:
    """The products of all cases."""
    for case in CASES:
        sizes = case.sizes()
        if case.operation == "affine":
            yield from affine(case.name, sizes["N"], sizes["D"], sizes["M"])
        elif case.operation == "conv2d":
            names = "N", "C", "H", "W", "F", "KH", "KW", "OH", "OW", "PH", "PW", "SH", "DH"
            yield from convolution(case.name, *(sizes[name] for name in names))
    for C, F, side in RESIDUAL:
        lengths = BATCH, C, side, side, F, 3, 3, side, side, 1, 1, 1, 1
        yield from convolution(f"residual {BATCH}x{C}x{side}x{side} {F}f3x3", *lengths)
    yield from affine(f"residual {BATCH}x128x{CLASSES}", BATCH, 128, CLASSES)


def affine(name: str, N: int, D: int, M: int) -> Iterator[Work]:
    """The products of an affine layer, out = x @ w, dx = dout @ w.T, dw = x.T @ dout."""
    size = 4 * (N * D + D * M + N * M)
    for direction, lengths in (("forward", (N, M, D)), ("dx", (N, D, M)), ("dw", (D, M, N))):
        yield Work(name, direction, lengths, size)


def convolution(
    name: str, N: int, C: int, H: int, W: int, F: int, KH: int, KW: int, OH: int, OW: int, PH: int, PW: int,
    stride: int, dilation: int,
) -> Iterator[Work]:  # fmt: skip
    """The products of a convolution, see `gpu.convolution`."""
    x, out, taps = N * C * H * W, N * F * OH * OW, KH * KW
    padded = N * C * (H + 2 * PH) * (W + 2 * PW) if PH or PW else 0
    spread = N * F * (H + dilation * (KH - 1)) * (W + dilation * (KW - 1)) if taps > 1 or stride > 1 else 0
    size = 4 * (x + out + F * C * taps)
    yield Work(name, "forward", (F, N * OH * OW, C * taps), size, 4 * (x + padded) * bool(padded), KW)
    yield Work(name, "dx", (C, N * H * W, F * taps), size, 4 * (out + spread) * bool(spread), KW)
    yield Work(name, "dw", (F, C * taps, N * OH * OW), size, 4 * (x + padded) * bool(padded), KW)


def modelled(tf32: bool, only: str = "", gpu: cost.Gpu = cost.H200) -> Iterator[Row]:
    """The rows of the table."""
    tiles = tile_shapes.TF32 if tf32 else tile_shapes.FLOAT32
    tiles = tuple(tile for tile in tiles if not only or tile.name.endswith(f" {only}"))
    for work in works():
        M, N, K = work.lengths
        if N < M and N < WIDEST:
            M, N = N, M
        plan = cost.choose(tiles, M, N, K, gpu, SHORTEST, 4, work.overlap)
        time = cost.seconds(plan, M, N, K, gpu, 4, work.overlap)
        copies = gpu.launch + work.copied / gpu.memory if work.copied else 0.0
        memory = work.bytes / gpu.memory
        bounds = {"instructions": time.compute, "cache": time.cache, "memory": memory}
        slowest = max(bounds.values())
        fixed = copies + time.parts + gpu.launch
        bound = max(bounds, key=lambda name: bounds[name]) if slowest > fixed else "launches"
        peak = gpu.tensor_flops if tf32 else gpu.flops
        roofline = gpu.launch + max(2.0 * M * N * K / peak, memory)
        yield Row(work, plan, cost.useful_share(plan, M, N, K), slowest + fixed, roofline, bound)


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = []
    for row in rows:
        M, N, K = row.work.lengths
        _, parts = cost.blocks_of(row.plan, M, N, K)
        name = row.plan.tile.name.partition(" ")[2]
        times = f"{1e6 * row.seconds:.1f}", f"{1e6 * row.roofline:.1f}", f"{row.ratio:.1f}"
        lines.append(
            [
                f"{row.work.case}, {row.work.direction}",
                f"{M}x{N}x{K}",
                name,
                str(parts),
                f"{row.share:.0%}",
                *times,
                row.bound,
            ]
        )
    return markdown(
        ["case", "product", "tile", "parts", "useful", "model, us", "roofline, us", "ratio", "bound"], lines
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tiles", default="", metavar="NAME", help="only the tile with this name, such as 128x128")
    parser.add_argument("--count", action="store_true", help="count instructions; needs numba-cuda and nvdisasm")
    return parser


if __name__ == "__main__":
    sys.exit(main())
