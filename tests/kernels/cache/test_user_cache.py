"""The user's cache folder on every platform and what is stored there, with and without a home folder."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from cifar10_files import binary_files, fake_cifar10, small_cifar10, write
from source_files import SOURCES

from fastnn.cli import main
from fastnn.data_utils import cifar10, find_CIFAR10, load_CIFAR10
from fastnn.kernels.cache import user_cache

NAMES = ("FASTNN_DATA", "FASTNN_CUBINS", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE")


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    small_cifar10(monkeypatch)
    monkeypatch.setattr("fastnn.data_utils.download.SOURCES", ())


@pytest.fixture
def cubins():
    """The module that stores compiled GPU kernels; it needs the compiler but no GPU."""
    if importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    from fastnn.kernels.gpu import cubins

    return cubins


@pytest.fixture
def homeless(monkeypatch):
    """A user without an entry in the password database, as in containers, and without environment variables."""

    pwd = pytest.importorskip("pwd", reason="this system has no password database")

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


# ---- the same rule for all files ----


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/fastnn"),
        ("darwin", {}, "home/Library/Caches/fastnn"),
        ("win32", {}, "home/AppData/Local/fastnn"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/fastnn"),
        ("linux", {"LOCALAPPDATA": "local"}, "home/.cache/fastnn"),
        *((platform, {"XDG_CACHE_HOME": "xdg"}, "xdg/fastnn") for platform in ("linux", "darwin", "win32")),
    ],
)
def test_data_sets_and_gpu_kernels_share_the_folder(monkeypatch, tmp_path, cubins, platform, variables, expected):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr(sys, "platform", platform)
    assert user_cache.folder() == tmp_path / expected
    assert cubins.folder() == tmp_path / expected / "cubins"
    assert list(cifar10.locations()) == [("cache", tmp_path / expected)]


@pytest.mark.parametrize("value", ["", "cache", "~/cache"])
def test_a_relative_cache_is_ignored_as_its_specification_asks(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache.folder() == tmp_path / ".cache" / "fastnn"


def test_no_other_file_looks_for_a_home_folder():
    """Path.home raises if there is none; os.path.expanduser does not."""
    found = [
        path.name
        for _, path in SOURCES
        if re.search(r"\.home\(\)|\.expanduser\(\)|Path\.expanduser|getpass|\bpwd\b", path.read_text(encoding="utf-8"))
    ]
    assert found == ["user_cache.py"]


# ---- searched last ----


def test_a_named_folder_needs_no_home(monkeypatch, tmp_path, cubins):
    def look_up():
        raise AssertionError("the home folder was looked up")

    write(tmp_path / "data" / "cifar-10-batches-bin", binary_files(*fake_cifar10()))
    monkeypatch.setattr(user_cache, "folder", look_up)
    assert load_CIFAR10(tmp_path / "data")[1].shape == (50,)
    assert find_CIFAR10(tmp_path / "data") == tmp_path / "data" / "cifar-10-batches-bin"
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    assert load_CIFAR10()[1].shape == (50,)
    monkeypatch.setenv("FASTNN_CUBINS", str(tmp_path / "kernels"))
    assert cubins.folder() == tmp_path / "kernels"


# ---- no home folder ----


def test_without_a_home_folder_there_is_no_cache(homeless, tmp_path, cubins):
    assert user_cache.folder() is None
    assert cubins.folder() is None
    assert list(cifar10.locations(tmp_path)) == [("root", tmp_path)]
    assert find_CIFAR10() is None
    with pytest.raises(
        FileNotFoundError,
        match=r"load_CIFAR10: .* no folder to download it into: .* no home folder; .*; set HOME or XDG_CACHE_HOME to",
    ):
        load_CIFAR10()


def test_without_a_home_folder_a_tilde_is_a_folder_that_holds_nothing(homeless, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_CIFAR10("~/sets") is None
    with (
        pytest.raises(FileNotFoundError, match="no home folder"),
        pytest.warns(UserWarning, match="root='~/sets' does not contain CIFAR-10"),
    ):
        load_CIFAR10("~/sets")
    write(tmp_path / "~" / "sets", binary_files(*fake_cifar10()))
    np.testing.assert_array_equal(load_CIFAR10("~/sets")[3], fake_cifar10()[1][5])


@pytest.mark.parametrize("has_home", [False, True])
def test_gpu_kernels_are_compiled_again_if_they_cannot_be_stored(homeless, tmp_path, monkeypatch, cubins, has_home):
    """With a fake CuPy, whose modules return the machine code that they loaded."""
    linked = []
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    monkeypatch.setattr(cubins, "ptx", lambda *_: ".visible .entry name(")
    monkeypatch.setattr(cubins, "link", lambda *_: linked.append(1) or b"machine code")
    monkeypatch.setattr(cubins, "_stamp", lambda *_: "stamp")
    if has_home:
        monkeypatch.setenv("HOME", str(tmp_path))
    kernel = SimpleNamespace(__name__="kernel", function=None)
    for _ in range(2):
        assert cubins.load(kernel, ()) == ("name", b"machine code")
    assert len(linked) == (1 if has_home else 2)
    assert bool(list(tmp_path.rglob("*.cubin"))) == has_home


def fake_cupy():
    class Module:
        def load(self, cubin):
            self.cubin = cubin

        def get_function(self, name):
            return name, self.cubin

    device = SimpleNamespace(compute_capability="90")
    cuda = SimpleNamespace(Device=lambda: device, function=SimpleNamespace(Module=Module))
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize("is_named", [False, True])
def test_info_without_a_home_folder(homeless, tmp_path, monkeypatch, capsys, is_named):
    if is_named:
        monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    assert main(["info"]) == 0
    looked = f"not in {tmp_path}" if is_named else "not found"
    assert f"{looked}; this user has no home folder to download it into; set HOME or" in capsys.readouterr().out


REAL = """
    import os
    os.setresuid(54321, 0, 0)  # the effective user still reads the interpreter's files
