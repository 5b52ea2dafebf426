"""Tests of the cuda backend without a GPU: in the simulator, and on the machine code of its kernels."""

import importlib
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastnn.kernels import OPERATIONS

FOLDER = Path(__file__).parents[1]
pytest.importorskip("numba.cuda", reason="the backend cuda needs numba")
CAPABILITIES = ((8, 0), (9, 0))
NO_COMPILER = importlib.util.find_spec("numba_cuda") is None or importlib.util.find_spec("nvidia") is None
needs_compiler = pytest.mark.skipif(
    NO_COMPILER, reason="needs numba-cuda with its compiler, which the extra `test` installs if NVIDIA provides it"
)
ABOUT_KERNELS = 0x70000000  # type of an ELF section of attributes; spilled registers are stored in a stack frame
REGISTER_COUNT, FRAME_SIZE = 0x2F, 0x11
INSTRUCTIONS = {  # of the most time-consuming kernels: the ratio of the numbers of two instructions
    "fastnn.kernels.gpu.tensor_cores:_tensor_product": {r"HMMA\.1688\.F32\.TF32": 8, r"LDSM\.16\.M88\.4": 3},
    "fastnn.kernels.gpu.tiles:tiled_product float32": {"FFMA": 16, r"LDS\.128": 1},
    "fastnn.kernels.gpu.tiles:tiled_product float64": {"DFMA": 4, r"LDS\.128": 1},
}
TRANSFERS = {  # 128 bits at a time
    "fastnn.kernels.gpu.tensor_cores:_tensor_product": r"LDGSTS\.E\.BYPASS\.128",
    "fastnn.kernels.gpu.tiles:tiled_product float32": r"LDG\.E\.128",
    "fastnn.kernels.gpu.tiles:tiled_product float64": r"LDG\.E\.128",
}
REGISTERS = {  # maximum for a thread; a multiprocessor has 65536, 256 for each thread of a block of 256
    "fastnn.kernels.gpu.tensor_cores:_tensor_product": 192,
    "fastnn.kernels.gpu.tiles:tiled_product float32": 128,
    "fastnn.kernels.gpu.tiles:tiled_product float64": 128,
}
TRAPS = {
    "arithmetic in float64": r"\.f64",
    "division of 64-bit integers": r"\b(div|rem)\.[su]64",
    "local memory, which is slow": r"__local_depot",
}


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    """Run the tests in the simulator, in two processes with half of the files each.

    Returns the launched kernels with the types of their arguments.
    """
    folder, files = tmp_path_factory.mktemp("cuda"), sorted(map(str, (FOLDER / "simulated").glob("test_*.py")))

    def run(half):
        path = folder / f"{half}.json"
        environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "FASTNN_TEST_SIGNATURES": str(path)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files[half::2]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=FOLDER.parents[1])
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        return json.loads(path.read_text(encoding="utf-8"))

    with ThreadPoolExecutor() as pool:
        halves = list(pool.map(run, range(2)))
    names = sorted({name for half in halves for name in half})
    return {name: sorted({words for half in halves for words in half.get(name, ())}) for name in names}


def test_every_kernel_passes_its_tests_in_the_simulator(signatures):
    """The fixture runs the tests; check that they launch every kernel."""
    for operation in OPERATIONS:
        assert (FOLDER / "simulated" / f"test_{operation}.py").exists(), f"{operation} has no tests in the simulator"
    assert [name for name, words in signatures.items() if not words] == []
    assert len(signatures) > 60


@needs_compiler
def test_kernels_compile_without_traps(signatures, tmp_path):
    from fastnn.kernels.gpu import cubins
    from fastnn.kernels.gpu.launch import KERNELS

    for name, lists in signatures.items():
        importlib.import_module(name.partition(":")[0])
        for words in (words.split() for words in lists):
            for capability in CAPABILITIES:
                text = cubins.ptx(KERNELS[name].function, tuple(words), capability)
                in_float64 = any(word.endswith("f8") for word in words)
                for trap, pattern in TRAPS.items():
                    if not (in_float64 and "float64" in trap):
                        assert not re.search(pattern, text), f"{name}({', '.join(words)}) for {capability}: {trap}"
                cubin = cubins.link(text, capability)
                assert most(REGISTER_COUNT, cubin) <= REGISTERS.get(name, 128), f"{name}, {capability}: many registers"
                assert most(FRAME_SIZE, cubin) == 0, f"{name}({', '.join(words)}) for {capability}: registers spill"
            if name in INSTRUCTIONS and (code := instructions(cubin, tmp_path / "kernel.cubin")):
                check_instructions(name, code)


@needs_compiler
def test_spilled_registers_are_detected(signatures, tmp_path):
    """A kernel that needs more registers than its limit has a stack frame, which its instructions access."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    from fastnn.kernels.gpu import cubins, tiles

    kernel = tiles.TILED[4]
    text = cubins.ptx(kernel.function, tuple(signatures[kernel.name][0].split()), CAPABILITIES[0])
    options = LinkerOptions(arch="sm_80", max_register_count=40)
    cubin = bytes(Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code)
    assert (most(REGISTER_COUNT, cubin), most(FRAME_SIZE, cubin) > 0) == (40, True)
    code = instructions(cubin, tmp_path / "kernel.cubin")
    assert not code or re.search(r"\b(LDL|STL)\b", code)


def check_instructions(name, code):
    (one, of_one), (other, of_other) = INSTRUCTIONS[name].items()
    counts = [len(re.findall(rf"\b{instruction}\b", code)) for instruction in (one, other)]
    assert counts[0] * of_other == counts[1] * of_one > 0, f"{name}: {counts[0]} {one}, {counts[1]} {other}"
    assert re.search(rf"\b{TRANSFERS[name]}\b", code), f"{name}: no {TRANSFERS[name]}"


def most(attribute, cubin):
    """Return the largest value of an attribute of the kernel and its callees in the sections of an ELF file."""
    start, size, count = *struct.unpack_from("<Q", cubin, 0x28), *struct.unpack_from("<HH", cubin, 0x3A)
    found = []
    for header in range(start, start + size * count, size):
        (kind,), (offset, length) = (
            struct.unpack_from("<I", cubin, header + 4),
            struct.unpack_from("<QQ", cubin, header + 24),
        )
        end = offset + (length if kind == ABOUT_KERNELS else 0)
        while offset < end:
            form, number, payload = struct.unpack_from("<BBH", cubin, offset)
            if number == attribute:
                found.append(struct.unpack_from("<I", cubin, offset + 8)[0])  # after the index of a symbol
            offset += 4 + (payload if form == 4 else 0)
    return max(found)


def instructions(cubin, path):
    """Return the machine code as text; empty if no disassembler is installed."""
    path.write_bytes(cubin)
    for folder in importlib.util.find_spec("nvidia").submodule_search_locations:
        for program in Path(folder).glob("*/bin/nvdisasm*"):
            command = [program, "-c", path]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return ""
