"""The grader of students' files: verdicts on right and wrong functions, in this process."""

import sys

import numpy as np
import pytest
from student_files import LAYERS, LOSSES, OPTIM, changed

from fastnn.testing.grading import judging
from fastnn.testing.grading.exercises import EXERCISES
from fastnn.testing.grading.student import Student
from fastnn.testing.grading.worker import defined


@pytest.fixture
def student(tmp_path, monkeypatch):
    """Return a function that loads a file with this text."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    state = np.random.get_state()

    def load(text, limit=60.0):
        path = tmp_path / "answers.py"
        path.write_text(text)
        loaded = Student(path, limit)
        loaded.load()
        return loaded

    yield load
    sys.modules.pop("answers", None)
    np.random.set_state(state)


@pytest.fixture
def verdict(student):
    """Return a function that judges one function of a file."""

    def judge(text, name, limit=60.0):
        return judging.judge_function(EXERCISES[name], student(text, limit), seed=0)

    return judge


@pytest.mark.parametrize("text", [LAYERS, LOSSES, OPTIM], ids=["layers", "losses", "optim"])
def test_right_functions_are_right(student, text):
    loaded = student(text)
    names = defined(loaded)
    findings = [judging.judge_function(EXERCISES[name], loaded, seed=0) for name in names]
    assert {finding.function: finding.message for finding in findings if finding.status != "right"} == {}


def test_every_exercise_is_in_one_of_the_right_files(student):
    names = [name for text in (LAYERS, LOSSES, OPTIM) for name in defined(student(text))]
    assert sorted(names) == sorted(EXERCISES)


WRONG = {
    "assigned": ("dpadded[n, :, rows, columns] +=", "dpadded[n, :, rows, columns] =",
                 "conv_backward_naive", "accumulation"),
    "assigned in pooling": ("dx[place] +=", "dx[place] =", "max_pool_backward_naive", "accumulation"),
    "swapped sides": ("1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride",
                      "1 + (W + 2 * pad - WW) // stride, 1 + (H + 2 * pad - HH) // stride",
                      "conv_forward_naive", "sides"),
    "transposed": ("dw = x.reshape(x.shape[0], -1).T.dot(dout)", "dw = dout.T.dot(x.reshape(x.shape[0], -1))",
                   "affine_backward", "transposed"),
    "no bias": (".dot(w) + b", ".dot(w)", "affine_forward", "bias"),
    "no bias in a convolution": (" + b[f]", "", "conv_forward_naive", "bias"),
    "stride ignored": ("conv_param[\"stride\"], conv_param", "1, conv_param", "conv_forward_naive", "stride"),
    "dropping probability": ("np.random.rand(*x.shape) < p) / p", "np.random.rand(*x.shape) > p) / (1 - p)",
                             "dropout_forward", "probability"),
    "not inverted dropout": ("< p) / p", "< p)", "dropout_forward", "left out"),
    "no mean": ("dx / N", "dx", "svm_loss", "factor"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "name", "cause"), WRONG.values(), ids=WRONG)
def test_classic_mistakes_are_wrong_with_their_cause(verdict, before, after, name, cause):
    found = verdict(changed(before, after), name)
    assert (found.status, found.cause) == ("wrong", cause)
    assert found.details[0].startswith(f"Smallest case found that fails: {name}(")


def test_penalties_and_momentum(verdict):
    found = verdict(changed("+ reg *", "+ 0.5 * reg *", LOSSES), "svm_loss_naive")
    assert found.status == "wrong"
    assert found.message.startswith("loss")
    found = verdict(changed('m = config["m"] / (1 - config["beta1"] ** config["t"])', "m = config['m']", OPTIM), "adam")
    assert (found.status, found.message[:6]) == ("wrong", "next_w")


def test_a_backward_pass_is_given_the_cache_of_the_students_own_forward_pass(verdict):
    text = changed("return np.maximum(0, x), x", "return np.maximum(0, x), {'kept': x > 0}")
    text = changed("dout * (cache > 0)", "dout * cache['kept']", text)
    assert verdict(text, "relu_backward").status == "right"


def test_numeric_gradients_tell_whether_the_forward_pass_is_wrong(verdict):
    text = changed("np.maximum(0, x), x", "np.maximum(0.1 * x, x), x")
    found = verdict(changed("dout * (cache > 0)", "np.where(cache > 0, dout, 0.1 * dout)", text), "relu_backward")
    assert found.status == "wrong"
    assert "It is the gradient of your relu_forward by numeric differentiation, which is wrong" in found.details[-1]
    found = verdict(changed("db = dout.sum(axis=0)", "db = dout.sum(axis=0) + 1"), "affine_backward")
    assert "Numeric gradients of your affine_forward: db is wrong." in found.details


def test_exceptions_are_findings_with_their_line(verdict):
    found = verdict(changed("np.maximum(0, x), x", "x / 0 + missing, x"), "relu_forward")
    assert found.status == "raises"
    assert found.message == "raises NameError: name 'missing' is not defined"
    assert found.details[-1] == f"Line {found.line}: return x / 0 + missing, x"


def test_sys_exit_and_ctrl_c_are_findings(verdict):
    found = verdict(changed("return np.maximum(0, x), x", "raise SystemExit(3)"), "relu_forward")
    assert (found.status, found.message) == ("raises", "raises SystemExit: 3")
    assert verdict(changed("return np.maximum(0, x), x", "raise KeyboardInterrupt"), "relu_forward").status == "raises"


@pytest.mark.parametrize("body", ["pass", "return None, x", "raise NotImplementedError", "return None"])
def test_a_function_still_to_be_written_is_not_implemented(verdict, body):
    found = verdict(changed("return np.maximum(0, x), x", body), "relu_forward")
    assert found.status == "not implemented"


def test_a_backward_pass_still_to_be_written(verdict):
    found = verdict(changed("return dx, dw, db\n", "return None, None, None\n"), "affine_backward")
    assert (found.status, found.message) == ("not implemented", "it returns None")
    assert verdict(changed("def affine_backward", "def other"), "affine_backward").status == "not implemented"
    assert verdict("from fastnn.layers import *", "affine_backward").status == "not implemented"


def test_a_part_that_returns_none_is_wrong(verdict):
    found = verdict(changed("return dx, dw, db\n", "return dx, dw, None\n"), "affine_backward")
    assert (found.status, found.message) == ("wrong", "db: None where a ndarray was expected")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise IndexError('no')", "relu_forward raises IndexError: no"),
        ("pass", "relu_forward is not implemented"),
        ("return x", "relu_forward returns ndarray, not out and cache"),
    ],
)
def test_without_a_cache_the_backward_pass_is_not_judged(verdict, body, message):
    found = verdict(changed("return np.maximum(0, x), x", body), "relu_backward")
    assert (found.status, found.message) == ("needs its forward pass", message)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("np.maximum(0, x)", "returns ndarray; expected the two results out, cache"),
        ("(np.maximum(0, x)[:, :1][:, [0] * (x.shape[1] + 1)], x)", "shape"),
        ("('text', x)", "shape () where"),
        ("({}, x)", "shape () where"),
        ("(np.maximum(0, x).astype(np.float32), x)", "float32"),
    ],
)
def test_results_of_another_form(verdict, result, message):
    found = verdict(changed("return np.maximum(0, x), x", f"return {result}"), "relu_forward")
    assert found.status == "wrong"
    assert message in found.message


def test_results_that_cannot_be_compared(verdict):
    odd = "type('Odd', (), {'__array__': lambda self, *_, **__: 1 / 0})()"
    found = verdict(changed("return np.maximum(0, x), x", f"return {odd}, x"), "relu_forward")
    assert (found.status, found.message) == (
        "wrong",
        "its result cannot be compared: ZeroDivisionError: division by zero",
    )


def test_a_forward_pass_that_raises_for_other_numbers_gives_no_numeric_gradient(verdict):
    text = changed("db = dout.sum(axis=0)", "db = dout.sum(axis=0) + 1")
    text = changed(".dot(w) + b", ".dot(w) + (b if (b == b.round()).all() or b.size != 1 else b[5])", text)
    found = verdict(text, "affine_backward")
    assert found.status == "wrong"
    assert found.details[0].startswith("Smallest case found that fails: affine_backward(")
    assert not any(line.startswith("Numeric") for line in found.details)


def test_writing_into_an_argument_is_a_remark(verdict):
    found = verdict(changed("return dout * (cache > 0)", "dout[cache <= 0] = 0\n    return dout"), "relu_backward")
    assert found.status == "right"
    assert found.remarks == ("It writes into its argument dout, which others may still need; use a copy.",)


def test_a_loop_without_end_is_stopped_at_its_line(student):
    text = changed("return np.maximum(0, x), x", "while True:\n        x = x + 0")
    loaded = student(text, limit=0.2)
    found = judging.judge_function(EXERCISES["relu_forward"], loaded, seed=0)
    assert found.status == "too slow"
    assert found.details[0] in ("Line 18: while True:", "Line 19: x = x + 0")
    found = judging.judge_function(EXERCISES["relu_backward"], loaded, seed=0)
    assert (found.status, found.message) == ("needs its forward pass", "relu_forward gives no cache")


def test_a_fault_counts_although_explaining_it_takes_too_long(student):
    text = changed("return np.maximum(0, x), x", "while count > 1: pass\n    count += 1\n    return x, x")
    text = changed("    while count", "    global count\n    while count", "count = 0\n" + text)
    noted = []
    found = judging.judge_function(EXERCISES["relu_forward"], student(text, limit=0.2), seed=0, found=noted.append)
    assert found.status == "wrong"
    assert noted == [found]


def test_a_file_in_a_package_and_files_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    package = tmp_path / "homework"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "other.py").write_text("import numpy as np")
    (package / "answers_in_package.py").write_text(
        "from .other import np\nfrom homework.other import np as again\n" + LAYERS
    )
    loaded = Student(package / "answers_in_package.py", 60.0)
    loaded.load()
    assert judging.judge_function(EXERCISES["relu_forward"], loaded, seed=0).status == "right"
    for name in ("homework", "homework.other", "homework.answers_in_package"):
        del sys.modules[name]
