"""Registers and instructions of kernels in machine code; needs numba-cuda with its compiler, and nvdisasm."""

import importlib.util
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from numba import float32

from fastnn.benchmarking.table import markdown
from fastnn.kernels.gpu import cubins, tensor_cores, thin_tiles, tile_shapes, tiles

ABOUT_KERNELS = 0x70000000  # type of an ELF section of attributes; spilled registers are stored in a stack frame
REGISTER_COUNT, FRAME_SIZE = 0x2F, 0x11
CAPABILITY = (9, 0)
PRODUCT = (  # the types of a product's arguments
    *["i4"] * 6, *["*f4", "*i4", "*i4", "i4"] * 2, *["*f4", "i4", "i4", "i4"], "f4", "f4", "*f4", "*i4", "*i4",
)  # fmt: skip
COMPUTING = r"\b(FFMA|DFMA|HMMA)\b"


class Count(NamedTuple):
    """Registers of a thread, bytes of its stack frame, and instructions of a warp for each strip of a tile."""

    registers: int
    frame: int
    issue: int


def most(attribute: int, cubin: bytes) -> int:
    """Return the largest value of an attribute of the kernel and its callees in the sections of an ELF file."""
    start, size, count = *struct.unpack_from("<Q", cubin, 0x28), *struct.unpack_from("<HH", cubin, 0x3A)
    found = []
    for header in range(start, start + size * count, size):
        (kind,) = struct.unpack_from("<I", cubin, header + 4)
        offset, length = struct.unpack_from("<QQ", cubin, header + 24)
        end = offset + (length if kind == ABOUT_KERNELS else 0)
        while offset < end:
            form, number, payload = struct.unpack_from("<BBH", cubin, offset)
            if number == attribute:
                found.append(struct.unpack_from("<I", cubin, offset + 8)[0])  # after the index of a symbol
            offset += 4 + (payload if form == 4 else 0)
    return max(found)


def instructions(cubin: bytes) -> str:
    """Return the machine code as text; empty if no disassembler is installed."""
    if not (programs := _disassemblers()):
        return ""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "kernel.cubin")
        path.write_bytes(cubin)
        return subprocess.run([programs[0], "-c", path], capture_output=True, text=True, check=True).stdout


def has_disassembler() -> bool:
    return bool(_disassemblers())


def _disassemblers() -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return [program for folder in folders for program in Path(folder).glob("*/bin/nvdisasm*")]


def loops(code: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Return the instructions, and the first and end of each loop: of a branch back."""
    labels: dict[str, int] = {}
    found: list[str] = []
    ranges = []
    for line in code.splitlines():
        if label := re.match(r"\s*\.?(L_x_\d+):", line):
            labels[label[1]] = len(found)
        elif one := re.search(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            found.append(one[1])
            target = re.search(r"BRA.*\(\.?(L_x_\d+)\)", one[1])
            if target and target[1] in labels:
                ranges.append((labels[target[1]], len(found)))
    return found, ranges


def spills(cubin: bytes) -> bool:
    """Whether a loop that computes reads local memory.

    Compilers for newer GPUs keep sums in registers there, but also store them in local memory, from which they are
    read behind the loop.
    """
    found, ranges = loops(instructions(cubin))
    computing = [found[slice(*span)] for span in ranges]
    computing = [loop for loop in computing if any(re.search(COMPUTING, one) for one in loop)]
    return any(re.search(r"\bLDL\b", one) for loop in computing for one in loop)


def per_strip(code: str, computing: int) -> int:
    """Return the instructions of the largest loop, with the most computing of its inner loops in all its turns.

    An upper bound: whatever the loop branches over counts too. computing: the multiplications of a strip
    """
    found, ranges = loops(code)

    def multiplications(span: tuple[int, int]) -> int:
        return sum(bool(re.search(COMPUTING, one)) for one in found[slice(*span)])

    outer = max((span for span in ranges if multiplications(span)), key=lambda span: span[1] - span[0])
    inside = [span for span in ranges if span != outer and outer[0] <= span[0] and span[1] <= outer[1]]
    others = sum(end - first for first, end in inside)
    inner = max(inside, key=multiplications, default=outer)
    if not multiplications(inner) or inner == outer:
        return outer[1] - outer[0]
    turns = computing // multiplications(inner)
    return outer[1] - outer[0] - others + turns * (inner[1] - inner[0])


def counted(function: Callable, computing: int, capability: tuple[int, int] = CAPABILITY) -> Count:
    """Compile a kernel and count; `computing`: the multiplications of a strip."""
    cubin = bytes(cubins.link(cubins.ptx(function, PRODUCT, capability), capability))
    return Count(most(REGISTER_COUNT, cubin), most(FRAME_SIZE, cubin), per_strip(instructions(cubin), computing))


def of_tile(name: str) -> Count:
    """Count for a float32 tile whose numbers are all loaded one by one, from strips that are complete."""
    kind, _, size = name.partition(" ")
    alone = (tiles.ALONE, tiles.ALONE)
    tile = next(tile for tile in (*tile_shapes.FLOAT32, *tile_shapes.TF32) if tile.name == name)
    if kind == "TF32":
        shape = tile_shapes.WARPS[size]
        kernel = tensor_cores.tensor_product_of(*shape, "to count", modes=alone)
        return counted(kernel.function, tile.tensor)
    own = tile.tall * tile.wide // tile.threads
    if "thin" in size:
        kernel = thin_tiles.thin_product_of(
            float32, tile.tall, tile.threads, tile.wide // tile.threads, tile.depth, "to count", True
        )
    else:
        kernel = tiles.tiled_product_of(float32, *tile_shapes.SHAPES[size], "to count", modes=alone)
    return counted(kernel.function, own * tile.depth)


def table_of_counts() -> str:
    """The counts of all float32 and TF32 tiles beside those that the model assumes, in Markdown."""
    rows = []
    for tile in dict.fromkeys((*tile_shapes.FLOAT32, *tile_shapes.TF32)):
        count = of_tile(tile.name)
        rows.append(
            [
                tile.name,
                f"{tile.registers}",
                f"{count.registers}",
                f"{tile.issue:.0f}",
                f"{count.issue}",
                str(count.frame),
            ]
        )
    return markdown(["tile", "registers", "counted", "instructions", "counted", "frame"], rows)
