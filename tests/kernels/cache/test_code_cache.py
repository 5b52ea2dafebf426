"""Machine code on disk survives copies of the package, and is read from read-only folders."""

import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from cached_code import COUNT, files, install, linux_only, run, without_cache  # noqa: F401  (a fixture)

code_cache = pytest.importorskip("fastnn.kernels.cache.code_cache", reason="the backend njit needs numba")
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    """A folder with the package, and one compiled kernel next to its source."""
    folder = tmp_path_factory.mktemp("installed")
    install(folder)
    assert run(COUNT, cwd=folder, HOME=folder / "home") == (["True", "1"], "")
    assert len(list(folder.rglob("*.nbc"))) == 1
    assert not (folder / "home").exists()
    return folder


# ---- copies ----


def with_new_times(source, target):
    shutil.copytree(source, target, copy_function=shutil.copyfile)


def by_zip(source, target):
    """Times are rounded to two seconds."""
    with zipfile.ZipFile(target.parent / "it.zip", "w") as archive:
        for path in files(source):
            archive.write(path, path.relative_to(source))
    with zipfile.ZipFile(target.parent / "it.zip") as archive:
        for member in archive.infolist():
            path = archive.extract(member, target)
            os.utime(path, (1e9 + 2, 1e9 + 2))


def by_tar(source, target):
    """All times are equal, as in reproducible images."""

    def without_time(member):
        member.mtime = 0
        return member

    with tarfile.open(target.parent / "it.tar", "w") as archive:
        archive.add(source, ".", filter=without_time)
    with tarfile.open(target.parent / "it.tar") as archive:
        archive.extractall(target, filter="data")


def from_a_clock_ahead(source, target):
    shutil.copytree(source, target)
    for path in files(target):
        os.utime(path, (4e9, 4e9))


def by_rename(source, target):
    shutil.copytree(source, target.with_name("before"))
    target.with_name("before").rename(target)


def by_symlink(source, target):
    target.mkdir()
    (target / "fastnn").symlink_to(source / "fastnn")


@pytest.mark.parametrize(
    "copy", [with_new_times, by_zip, by_tar, from_a_clock_ahead, by_rename, by_symlink], ids=lambda copy: copy.__name__
)
def test_a_copy_of_the_package_compiles_nothing(warmed, tmp_path, copy):
    target = tmp_path / "copy"
    copy(warmed, target)
    where = f"import fastnn; assert fastnn.__file__.startswith({str(target)!r}); "
    assert run(where + COUNT, cwd=target, HOME=tmp_path / "home") == (["True", "0"], "")


