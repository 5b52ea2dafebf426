"""The courses' own package names resolve to fastnn, unless a real package of that name can be imported."""

import importlib
import sys

import pytest

import fastnn.layers
from fastnn import courses
from fastnn.courses import files, finder, table


@pytest.fixture(autouse=True)
def uninstalled():
    yield
    courses.uninstall()


def test_names_resolve_once_installed_and_no_longer_afterwards():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("cs231n.layers")
    courses.install()
    module = importlib.import_module("cs231n.layers")
    assert module is importlib.import_module("fastnn.courses.cs231n.layers")
    assert module.affine_forward is fastnn.layers.affine_forward
    assert module.__spec__.name == "fastnn.courses.cs231n.layers"
    courses.uninstall()
    assert "cs231n.layers" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("cs231n.layers")


PACKAGES = [(name, package) for name in table.COURSES for package in table.packages(name, "")]


@pytest.mark.parametrize(("name", "package"), PACKAGES)
def test_every_package_resolves(name, package):
    courses.install(name)
    importlib.import_module(package)


def test_a_year_replaces_an_edition_that_was_imported():
    courses.install()
    newest = importlib.import_module("cs231n.layers")
    courses.install("cs231n", year=2016)
    older = importlib.import_module("cs231n.layers")
    assert older is importlib.import_module("fastnn.courses.cs231n_2015.layers")
    assert older is not newest
    courses.install("cs231n")
    assert importlib.import_module("cs231n.layers") is newest


def test_a_module_that_is_missing_says_what_there_is():
    courses.install()
    with pytest.raises(ModuleNotFoundError, match=r"^cs231n.rnn_layers: .*`fastnn courses` lists"):
        importlib.import_module("cs231n.rnn_layers")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("fastnn.courses.cs231n.rnn_layers")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "nndl"]:
        del sys.modules[name]


def test_a_real_package_is_used_instead_which_is_said(folder, capsys):
    (folder / "nndl").mkdir()
    (folder / "nndl" / "__init__.py").write_text("mine = 1\n")
    courses.install()
    assert capsys.readouterr().out.startswith("fastnn.courses: nndl can be imported here, and is used instead")
    assert importlib.import_module("nndl").mine == 1


def test_a_folder_of_data_does_not_count(folder, capsys):
    (folder / "nndl" / "datasets").mkdir(parents=True)
    courses.install()
    assert capsys.readouterr().out == ""
    assert importlib.import_module("nndl.layers").relu_forward is fastnn.layers.relu_forward


def test_installing_twice_adds_one_finder():
    courses.install()
    courses.install()
    assert sum(isinstance(one, finder.Finder) for one in sys.meta_path) == 1


class Shell:
    """A stand-in for IPython's."""

    def __init__(self):
        self.events, self.registered = self, []

    def register(self, event, function):
        self.registered.append((event, function))

    def unregister(self, event, function):
        self.registered.remove((event, function))


def test_the_extension_of_ipython(capsys):
    shell = Shell()
    courses.load_ipython_extension(shell)
    assert shell.registered == [("pre_run_cell", files.provide)]
    importlib.import_module("cs231n.layers")
    courses.unload_ipython_extension(shell)
    assert shell.registered == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("cs231n.layers")


class Cell:
    def __init__(self, text):
        self.raw_cell = text


def test_files_that_a_cell_names_are_there(folder, capsys):
    from PIL import Image

    files.provide(Cell("kitten = imread('cs231n/notebook_images/kitten.jpg'), imread('notebook_images/puppy.jpg')"))
    printed = capsys.readouterr().out
    sizes = {"cs231n/notebook_images/kitten.jpg": (500, 400), "notebook_images/puppy.jpg": (400, 400)}  # cells crop one
    for name, size in sizes.items():
        assert f"wrote {name}" in printed
        with Image.open(folder / name) as picture:
            assert picture.size == size


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("!bash get_datasets.sh", "get_datasets.sh"),
        ("!bash cs231n/datasets/get_datasets.sh", "cs231n/datasets/get_datasets.sh"),
        ("%cd cs231n/datasets\n!bash get_datasets.sh\n%cd ../..", "cs231n/datasets/get_datasets.sh"),
        ("%cd deeplearning/datasets/\n!bash ./get_datasets.sh\n%cd ../..", "deeplearning/datasets/get_datasets.sh"),
        ("!cd cs231n/datasets && ./get_datasets.sh", "cs231n/datasets/get_datasets.sh"),
    ],
)
def test_a_script_lies_where_the_cell_goes(folder, cell, name):
    files.provide(Cell(cell))
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / name]
    assert (folder / name).read_text().startswith("echo")


def test_a_module_whose_time_a_cell_asks_for(folder, capsys):
    files.provide(Cell("path = os.path.join(GOOGLE_DRIVE_PATH, 'knn.py')\nprint(os.path.getmtime(path))"))
    files.provide(Cell("from knn import hello  # see two_layer_net.py"))
    assert capsys.readouterr().out == "fastnn.courses: wrote knn.py, which was missing\n"
    assert (folder / "knn.py").read_text() == "from fastnn.courses.eecs598.knn import *  # noqa: F403\n"
    assert sorted(path.name for path in folder.iterdir()) == ["knn.py"]


def test_files_that_exist_and_cells_that_name_none_write_nothing(folder, capsys):
    (folder / "notebook_images").mkdir()
    (folder / "notebook_images" / "kitten.jpg").write_bytes(b"mine")
    files.provide(Cell("imread('notebook_images/kitten.jpg')"))
    files.provide(Cell(""))
    files.provide(Cell(None))
    assert (folder / "notebook_images" / "kitten.jpg").read_bytes() == b"mine"
    assert capsys.readouterr().out == ""
