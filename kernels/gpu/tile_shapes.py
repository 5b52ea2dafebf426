"""The tiles of matrix products: their kernels, with what a block of them needs, see `cost`.

Instructions are those of compute capability 9.0, for matrices whose numbers are loaded one by one, as
`benchmarks/gpu_model.py --count` counts them; registers are at least those of the kernel for all matrices. In the
simulator tiles are smaller; only their lengths differ.
"""

from numba import float32, float64

from . import tensor_cores
from .availability import SIMULATED
from .cost import Tile
from .launch import Kernel
from .tensor_cores import tensor_product_of
from .thin_tiles import TOGETHER, thin_product_of
from .tiles import tiled_product_of

MEMORY, COPIES, STREAM = (
    700.0,
    450.0,
    450.0,
)  # cycles: of a load from memory; with three strips in flight; of a thin term

KERNELS: dict[str, Kernel] = {}


SHAPES = {  # outputs of a tile, outputs of a thread, terms of a strip
    "128x128": (128, 128, 8, 8, 8), "64x128": (64, 128, 8, 8, 8), "32x128": (32, 128, 8, 8, 8),
    "16x128": (16, 128, 4, 8, 8), "8x128": (8, 128, 8, 4, 8), "64x64": (64, 64, 8, 8, 8), "32x32": (32, 32, 4, 4, 16),
    "16x32": (16, 32, 4, 4, 16), "64x64 of 4x4": (64, 64, 4, 4, 16),
}  # fmt: skip
WARPS = {  # warps of a block, small products of a warp
    "128x128": (2, 4, 4, 4), "64x128": (1, 4, 4, 4), "32x128": (1, 4, 2, 4), "16x128": (1, 4, 1, 4),
    "64x64": (2, 2, 2, 4), "32x32": (1, 2, 2, 2), "16x32": (1, 2, 1, 2), "64x256": (1, 8, 4, 4),
    "8x128": (4, 1, 2, 1),  # transposed: the few lines are on the side of a small product that has eight
}  # fmt: skip
if SIMULATED:
    SHAPES = {
        "128x128": (16, 16, 8, 8, 4), "64x128": (16, 32, 8, 8, 8), "32x128": (8, 32, 8, 8, 8),
        "16x128": (8, 16, 4, 8, 8), "8x128": (8, 16, 8, 4, 8), "64x64": (16, 16, 8, 8, 8), "32x32": (8, 8, 4, 4, 8),
        "16x32": (4, 32, 4, 4, 4), "64x64 of 4x4": (16, 16, 4, 4, 4),
    }  # fmt: skip
    WARPS = {
        "128x128": (2, 1, 2, 2), "64x128": (1, 2, 2, 2), "32x128": (1, 2, 1, 4), "16x128": (1, 2, 1, 2),
        "64x64": (2, 1, 1, 2), "32x32": (1, 1, 2, 2), "16x32": (1, 1, 1, 2), "64x256": (1, 2, 2, 4),
        "8x128": (2, 1, 1, 1),
    }  # fmt: skip


def _tiled(kind, name, registers, issue) -> Tile:
    tall, wide, down, over, depth = SHAPES[name]
    kernel = KERNELS[f"{kind.name} {name}"] = tiled_product_of(kind, tall, wide, down, over, depth, name)
    shared = 2 * (tall + wide) * depth * kind.bitwidth // 8
    return Tile(f"{kind.name} {name}", tall, wide, depth, kernel.block, registers, shared, issue, MEMORY)


def _thin(kind, name, tall, registers, issue) -> Tile:
    threads, over, depth = (4, 4, 8) if SIMULATED else (128, 4, 16)
    KERNELS[f"{kind.name} {name}"] = thin_product_of(kind, tall, threads, over, depth, name)
    shared, latency = (tall * kind.bitwidth // 8 + 4) * depth, MEMORY * depth / TOGETHER
    return Tile(f"{kind.name} {name}", tall, threads * over, depth, threads, registers, shared, issue, latency)


def _tensor(name, registers, issue) -> Tile:
    warps_down, warps_across, down, over = WARPS[name]
    kernel = KERNELS[f"TF32 {name}"] = tensor_product_of(warps_down, warps_across, down, over, name)
    tall, wide, depth = 16 * warps_down * down, 8 * warps_across * over, tensor_cores.DEPTH
    strips, tensor = tensor_cores.strips_of(tall, wide), 2 * down * over
    shared, latency = 4 * strips * (tall + wide) * depth, COPIES if strips == 3 else MEMORY
    is_transposed = over == 1
    if is_transposed:
        tall, wide = wide, tall
    return Tile(
        f"TF32 {name}", tall, wide, depth, kernel.block, registers, shared, issue, latency, tensor, is_transposed
    )


FLOAT32 = (  # registers of a thread, instructions of a warp and strip
    _tiled(float32, "128x128", 128, 616),
    _tiled(float32, "64x128", 128, 633),
    _tiled(float32, "32x128", 152, 666),
    _tiled(float32, "16x128", 104, 394),
    _tiled(float32, "8x128", 168, 483),
    _tiled(float32, "64x64", 128, 648),
    _tiled(float32, "32x32", 72, 383),
    _tiled(float32, "16x32", 96, 449),
    _thin(float32, "thin 4", 4, 64, 592),
    _thin(float32, "thin 8", 8, 80, 855),
)
FLOAT64 = (  # not counted
    _tiled(float64, "64x64 of 4x4", 128, 1000),
    _tiled(float64, "32x32", 128, 1000),
    _thin(float64, "thin 4", 4, 96, 1100),
)
TF32 = (
    _tensor("128x128", 128, 159),
    _tensor("64x256", 128, 176),
    _tensor("8x128", 56, 182),
    _tensor("64x128", 128, 206),
    _tensor("32x128", 96, 164),
    _tensor("16x128", 72, 167),
    _tensor("64x64", 80, 139),
    _tensor("32x32", 56, 142),
    _tensor("16x32", 48, 113),
    *(tile for tile in FLOAT32 if tile.name.endswith((" 8x128", "thin 4", "thin 8"))),  # rows for half a tensor core
)
