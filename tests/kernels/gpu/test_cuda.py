"""Tests of the cuda backend without a GPU: in the simulator, and on the machine code of its kernels."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastnn.kernels import OPERATIONS

FOLDER = Path(__file__).parents[1]
pytest.importorskip("numba.cuda", reason="the backend cuda needs numba")
sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
CAPABILITIES = ((8, 0), (9, 0), (10, 0))
NO_COMPILER = importlib.util.find_spec("numba_cuda") is None or importlib.util.find_spec("nvidia") is None
needs_compiler = pytest.mark.skipif(
    NO_COMPILER, reason="needs numba-cuda with its compiler, which the extra `test` installs if NVIDIA provides it"
)
TILED, TENSOR = "fastnn.kernels.gpu.tiles:tiled_product", "fastnn.kernels.gpu.tensor_cores:tensor_product"
INSTRUCTIONS = {  # of the most time-consuming kernels: the ratio of the numbers of two instructions
    f"{TENSOR} TF32 128x128": {r"HMMA\.1688\.F32\.TF32": 8, r"LDSM\.16\.M88\.4": 3},
    f"{TENSOR} TF32 64x128": {r"HMMA\.1688\.F32\.TF32": 8, r"LDSM\.16\.M88\.4": 3},
    f"{TENSOR} TF32 64x256": {r"HMMA\.1688\.F32\.TF32": 8, r"LDSM\.16\.M88\.4": 3},
    f"{TILED} float32 128x128": {"FFMA": 16, r"LDS\.128": 1},
    f"{TILED} float32 64x128": {"FFMA": 16, r"LDS\.128": 1},
    f"{TILED} float32 32x32": {"FFMA": 8, r"LDS\.128": 1},
    f"{TILED} float64 64x64 of 4x4": {"DFMA": 4, r"LDS\.128": 1},
}
TRANSFERS = {  # 128 bits at a time
    name: r"LDGSTS\.E\.BYPASS\.128" if "TF32" in name else r"LDG\.E\.128" for name in INSTRUCTIONS
}
REGISTERS = {  # maximum for a thread, if not 128; a multiprocessor has 65536, and these kernels few threads
    f"{TILED} float32 32x128": 152,
    f"{TILED} float32 8x128": 168,
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
def test_kernels_compile_without_traps(signatures):
    from gpu_counts import FRAME_SIZE, REGISTER_COUNT, instructions, most, spills

    from fastnn.kernels.gpu import cubins, tile_shapes
    from fastnn.kernels.gpu.launch import KERNELS

    assert tile_shapes.KERNELS
    for name, lists in signatures.items():
        importlib.import_module(name.partition(":")[0])
        for words in (words.split() for words in lists):
            for capability in CAPABILITIES:
                is_new = capability >= (10, 0)  # see `gpu_counts.spills`
                text = cubins.ptx(KERNELS[name].function, tuple(words), capability)
                in_float64 = any(word.endswith("f8") for word in words)
                for trap, pattern in TRAPS.items():
                    if not (in_float64 and "float64" in trap) and not (is_new and "local memory" in trap):
                        assert not re.search(pattern, text), f"{name}({', '.join(words)}) for {capability}: {trap}"
                cubin = cubins.link(text, capability)
                assert most(REGISTER_COUNT, cubin) <= REGISTERS.get(name, 128), f"{name}, {capability}: many registers"
                frame = most(FRAME_SIZE, cubin)
                assert frame == 0 or (is_new and not spills(bytes(cubin))), f"{name}({words}), {capability}: spills"
            if name in INSTRUCTIONS and (code := instructions(cubin)):
                check_instructions(name, code)


@needs_compiler
def test_spilled_registers_are_detected():
    """A kernel that needs more registers than its limit has a stack frame, which its instructions access."""
    from cuda.core import Linker, LinkerOptions, ObjectCode
    from gpu_counts import FRAME_SIZE, PRODUCT, REGISTER_COUNT, instructions, most, spills

    from fastnn.kernels.gpu import cubins, tile_shapes

    text = cubins.ptx(tile_shapes.KERNELS["float32 128x128"].function, PRODUCT, CAPABILITIES[0])
    options = LinkerOptions(arch="sm_80", max_register_count=40)
    cubin = bytes(Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code)
    assert (most(REGISTER_COUNT, cubin), most(FRAME_SIZE, cubin) > 0) == (40, True)
    code = instructions(cubin)
    assert not code or spills(cubin)
    assert not code or re.search(r"\b(LDL|STL)\b", code)


@needs_compiler
def test_a_compiled_kernel_is_loaded_from_disk(monkeypatch, tmp_path):
    import gpu_compile

    from fastnn.kernels.gpu import cubins, reduce  # noqa: F401

    def fail(*_):
        raise AssertionError("compiled again")

    monkeypatch.setenv("FASTNN_CUBINS", str(tmp_path))
    convert = "fastnn.kernels.gpu.reduce:_convert", "i4 *f8 *f4"
    assert gpu_compile.compile_one(convert) > 0
    monkeypatch.setattr(cubins, "ptx", fail)
    gpu_compile.compile_one(convert)
    assert len([*tmp_path.iterdir()]) == 1


@needs_compiler
def test_factors_are_rounded_to_tf32_once():
    """In shared memory, with one instruction for each number; a warp multiplies it in four products and more."""
    import gpu_counts

    from fastnn.kernels.gpu import cubins, tile_shapes

    text = cubins.ptx(tile_shapes.KERNELS["TF32 128x128"].function, gpu_counts.PRODUCT, (9, 0))
    assert text.count("cvt.rn.tf32.f32") == 16 and "cvt.rna" not in text
    older = cubins.ptx(tile_shapes.KERNELS["TF32 16x32"].function, gpu_counts.PRODUCT, (8, 0))
    assert older.count("cvt.rna.tf32.f32") == 12 and "cvt.rn." not in older


@needs_compiler
def test_the_cost_model_assumes_what_the_machine_code_has():
    """Instructions of a strip, at most those of 32 products on tensor cores as stated, and registers."""
    import gpu_counts

    from fastnn.kernels.gpu import tile_shapes

    if not gpu_counts.has_disassembler():
        pytest.skip("needs nvdisasm, which the extra `test` installs")
    tiles = {tile.name: tile for tile in (*tile_shapes.FLOAT32, *tile_shapes.TF32)}
    for name in (
        "TF32 128x128",
        "TF32 64x128",
        "TF32 64x256",
        "float32 128x128",
        "float32 64x128",
        "float32 32x32",
        "float32 thin 4",
    ):
        tile, count = tiles[name], gpu_counts.of_tile(name)
        assert count.issue == pytest.approx(tile.issue, rel=0.05) and count.frame == 0, name
        assert count.registers <= tile.registers, name


def check_instructions(name, code):
    (one, of_one), (other, of_other) = INSTRUCTIONS[name].items()
    counts = [len(re.findall(rf"\b{instruction}\b", code)) for instruction in (one, other)]
    assert counts[0] * of_other == counts[1] * of_one > 0, f"{name}: {counts[0]} {one}, {counts[1]} {other}"
    assert re.search(rf"\b{TRANSFERS[name]}\b", code), f"{name}: no {TRANSFERS[name]}"