def test_a_folder_of_its_own_serves_the_package_wherever_it_is(warmed, tmp_path):
    """Such as a volume that several containers mount."""
    shutil.copytree(warmed, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for cwd, compiled in ((warmed, "1"), (tmp_path / "elsewhere", "0")):
        assert run(COUNT, cwd=cwd, NUMBA_CACHE_DIR=tmp_path / "volume")[0] == ["True", compiled]
    shutil.copytree(tmp_path / "volume", tmp_path / "other", copy_function=shutil.copyfile)
    assert run(COUNT, cwd=warmed, NUMBA_CACHE_DIR=tmp_path / "other")[0] == ["True", "0"]


def test_a_change_of_any_source_compiles_again(warmed, tmp_path):
    """Two versions of the package can share a folder."""
    shutil.copytree(warmed, tmp_path / "changed")
    with open(tmp_path / "changed" / "fastnn" / "kernels" / "cpu" / "simd" / "cpu_info.py", "a") as file:
        file.write("# changed\n")
    assert run(COUNT, cwd=tmp_path / "changed")[0] == ["True", "1"]
    for cwd, compiled in ((warmed, "1"), (tmp_path / "changed", "1"), (warmed, "0")):
        assert run(COUNT, cwd=cwd, NUMBA_CACHE_DIR=tmp_path / "shared")[0] == ["True", compiled]


# ---- read-only folders ----

NOT_BESIDE = """
from fastnn.kernels.cache import code_cache
writable = code_cache._is_writable
code_cache._is_writable = lambda folder: {} and writable(folder)
"""
NOBODY = """
import os, numba
numba.njit(lambda x: x)(1)  # whose modules others may not be allowed to read
from fastnn.kernels.activations import njit
os.setgid(65534), os.setuid(65534)
"""
READ_ONLY = pytest.mark.parametrize(
    "before",
    [
        pytest.param(NOT_BESIDE.format("folder.name != '__pycache__'"), id="simulated"),
        pytest.param(
            NOBODY,
            id="as another user",
            marks=pytest.mark.skipif(
                sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
            ),
        ),
    ],
)


@pytest.fixture
def read_only(warmed):
    """The warmed package in a folder that other users can read, and a folder that they can write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        installed, home = Path(folder) / "installed", Path(folder) / "home"
        shutil.copytree(warmed, installed)
        os.chmod(installed, 0o755)
        home.mkdir()
        os.chmod(home, 0o777)
        yield installed, home


@linux_only
@READ_ONLY
def test_what_can_only_be_read_is_read_and_what_is_missing_is_kept_elsewhere(read_only, before):
    installed, home = read_only
    there = files(installed)
    code = COUNT + "; print(relu('float64'), compiling.compiled())"
    for compiled in ("1", "0"):
        printed, written = run(code, installed, before, HOME=home, XDG_CACHE_HOME=home)
        assert (printed, written) == (["True", "0", "True", compiled], "")
    assert {path for path in files(installed) if path.suffix == ".nbc"} == {p for p in there if p.suffix == ".nbc"}
    assert len(list(home.rglob("*.nbc"))) == 1


@linux_only
@READ_ONLY
def test_where_nothing_can_be_written_what_is_there_is_read_without_a_warning(read_only, before):
    installed, _ = read_only
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), "/proc/nowhere")
    assert run(COUNT, installed, before, **nowhere) == (["True", "0"], "")
    printed, written = run(COUNT.replace("relu()", "relu('float64')"), installed, before, **nowhere)
    assert printed == ["True", "1"]
    assert written.count("compiled kernels cannot be kept on disk") == 1


@linux_only
def test_warmup_of_what_can_only_be_read(read_only):
    """It prints where the code was found, and fails with a clear error if some is missing and cannot be stored."""
    installed, _ = read_only
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/proc/nowhere")
    before = NOT_BESIDE.format("False") + "import numpy as np\nfrom fastnn.benchmarking import warmup\n"
    step = "warmup.steps = lambda dtype: [('one', lambda: relu(dtype))]; from fastnn.cli import main; "
    code = step + "print(main(['warmup']))"
    printed, written = run(code, installed, before, **nowhere)
    assert (printed[-1], written) == ("0", "")
    assert str(installed / "fastnn/kernels/activations/__pycache__") in printed
    printed, written = run(step + "print(main(['warmup', '--dtype', 'both']))", installed, before, **nowhere)
    assert printed[-1] == "2"
    assert "warmup: compiled kernels cannot be kept, beside their source" in written


# ---- without any folder ----


@linux_only
def test_without_a_folder_for_the_cache_there_is_one_warning(without_cache, tmp_path):  # noqa: F811
    code = """
        import fastnn.kernels
        print(fastnn.kernels.__file__, relu())
        from fastnn.kernels.cache import code_cache
        from fastnn.kernels import pool2d
        with use_backend("njit"):
            print(pool2d.global_avg_pool2d_forward(np.ones((2, 3, 4, 5))).sum())
        print(code_cache.folder())
    """
    printed, written = run(code, **without_cache)
    assert printed == [str(tmp_path / "fastnn/kernels/__init__.py"), "True", "6.0", "None"]
    assert written.count("Warning") == 1
    expected = f"fastnn: compiled kernels cannot be kept on disk, neither in {tmp_path / 'fastnn/kernels'} nor in the"
    assert expected in written
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in written


@linux_only
def test_warmup_without_a_folder_says_what_to_do(without_cache, tmp_path):  # noqa: F811
    printed, written = run("from fastnn.cli import main; print(main(['warmup']))", **without_cache)
    assert printed == ["2"]
    assert written == (
        f"fastnn warmup: error: warmup: compiled kernels cannot be kept in NUMBA_CACHE_DIR={str(tmp_path / 'file/x')!r}"
        f", beside their source {tmp_path / 'fastnn/kernels'} or in the user's cache; expected a writable "
        "folder; set NUMBA_CACHE_DIR to one\n"
    )


def test_a_cache_that_breaks_later_costs_one_warning_too(tmp_path):
    code = """
        import pathlib, shutil
        with use_backend("njit"):
            relu()
            for folder in pathlib.Path(r"{}").iterdir():
                shutil.rmtree(folder)
                folder.touch()
            print(relu("float64"), activations.relu_backward(np.ones(2), np.ones(2)).sum())
    """
    printed, written = run(code.format(tmp_path), NUMBA_CACHE_DIR=tmp_path)
    assert printed == ["True", "2.0"]
    assert written.count("Warning") == 1
    assert "compiled kernels cannot be kept on disk" in written


@linux_only
def test_no_home_folder_and_no_entry_for_the_user(tmp_path):
    """The user's cache is then unknown; no folder named ~ is created."""
    before = NOT_BESIDE.format("folder.name != '__pycache__'") + "import os; os.environ.pop('HOME', None)\n"
    before += "import pwd\nof = pwd.getpwuid\npwd.getpwuid = lambda uid: of(2**31 - 7)\n"
    install(tmp_path)
    printed, written = run(COUNT, tmp_path, before, XDG_CACHE_HOME="")
    assert printed == ["True", "1"]
    assert "cannot be kept on disk" in written
    assert not (tmp_path / "~").exists()


def test_the_cache_folder_is_the_one_asked_for(tmp_path):
    code = "from fastnn.kernels.cache import code_cache; print(relu(), code_cache.folder())"
    (first, folder), _ = run(code, NUMBA_CACHE_DIR=tmp_path)
    assert first == "True"
    assert Path(folder).is_relative_to(tmp_path)
    assert list(Path(folder).glob("*.nbc")) == list(tmp_path.rglob("*.nbc"))
