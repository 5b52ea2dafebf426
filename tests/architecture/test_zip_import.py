"""The package in a zip archive, and as byte code without sources: every backend runs, and machine code is cached."""

import compileall
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from cached_code import files, install, run
from conftest import AVAILABLE


def as_zip(folder):
    """Put the sources into a zip archive."""
    with zipfile.ZipFile(folder / "it.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files(folder / "fastnn"):
            archive.write(path, path.relative_to(folder))
    return folder / "it.zip"


def as_byte_code(folder):
    """Compile with `compileall -b`, then remove the sources."""
    assert compileall.compile_dir(folder / "fastnn", quiet=1, legacy=True)
    for path in (folder / "fastnn").rglob("*.py"):
        path.unlink()
    return folder


def as_byte_code_in_a_zip(folder):
    return as_zip(as_byte_code(folder))


@pytest.fixture(scope="module", params=[as_zip, as_byte_code, as_byte_code_in_a_zip], ids=lambda pack: pack.__name__)
def packed(request, tmp_path_factory):
    """Return the folder or archive of the package, which is the only copy on the path."""
    folder = tmp_path_factory.mktemp("packed")
    install(folder)
    packed = request.param(folder)
    moved = tmp_path_factory.mktemp("moved") / packed.name
    packed.rename(moved) if packed.is_file() else shutil.move(packed, moved)
    shutil.rmtree(folder, ignore_errors=True)
    return moved


def test_every_backend_runs(packed, tmp_path):
    code = """
        import fastnn
        from fastnn import layers
        from fastnn.cli import main
        print(fastnn.__file__)
        for line in fastnn.backends()[:3]:
            if line.available:
                with fastnn.use_backend(line.name):
                    loss, gradient = layers.softmax_loss(np.eye(4, dtype=np.float32), np.arange(4))
                print(line.name, round(float(loss), 3), gradient.dtype)
        assert main(["info"]) == 0
    """
    printed, written = run(code, packed.parent, PYTHONPATH=packed, NUMBA_CACHE_DIR=tmp_path)
    assert Path(printed[0]).is_relative_to(packed)
    expected = [word for name in AVAILABLE if name != "cuda" for word in (name, "0.744", "float32")]
    assert printed[1 : 1 + len(expected)] == expected
    assert written == ""


@pytest.mark.skipif("njit" not in AVAILABLE or "NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache is elsewhere")
def test_machine_code_is_kept(packed, tmp_path):
    """Also after the archive was moved, as some cluster systems do."""
    code = """
        from fastnn.kernels.cache import code_cache
        from fastnn.kernels.cpu import compiling
        print(relu(), compiling.compiled(), code_cache.folder())
    """
    source = packed
    for name, compiled in (("first", "1"), ("second", "0")):
        place = tmp_path / name / packed.name
        place.parent.mkdir()
        (shutil.copytree if packed.is_dir() else shutil.copy)(source, place)
        printed, written = run(code, tmp_path, PYTHONPATH=place, HOME=tmp_path, XDG_CACHE_HOME=tmp_path / "cache")
        assert (printed[:2], written) == (["True", compiled], "")
        assert Path(printed[2]).is_relative_to(tmp_path / "cache" if packed.is_file() else place)
        source = place
