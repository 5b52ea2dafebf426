"""Which tile computes a matrix product, and into how many parts its sums are cut: a model of the time on a GPU.

A product M x N x K needs a block of threads for each tile of its outputs, and for each part of its sums. Large tiles
use a number from memory more often. But a tile that sticks out of the matrix computes in vain, and with fewer blocks
than the GPU has multiprocessors (SMs), some are idle. So there are several tiles, and the model chooses:

    strip    In a turn of its loop a block computes a strip, `depth` terms deep. Each of its warps issues `issue`
             instructions, counted in the machine code, on one of the four schedulers of its SM. On tensor cores a
             scheduler also needs TENSOR cycles for each of `tensor` products. However few blocks an SM has, a strip
             takes at least `latency` cycles, the time of a load from memory.
    SM       An SM runs as many blocks at a time as its registers, threads and shared memory allow, and the others of
             its share of all blocks afterwards.
    cache    All blocks together read (tall + wide) * K numbers for each tile from the second-level cache; but only
             every `overlap`th of a matrix whose adjacent terms are mostly the same numbers, as are the windows of a
             convolution with `overlap` columns: these are in the first-level cache.
    parts    Sums that are cut into parts need another kernel, which reads the sums of all parts and writes the outputs.

The useful share of the work is M*N*K divided by that of all tiles. Bits depend on the parts, so these are chosen for
the REFERENCE, on any GPU; only the tile, on which they do not depend, is chosen for the GPU at hand.

`benchmarks/gpu_model.py` prints what the model says about the courses' networks. No GPU has confirmed it yet.
"""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

TENSOR = 6.2  # cycles for each product of 16x8 by 8x8 numbers: 62 % of the peak, which `mma.sync` reaches on an H100
ENDS = 1400  # cycles: of the first loads and the stores of a block
ERROR = 1.1  # times of two plans whose ratio is smaller are taken as equal
ENOUGH, WORTH = 0.6, 1.35  # a useful share below ENOUGH is only worth a time smaller by this factor
PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Gpu(NamedTuple):
    """A GPU.

    sms: multiprocessors; clock: cycles per second; memory, cache: bytes per second; launch: seconds between the starts
    of two dependent kernels of a graph; flops, tensor_flops: peak in float32 and TF32
    """

    sms: int
    clock: float
    memory: float
    cache: float
    launch: float
    flops: float
    tensor_flops: float


REFERENCE = H200 = Gpu(132, 1.755e9, 4.8e12, 5.5e12, 1.5e-6, 67e12, 495e12)


class Tile(NamedTuple):
    """A kernel's tile, and what a block of it needs.

    registers: of a thread; shared: bytes; issue, tensor: instructions and tensor-core products of a warp and strip
    is_transposed: if the kernel computes the transposed product, with wide x tall tiles
    """

    name: str
    tall: int
    wide: int
    depth: int
    threads: int
    registers: int
    shared: int
    issue: float
    latency: float
    tensor: int = 0
    is_transposed: bool = False

    @property
    def resident(self) -> int:
        """The number of blocks that an SM runs at a time."""
        registers = -(-self.registers // 8) * 8 * self.threads
        return max(1, min(65536 // registers, 2048 // self.threads, 32, 233472 // (self.shared + 1024)))


class Plan(NamedTuple):
    """A tile, and the terms of a part of the sums."""

    tile: Tile
    chunk: int


class Time(NamedTuple):
    """Modelled seconds: of the instructions, of the cache, of adding parts, all with their launches."""

    compute: float
    cache: float
    parts: float
    total: float


def blocks_of(plan: Plan, M: int, N: int, K: int) -> tuple[int, int]:
    """Return the number of tiles, and of parts of their sums."""
    tile = plan.tile
    return math.ceil(M / tile.tall) * math.ceil(N / tile.wide), max(1, math.ceil(K / plan.chunk))


def useful_share(plan: Plan, M: int, N: int, K: int) -> float:
    """Return the fraction of the computed products that the result needs."""
    tiles, parts = blocks_of(plan, M, N, K)
    last = K - (parts - 1) * plan.chunk
    terms = (parts - 1) * plan.chunk + math.ceil(last / plan.tile.depth) * plan.tile.depth
    return M * N * K / max(1, tiles * plan.tile.tall * plan.tile.wide * terms)


def seconds(plan: Plan, M: int, N: int, K: int, gpu: Gpu, itemsize: int = 4, overlap: int = 1) -> Time:
    """Return the modelled time of a product."""
    tile = plan.tile
    tiles, parts = blocks_of(plan, M, N, K)
    strips = math.ceil(min(plan.chunk, K) / tile.depth)

    def cycles(blocks: int) -> float:
        warps = blocks * tile.threads / 32
        strip = max(tile.latency, warps * max(tile.issue, TENSOR * tile.tensor) / 4)
        return strips * strip + ENDS if blocks else 0.0

    rounds, rest = divmod(math.ceil(tiles * parts / gpu.sms), tile.resident)
    compute = (rounds * cycles(tile.resident) + cycles(rest)) / gpu.clock
    cache = tiles * (tile.tall + tile.wide / overlap) * K * itemsize / gpu.cache
    added = gpu.launch + (parts + 1) * M * N * itemsize / gpu.memory if parts > 1 else 0.0
    return Time(compute, cache, added, gpu.launch + max(compute, cache) + added)


def best(plans: Iterable[Plan], M: int, N: int, K: int, gpu: Gpu, itemsize: int = 4, overlap: int = 1) -> Plan:
    """Return the fastest plan; of those that differ by less than ERROR, the one with the largest useful share.

    Plans with less than ENOUGH useful are left out, unless they are faster by WORTH: idle tensor cores cost little in
    this model, but energy on a GPU.
    """
    timed = [
        (seconds(plan, M, N, K, gpu, itemsize, overlap).total, useful_share(plan, M, N, K), plan) for plan in plans
    ]
    fastest = min(time for time, _, _ in timed)
    enough = [one for one in timed if one[1] >= ENOUGH and one[0] <= WORTH * fastest]
    limit = ERROR * min(time for time, _, _ in enough or timed)
    return max((one for one in enough or timed if one[0] <= limit), key=lambda one: one[1])[2]


@functools.lru_cache(maxsize=4096)
def choose(
    tiles: tuple[Tile, ...], M: int, N: int, K: int, gpu: Gpu, shortest: int, itemsize: int = 4, overlap: int = 1
) -> Plan:
    """Return the plan for a product, in parts of `shortest` or more terms, which depend on the REFERENCE's SMs only."""
    plans = []
    for tile in tiles:
        for parts in PARTS:
            chunk = max(1, math.ceil(K / parts / tile.depth)) * tile.depth
            if parts == 1 or chunk >= shortest:
                plans.append(Plan(tile, chunk))
    chunk = best(plans, M, N, K, gpu._replace(sms=REFERENCE.sms), itemsize, overlap).chunk
    return best([Plan(tile, chunk) for tile in tiles if chunk % tile.depth == 0], M, N, K, gpu, itemsize, overlap)
