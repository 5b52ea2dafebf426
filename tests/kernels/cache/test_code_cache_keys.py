"""The key of machine code on disk: sources, versions, types, processor and the compiler's settings."""

import os
import py_compile
import re
import shutil
import types
import zipfile
from pathlib import Path

import pytest
from cached_code import COUNT, run

from fastnn import kernels

numba = pytest.importorskip("numba", reason="the backend njit needs numba")
code_cache = pytest.importorskip("fastnn.kernels.cache.code_cache")
from fastnn.kernels.cache import sources  # noqa: E402

config = numba.core.config
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")


# ---- sources ----


@pytest.fixture
def copied(tmp_path):
    """Copy the kernels; return the folder and its digest."""
    folder = shutil.copytree(Path(kernels.__file__).parent, tmp_path / "kernels")
    digest = sources._digest(folder)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    return folder, digest


def test_the_digest_is_that_of_the_contents(copied, tmp_path):
    folder, digest = copied
    assert sources.digest() == digest
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o755)
    shutil.rmtree(folder / "cpu" / "simd" / "__pycache__", ignore_errors=True)
    (folder / "notes.txt").touch()
    assert sources._digest(folder) == digest
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder.parent))
    assert sources._digest(zipfile.Path(tmp_path / "it.zip", "kernels/")) == digest


def rewrite(folder):
    (folder / "cpu" / "simd" / "cpu_info.py").write_text("# changed")


def same_length(folder):
    path = folder / "cpu" / "threads.py"
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"1", b"2", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add(folder):
    (folder / "new.py").touch()


def remove(folder):
    (folder / "normalization" / "naive.py").unlink()


def rename(folder):
    (folder / "normalization" / "naive.py").rename(folder / "normalization" / "native.py")


@pytest.mark.parametrize("change", [rewrite, same_length, add, remove, rename], ids=lambda change: change.__name__)
def test_every_change_of_a_source_changes_the_digest(copied, change):
    folder, digest = copied
    change(folder)
    assert sources._digest(folder) != digest


def test_the_digest_of_byte_code_does_not_depend_on_when_the_source_was_written(tmp_path):
    digests = []
    for place, (time, content) in enumerate([(1e9, "x = 1"), (2e9, "x = 1"), (2e9, "x = 2")]):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "one.py").write_text(content)
        os.utime(folder / "one.py", (time, time))
        py_compile.compile(str(folder / "one.py"), cfile=str(folder / "one.pyc"), dfile="one.py", doraise=True)
        (folder / "one.py").unlink()
        digests.append(sources._digest(folder))
    assert digests[0] == digests[1] != digests[2]


def test_where_no_source_can_be_read_nothing_is_kept(tmp_path):
    """As in a frozen program, which would otherwise run the code of an older version after an update."""
    assert sources._digest(tmp_path) == ""
    code = "from fastnn.kernels.cache import sources; sources.digest = lambda: ''\n" + COUNT
    for _ in range(2):
        printed, written = run(code, NUMBA_CACHE_DIR=tmp_path)
        assert printed == ["True", "1"]
        assert "compiled kernels cannot be kept on disk, because their sources cannot be read" in written
    assert list(tmp_path.iterdir()) == []


# ---- settings ----

# Settings that Numba reads while it compiles, but that do not change the code:
CODE = "codegen base cpu lowering cgutils callwrapper debuginfo pythonapi generators runtime/context runtime/nrtdynmod"
HARMLESS = {
    *("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX"),  # part of the description of the processor
    *("DUMP_LLVM", "DUMP_FUNC_OPT", "DUMP_OPTIMIZED", "DUMP_ASSEMBLY", "HIGHLIGHT_DUMPS", "DIFF_IR"),  # print it
    *("USE_LLVMLITE_MEMORY_MANAGER", "DEBUG_NRT_STACK_LIMIT"),  # paths and messages
    *("IS_WIN32", "MACHINE_BITS"),  # of the machine
}


def test_every_setting_that_numba_reads_while_it_compiles_is_known():
    folder = Path(numba.core.__file__).parent
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in CODE.split())
    found = set(re.findall(r"\bconfig\.([A-Z][A-Z_0-9]+)", text))
    assert {"OPT", "LOOP_VECTORIZE"} <= found
    assert found - HARMLESS - set(code_cache.SETTINGS) == set()
    assert set(code_cache.SETTINGS) & HARMLESS == set()


def identity(x):
    return x


@pytest.fixture
def key(monkeypatch, tmp_path):
    """Return a function that returns the key of the machine code of a kernel."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache = code_cache.CodeCache(identity)
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    return lambda: cache._name(cache._key((numba.float32,), codegen))


@pytest.mark.parametrize("name", code_cache.SETTINGS)
def test_every_setting_has_code_of_its_own(monkeypatch, key, name):
    before = key()
    assert before == key()
    monkeypatch.setattr(config, name, "other", raising=False)
    assert key() != before


def test_equal_numbers_that_mean_something_else(monkeypatch, key):
    names = set()
    for level in ("2", "3", "max"):
        monkeypatch.setattr(config, "OPT", config._process_opt_level(level))
        names.add(key())
    assert len(names) == 3


@pytest.mark.parametrize(("name", "value"), [("CPU_NAME", "generic"), ("CPU_FEATURES", "+sse2"), ("ENABLE_AVX", 0)])
def test_a_processor_has_code_of_its_own(monkeypatch, tmp_path, name, value):
    """Whatever settings describe it."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache, names = code_cache.CodeCache(identity), set()
    for _ in range(2):
        names.add(cache._name(cache._key((), numba.core.codegen.JITCPUCodegen("test"))))
        monkeypatch.setattr(config, name, value)
    assert len(names) == 2 or (name == "ENABLE_AVX" and "avx" not in numba.core.codegen.get_host_cpu_features())


