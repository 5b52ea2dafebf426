"""`fastnn check --course`: files of students, in processes of their own."""

import json
import re
from pathlib import Path

import pytest
from student_files import LAYERS, changed, only

from fastnn.cli import main
from fastnn.testing.grading import supervision

RELU = ("relu_forward", "relu_backward")
FOUR_LAYERS = (
    "affine_forward", "affine_backward", *RELU, "conv_forward_naive", "conv_backward_naive",
    "max_pool_forward_naive", "max_pool_backward_naive",
)  # fmt: skip
LOOP = "while True:\n        pass"
ENDING = """\
import os
import numpy as np


def relu_forward(x):
    os._exit(0)


def relu_backward(dout, cache):
    return dout


def svm_loss(x, y):
    print("x" * 10**7)
    return np.ones((10**7, 10**7)), x


def softmax_loss(x, y):
    pass
"""


@pytest.fixture
def grade(tmp_path, monkeypatch, capsys):
    """Return a function that grades a file with this text: exit code, and the grades or the text."""
    monkeypatch.chdir(tmp_path)

    def run(text, *options, as_json=True):
        Path("answers.py").write_text(text)
        code = main(["check", "--course", "answers.py", *options, *(["--json", "-"] if as_json else [])])
        out, err = capsys.readouterr()
        assert err == ""
        return code, json.loads(out) if as_json else out

    return run


def statuses(grades):
    return {name: fields["status"] for name, fields in grades["functions"].items()}


def test_a_right_file(grade):
    code, grades = grade(LAYERS)
    assert (code, set(statuses(grades).values()), grades["right"]) == (0, {"right"}, True)
    assert grades["points"] == grades["of"] > 40
    assert grades["absent"] == []


@pytest.mark.parametrize(
    ("text", "name", "status", "cause"),
    [
        (changed("dx[place] +=", "dx[place] ="), "max_pool_backward_naive", "wrong", "accumulation"),
        (changed("x.reshape(x.shape[0], -1).T.dot(dout)", "dout.T.dot(x.reshape(x.shape[0], -1))"),
         "affine_backward", "wrong", "transposed"),
        (changed(" + b[f]", ""), "conv_forward_naive", "wrong", "bias"),
        (changed("return dout * (cache > 0)", LOOP), "relu_backward", "too slow", None),
        (changed("return dout * (cache > 0)", "return dout * cash"), "relu_backward", "raises", None),
    ],
    ids=["assigned", "axes", "bias", "loop", "raises"],
)  # fmt: skip
def test_one_wrong_function_among_right_ones(grade, text, name, status, cause):
    limit = ["--timeout", "1"] if status == "too slow" else []
    code, grades = grade(only(*FOUR_LAYERS, text=text), *limit)
    assert code == 1
    assert statuses(grades) == {**dict.fromkeys(FOUR_LAYERS, "right"), name: status}
    assert grades["functions"][name]["cause"] == cause
    assert grades["functions"][name]["points"] == 0


def test_code_that_ends_its_process_floods_and_wants_all_memory(grade):
    code, grades = grade(ENDING)
    assert code == 1
    assert statuses(grades) == {
        "relu_forward": "ended the process",
        "relu_backward": "needs its forward pass",
        "svm_loss": "raises",
        "softmax_loss": "not implemented",
    }
    assert "exit code 0" in grades["functions"]["relu_forward"]["message"]
    assert "MemoryError" in grades["functions"]["svm_loss"]["message"]


def test_a_loop_that_catches_everything_is_ended(grade):
    stubborn = "while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    code, grades = grade(only(*RELU, text=changed("return np.maximum(0, x), x", stubborn)), "--timeout", "0.2")
    assert code == 1
    assert statuses(grades) == {"relu_forward": "too slow", "relu_backward": "needs its forward pass"}