"""
PRETENDED = """
    import pwd
    def unknown(uid):
        raise KeyError(uid)
    pwd.getpwuid = unknown
"""


@pytest.fixture(params=["uid", "pretended"])
def in_a_container(request, tmp_path):
    """Run code in a new process without variables, as an unknown user; assert that the current folder stays empty."""
    pytest.importorskip("pwd", reason="this system has no password database")
    if request.param == "uid" and (not hasattr(os, "setresuid") or os.getuid() != 0):
        pytest.skip("only root can take a user id that has no entry in the password database")

    def run(code):
        start = textwrap.dedent(REAL if request.param == "uid" else PRETENDED)
        done = subprocess.run(
            [sys.executable, "-c", start + textwrap.dedent(code)],
            env={"PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []
        return done.stdout

    return run


def test_info_in_a_container(in_a_container):
    output = in_a_container("from fastnn.cli import main; raise SystemExit(main(['info']))")
    assert "cifar10     not found; this user has no home folder to download it into" in output


def test_pictures_in_a_container(in_a_container):
    code = """
        from fastnn import vis_utils
        vis_utils.plot_stats({"loss_history": [1.0], "train_acc_history": [0.5], "val_acc_history": [0.5]})
        print("drawn")
    """
    if tuple(map(int, importlib.metadata.version("matplotlib").split(".")[:2])) < (3, 11):
        pytest.skip("this matplotlib needs a home folder, or MPLCONFIGDIR")
    assert in_a_container(code) == "drawn\n"


def test_kernels_in_a_container(in_a_container):
    """Numba would create a folder named '~' if it cannot write next to the sources."""
    pytest.importorskip("numba", reason="the backend njit needs numba")
    code = """
        import os, tempfile, warnings
        temporary = tempfile.TemporaryFile
        def refused(*arguments, dir=None, **options):
            if dir is not None and "__pycache__" in os.fspath(dir):
                raise PermissionError(dir)
            return temporary(*arguments, dir=dir, **options)
        tempfile.TemporaryFile = refused
        warnings.simplefilter("ignore")
        from fastnn.kernels.cache import code_cache
        from fastnn.kernels.cpu import threads
        print(code_cache.folder())
    """
    assert in_a_container(code) == "None\n"
