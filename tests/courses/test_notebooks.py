"""Running a notebook: what is left out, what fails, what is printed and returned."""

import json
import sys

import pytest
from small_notebooks import write_notebook

from fastnn.courses import notebooks

DRIVE = """from google.colab import drive
drive.mount("/content/drive")
FOLDERNAME = None
assert FOLDERNAME is not None, "Enter the folder's name."
%cd drive/My\\ Drive/$FOLDERNAME/cs231n/datasets
!bash get_datasets.sh
%cd /content"""


def test_a_notebook_goes_on_after_a_failing_cell(tmp_path, capfd):
    package = tmp_path / "cs231n"
    (package / "datasets").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("raise ImportError('the course has its own')")
    (package / "datasets" / "notes.txt").write_text("kept")
    (tmp_path / "linear_classifier.py").write_text("raise ImportError('the course has its own')")
    path = write_notebook(
        tmp_path,
        "from google.colab import drive\n# a comment\ndrive.mount('/content/drive')",
        "import sys\nsys.path.append('/content/drive/My Drive')\nif True:\n  !pip install numpy\nprint('still runs')",
        "from cs231n.layers import affine_forward\nprint(affine_forward.__module__)",
        "print('before')\nraise ValueError('first line\\nsecond line')",
        "open('cs231n/datasets/notes.txt').read()",
        "import linear_classifier\nprint(linear_classifier.__name__)",
    )
    assert notebooks.main([str(path), "--timeout", "300", "--json", str(tmp_path / "cells.json")]) == 1
    cells = json.loads((tmp_path / "cells.json").read_text())[str(path)]
    assert [cell["status"] for cell in cells] == ["skipped", "ok", "ok", "FAIL", "ok", "ok"]
    assert [cell["note"] for cell in cells[:2]] == ["Colab: 2 lines left out"] * 2
    assert [cell["output"] for cell in cells[1:3]] == ["still runs\n", "fastnn.layers.affine\n"]
    assert cells[3]["note"] == "ValueError: first line"
    assert cells[3]["output"].startswith("before\n") and "second line" in cells[3]["output"]
    assert cells[4]["output"] == "'kept'\n"
    assert cells[5]["output"] == "fastnn.courses.eecs598.linear_classifier\n"
    printed = capfd.readouterr().out.splitlines()
    assert printed[0] == str(path)
    assert printed[4].split()[:2] == ["4", "FAIL"] and printed[4].endswith("ValueError: first line")
    assert printed[-1].strip() == "4 ok, 1 FAIL, 1 skipped"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cells.json", "cs231n", "linear_classifier.py", path.name]


def test_a_cell_that_takes_too_long_is_interrupted(tmp_path):
    path = write_notebook(tmp_path, "import time\nprint('begun')\nwhile True: time.sleep(0.01)")
    (cell,) = notebooks.run_notebook(path, timeout=2, extension=False)
    assert (cell.status, cell.note) == ("FAIL", "Timeout: took longer than 2 seconds")
    assert cell.output.startswith("begun")


def test_the_courses_own_package_without_the_extension(tmp_path, capsys):
    package = tmp_path / "cs231n"
    package.mkdir()
    (package / "__init__.py").write_text("name = 'the course'")
    path = write_notebook(tmp_path, "import cs231n\nprint(cs231n.name)", version=3)
    assert notebooks.main([str(path), "--no-extension"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].strip() == "1 ok, 0 FAIL, 0 skipped"


def test_a_given_folder_is_used_as_it_is(tmp_path):
    (tmp_path / "work").mkdir()
    path = write_notebook(tmp_path, "open('result.txt', 'w').write('here')")
    assert notebooks.run_notebook(path, extension=False, folder=tmp_path / "work")[0].status == "ok"
    assert (tmp_path / "work" / "result.txt").read_text() == "here"


def test_a_first_cell_that_fails_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="first cell, '1 / 0', failed with ZeroDivisionError"):
        notebooks.run_notebook(write_notebook(tmp_path, "pass"), first="1 / 0")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1 % 2\n% 3", ("x = 1 % 2\n% 3", 0)),
        ("# %cd /content", ("# %cd /content", 0)),
        ("%cd cs231n/datasets\n!bash get_datasets.sh", ("%cd cs231n/datasets\n!bash get_datasets.sh", 0)),
        (DRIVE, ('pass\npass\nFOLDERNAME = "."\npass\npass\npass\npass', 6)),
        ("  !pip install numpy", ("  pass", 1)),
        ("SYM_PATH = '/content/hw2'\n%cd $SYM_PATH", ('SYM_PATH = "."\npass', 1)),
        (
            "GOOGLE_DRIVE_PATH = os.path.join('drive', NAME)\nprint(os.listdir(GOOGLE_DRIVE_PATH))",
            ('GOOGLE_DRIVE_PATH = "."\npass', 1),
        ),
    ],
)
def test_lines_for_colab_are_left_out(source, expected):
    assert notebooks._without_colab(source) == expected


def test_a_file_that_is_not_a_notebook(tmp_path):
    path = tmp_path / "notebook.ipynb"
    for content in ("print(1)", '{"nbformat": 4, "nbformat_minor": 4}', "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match="cannot be read as a notebook"):
            notebooks.run_notebook(path)
    with pytest.raises(FileNotFoundError):
        notebooks.run_notebook(tmp_path / "missing.ipynb")


@pytest.mark.parametrize("name", ["nbclient", "nbformat", "ipykernel"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name):
    path = write_notebook(tmp_path, "pass")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'{name} cannot be imported; .*pip install "fastnn-numba\[notebooks\]"'):
        notebooks.run_notebook(path)