def test_a_process_loads_only_what_was_compiled_with_its_settings(tmp_path):
    """Each of several processes, one after the other, compiles its own code and keeps the existing code."""
    chosen = {}, {"NUMBA_LOOP_VECTORIZE": "0"}, {"NUMBA_BOUNDSCHECK": "1"}
    for compiled in ("1", "0"):
        for environment in chosen:
            assert run(COUNT, NUMBA_CACHE_DIR=tmp_path, **environment) == (["True", compiled], "")


@pytest.mark.parametrize("name", [*code_cache.SETTINGS, "CUDA_DEBUGINFO_DEFAULT"])
def test_code_of_a_gpu_depends_on_them_too(monkeypatch, name):
    if config.ENABLE_CUDASIM:
        pytest.skip("the simulator compiles nothing")
    cubins = pytest.importorskip("fastnn.kernels.gpu.cubins", reason="numba-cuda is not installed")
    kernel = types.SimpleNamespace(name="kernel", block=256)
    stamp = cubins._stamp(kernel, ("*f4",), (9, 0))
    assert cubins._stamp(kernel, ("*f4",), (9, 0)) == stamp
    monkeypatch.setattr(cubins.compiler.config, name, "other", raising=False)
    assert cubins._stamp(kernel, ("*f4",), (9, 0)) != stamp


# ---- one file ----

KEY = (("float32", 1), ("x86_64", "zen"), ("settings",))


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Return a function that creates the cache of a kernel in a new folder; line: the first line of the kernel."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def made(line=1):
        function = types.FunctionType(identity.__code__.replace(co_firstlineno=line), globals(), "kernel")
        function.__qualname__ = "kernel"
        return code_cache.CodeCache(function)

    return made


def kept(folder):
    return sorted(folder.rglob("*.nbc"))


def test_a_file_is_read_only_for_what_it_was_made_from(make, monkeypatch, tmp_path):
    cache = make()
    assert cache.load(KEY) is None
    cache.save(KEY, {"code": 1})
    assert cache.load(KEY) == make().load(KEY) == {"code": 1}
    assert make(line=2).load(KEY) is None
    (file,) = kept(tmp_path)
    content = file.read_bytes()
    for damaged in (b"", content[:-1], content[:40] + b"x" + content[41:]):
        file.write_bytes(damaged)
        assert cache.load(KEY) is None
    cache.save(KEY, {"code": 2})
    assert cache.load(KEY) == {"code": 2}
    assert kept(tmp_path) == [file]


def test_a_folder_that_was_deleted_comes_back(make, tmp_path):
    cache = make()
    cache.save(KEY, 1)
    shutil.rmtree(tmp_path)
    assert cache.load(KEY) is None
    cache.save(KEY, 2)
    assert make().load(KEY) == 2


@pytest.mark.parametrize("position", range(len(code_cache.VERSIONS)))
def test_another_version_of_what_compiles_replaces_the_file(make, monkeypatch, tmp_path, position):
    """Versions of Numba, llvmlite and NumPy."""
    cache = make()
    cache.save(KEY, "old")
    versions = list(code_cache.VERSIONS)
    versions[position] += ".1"
    monkeypatch.setattr(code_cache, "VERSIONS", tuple(versions))
    assert cache.load(KEY) is None
    cache.save(KEY, "new")
    assert cache.load(KEY) == "new"
    assert len(kept(tmp_path)) == 1


def test_other_sources_replace_the_file_beside_them(monkeypatch, make, tmp_path):
    place = (tmp_path,), True
    monkeypatch.setattr(code_cache, "_folders", lambda *_: place)
    make().save(KEY, "old")
    monkeypatch.setattr(sources, "digest", lambda: "other")
    assert make().load(KEY) is None
    make().save(KEY, "new")
    assert make().load(KEY) == "new"
    assert len(kept(tmp_path)) == 1


def test_types_and_processors_have_files_of_their_own(make, tmp_path):
    first, second, other = make(), make(), make(line=12)
    keys = KEY, (("float64", 1), *KEY[1:]), (KEY[0], ("x86_64", "skylake"), KEY[2]), (*KEY[:2], ("others",))
    for cache, key in zip((first, second, first, second), keys, strict=True):
        cache.save(key, key)
    assert [second.load(key) for key in keys] == list(keys)
    assert len(kept(tmp_path)) == 4
    other.save(KEY, "kept")
    first.flush()
    assert [first.load(key) for key in keys] == [None] * 4
    assert other.load(KEY) == "kept"


def test_an_interrupt_that_llvm_lost_is_raised_and_nothing_is_kept(make, tmp_path):
    """Ctrl-C while LLVM hands machine code to Python leaves a library without it."""

    def reduce():
        raise RuntimeError("no compiled object yet")

    library = types.SimpleNamespace(has_dynamic_globals=False)
    with pytest.raises(KeyboardInterrupt):
        make().save_overload(KEY, types.SimpleNamespace(library=library, _reduce=reduce))
    assert kept(tmp_path) == []