def test_a_function_that_sleeps_is_ended(grade, monkeypatch):
    monkeypatch.setattr(supervision, "_SPARE", 0)
    code, grades = grade("import time\n\n\ndef softmax_loss(x, y):\n    time.sleep(10**6)", "--timeout", "0.1")
    assert (code, statuses(grades)) == (1, {"softmax_loss": "too slow"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def relu_forward(x)\n", "the import raises SyntaxError: expected ':' (answers.py, line 1)"),
        ("import nothing_of_this_name\n", "the import raises ModuleNotFoundError: No module named"),
        ("exit(4)\n", "the import raises SystemExit: 4"),
        ("import os\nos._exit(4)\n", "the process ended with exit code 4"),
        ("while True: pass\n", "the import takes longer than the time limit"),
    ],
)
def test_a_file_that_cannot_be_imported(grade, text, message):
    code, grades = grade(text, "--timeout", "0.3")
    assert code == 1
    assert (grades["points"], grades["functions"], grades["right"]) == (0, {}, False)
    assert grades["error"]["message"].startswith(message)


def test_text(grade):
    text = changed("return dout * (cache > 0)", "return dout * cash", only(*RELU, "softmax_loss"))
    code, out = grade(text, as_json=False)
    assert code == 1
    assert out.startswith(
        "answers.py: 3 of 4 points\n\n"
        "  relu_forward   right                   1 of 1\n"
        "  relu_backward  raises                  0 of 1\n"
        "  softmax_loss   right                   2 of 2\n\n"
        "relu_backward: raises NameError: name 'cash' is not defined.\n"
        "  Smallest case found that fails: relu_backward(dout, x)\n"
    )
    assert "\n  Line 9: return dout * cash\n\nNot in the file, and not graded: affine_forward, " in out


def test_the_page_for_teachers_shows_what_is_printed(grade):
    page = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text(encoding="utf-8")
    code, text = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("python", "text"))
    assert grade(code, as_json=False) == (1, text.replace("layers.py", "answers.py", 1))


def test_points(grade):
    Path("points.json").write_text('{"relu_forward": 2.5, "affine_forward": 4}')
    code, grades = grade(only(*RELU), "--points", "points.json")
    assert (code, grades["points"], grades["of"], grades["absent"]) == (1, 2.5, 6.5, [])
    assert statuses(grades) == {"relu_forward": "right", "affine_forward": "not implemented"}


def test_the_grades_in_a_file(grade):
    _, out = grade(only(*RELU), "--json", "grades.json", as_json=False)
    assert out.startswith("answers.py: 2 of 2 points")
    assert json.loads(Path("grades.json").read_text())["points"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--course", "no.py"], "check: course='no.py' is not a Python file; expected one with a student's functions"),
        (["--course", "empty.py", "--kernel", "a:b"], "check: --kernel is given together with --course; expected one"),
        (["--course", "empty.py", "--timeout", "0"], "check: timeout=0.0 is out of range; expected more than 0"),
        (["--course", "empty.py", "--points", "empty.py"], "check: points='empty.py' is not JSON"),
        (["--course", "empty.py", "--points", "list.json"], "check: points='list.json' holds [1]; expected an object"),
        (["--course", "empty.py", "--points", "name.json"], "check: points='relu_forwad' is unknown; expected one of"),
        (["--course", "empty.py", "--points", "less.json"], "check: points['relu_forward']=-1 is out of range"),
        (["--course", "empty.py"], "check: course='empty.py' has none of the courses' functions; expected some such"),
        (["--points", "list.json"], "check: --points is given without --course; expected both; add --course FILE"),
        (["--timeout", "3"], "check: --timeout is given without --course; expected both; add --course FILE"),
    ],
)
def test_errors(error_of, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("")
    Path("list.json").write_text("[1]")
    Path("name.json").write_text('{"relu_forwad": 1}')
    Path("less.json").write_text('{"relu_forward": -1}')
    assert message in error_of("check", *options)
