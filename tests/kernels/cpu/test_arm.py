"""What the kernels do differently on ARM: machine code for it is made and read here, on any processor."""

import platform
import re

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed")
from llvmlite import binding, ir
from numba import types

from fastnn import environment
from fastnn.kernels.cpu import float_mode, processor, work_slots
from fastnn.kernels.cpu.simd import cpu_info
from fastnn.kernels.cpu.simd.ir_builder import INDEX, Emitter

TRIPLE = "aarch64-unknown-linux-gnu"


@pytest.fixture
def on_arm(monkeypatch):
    """The kernels' code is made for an ARM processor."""

    class Codegen:
        def magic_tuple(self):
            return TRIPLE, "neoverse-n1", "+neon,-sve"

    class Context:
        def codegen(self):
            return Codegen()

    class Target:
        target_context = Context()

    for module in (cpu_info, float_mode):
        monkeypatch.setattr(module, "cpu_target", Target())
    cpu_info.registers.cache_clear()
    yield
    cpu_info.registers.cache_clear()


def assembly(emit, *arguments):
    """The ARM machine code of a function whose body `emit(builder, *arguments)` writes."""
    module = ir.Module("arm")
    module.triple = TRIPLE
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "arm")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, *function.args)
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(TRIPLE).create_target_machine(cpu="neoverse-n1", opt=3)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    return machine.emit_assembly(parsed)


def test_vectors_of_16_bytes_in_32_registers(on_arm):
    assert cpu_info.registers() == (16, 32) and not cpu_info.has_masks()
    for dtype, lanes in ((np.float32, 4), (np.float64, 2)):
        rows, vectors, of_tile = cpu_info.panel_tile(np.dtype(dtype))
        assert of_tile == lanes and cpu_info.has_panel_tile(rows, vectors)
    assert float_mode.machine() == "arm"


@pytest.mark.parametrize(("kind", "name"), [(types.float32, "4s"), (types.float64, "2d")])
def test_products_are_multiply_adds_of_whole_registers(on_arm, kind, name):
    def emit(builder, address):
        vectors = Emitter(builder, kind, 4 if kind == types.float32 else 2)
        pointer = vectors.pointer(address)
        a, b, c = (vectors.load(pointer, vectors.lanes * number) for number in range(3))
        vectors.store(vectors.multiply_add(a, b, c), pointer)
        vectors.store(vectors.sums_of_lanes([a] * vectors.lanes), pointer, vectors.lanes)
        vectors.prefetch(pointer, 64)

    code = assembly(emit, INDEX)
    assert re.search(rf"fmla\tv\d+\.{name}", code)
    assert "prfm\tpldl1keep" in code


def test_the_mode_is_that_of_the_register_fpcr(on_arm):
    code = assembly(lambda builder: float_mode.emit_write(builder, float_mode.emit_read(builder)))
    assert "FPCR" in code.upper().partition("MRS")[2] and "MSR\tFPCR" in code.upper()


def test_waiting_threads_yield(on_arm):
    def emit(builder):
        spins = builder.alloca(work_slots.WORD)
        work_slots._pause(builder, spins)

    assert "\tyield" in assembly(emit)


# The text of a Neoverse N1 has no name of the processor; that of a Raspberry Pi has the board's.
NEOVERSE = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (NEOVERSE, "ARM implementer 0x41, part 0xd0c"),
        (NEOVERSE + "\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n", "Raspberry Pi 5 Model B Rev 1.0"),
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nCPU part\t: 0xd0c\n", "Some CPU @ 2 GHz"),
    ],
    ids=["server", "board", "name"],
)
def test_names_of_processors(text, name, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert environment.cpu_name() == name


def test_without_such_a_file_the_processor_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert environment.cpu_name() == (platform.processor() or platform.machine())
