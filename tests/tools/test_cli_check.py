"""`fastnn check`, on few cases."""

import json
import re
import sys
from pathlib import Path

import pytest

from fastnn.cli import check, main
from fastnn.kernels.activations import vectorized

pytestmark = pytest.mark.usefixtures("tiny_runs")
QUICK = ["--cases", "3", "--operation", "l2", "activations"]
TABLE = """\
| operation   | naive            | vectorized       |
| ----------- | ---------------- | ---------------- |
| l2          | float32, float64 | float32, float64 |
| activations | float32, float64 | float32, float64 |
"""


@pytest.fixture
def faulty_kernels_here(monkeypatch):
    """Run in the folder of the faulty kernels."""
    monkeypatch.chdir(Path(__file__).parents[1] / "helpers")
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_check_prints_the_matrix(capsys):
    assert main(["check", "--backend", "naive", "vectorized", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(TABLE)
    assert re.fullmatch(
        r"\d+ calls compared with the naive loops in float64, \d+ s: all are right", out.splitlines()[-1]
    )


def test_check_says_why_a_backend_is_not_there(capsys, monkeypatch):
    from fastnn.kernels.dispatch.switch import Backend

    lines = [Backend("vectorized", True, "", ""), Backend("quick", False, "it is broken", "mend it")]
    monkeypatch.setattr(check, "backends", lambda: lines)
    assert main(["check", "--cases", "1", "--operation", "l2"]) == 0
    assert "\nquick is not available: it is broken; mend it\n" in capsys.readouterr().out


def test_a_simulated_backend_gets_few_cases(monkeypatch, capsys):
    from fastnn.kernels.dispatch.switch import Backend
    from fastnn.testing.conformance import support_matrix

    seen = {}
    monkeypatch.setattr(support_matrix, "run", lambda counts, *_: seen.update(counts) or support_of_nothing)
    support_of_nothing = {"backends": {}, "support": {}, "lacking": {}, "reports": [], "calls": 0, "seconds": 0}
    lines = [Backend("naive", True, "", ""), Backend("vectorized", True, "", "", "simulated, slowly")]
    monkeypatch.setattr(check, "backends", lambda: lines)
    assert main(["check"]) == 0
    assert seen == {"naive": support_matrix.CASES, "vectorized": 4}
    assert main(["check", "--cases", "7"]) == 0
    assert seen == {"naive": 7, "vectorized": 7}


def test_check_of_a_wrong_backend(capsys, monkeypatch):
    monkeypatch.setattr(vectorized, "relu_forward", lambda x: abs(x))
    assert main(["check", "--backend", "vectorized", *QUICK, "--json", "found.json"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("float32: vectorized does not do what relu_forward does: out[")
    assert "| activations | float32 WRONG, float64 WRONG |" in out
    assert out.endswith("2 of the functions are wrong\n")
    found = json.loads(Path("found.json").read_text())
    assert found["support"]["activations"]["vectorized"] == {"float32": "wrong", "float64": "wrong"}
    assert found["support"]["l2"]["vectorized"] == {"float32": "right", "float64": "right"}
    assert len(found["reports"]) == 2


def test_check_as_json(capsys):
    assert main(["check", "--backend", "vectorized", "--cases", "1", "--operation", "l2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["backends"] == {"vectorized": ""}


def test_check_shows_what_it_does_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["check", "--backend", "vectorized", "--cases", "1", "--operation", "l2"]) == 0
    assert "global_norm: vectorized, float64" in capsys.readouterr().err


@pytest.mark.usefixtures("faulty_kernels_here")
def test_a_wrong_max_pool_gradient_is_named_in_its_smallest_case_with_its_cause(capsys):
    assert main(["check", "--kernel", "faulty_kernels:assigning_max_pool", "--like", "max_pool2d_backward"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("assigning_max_pool does not do what max_pool2d_backward does: dx[0, 0, ")
    assert "Smallest case found that fails: max_pool2d_backward(dout, index, x_shape=(1, 1, 1, 3)" in out
    assert "It takes windows that overlap in width (size 2, stride 1)" in out
    assert out.endswith("cause: accumulation: contributions to dx replace one another (=); add them (+=).\n")


@pytest.mark.usefixtures("faulty_kernels_here")
def test_a_right_kernel_is_timed(capsys):
    assert main(["check", "--kernel", "faulty_kernels:my_conv", "--like", "conv2d_forward", "--cases", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("my_conv does what conv2d_forward does: ")
    assert re.search(r"^  naive +\S+ ms +\S+x$", out, re.MULTILINE)


@pytest.mark.usefixtures("faulty_kernels_here")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--kernel", "faulty_kernels:my_conv"],
            "check: --kernel is given without --like; expected both; add --like conv2d",
        ),
        (["--like", "conv2d_forward"], "check: --like is given without --kernel; expected both; add --kernel MODULE:F"),
        (
            ["--kernel", "faulty_kernels:my_conv", "--like", "conv2d_forward", "--backend", "njit"],
            "check: --backend is given together with --kernel; expected one of them; leave --backend out",
        ),
        (
            ["--kernel", "faulty_kernels", "--like", "relu_forward"],
            "check: kernel='faulty_kernels' names no function; expected MODULE",
        ),
        (
            ["--kernel", "nowhere:f", "--like", "relu_forward"],
            "check: kernel='nowhere:f' cannot be imported (No module named 'nowhere'); expected a module in this",
        ),
        (
            ["--kernel", "faulty_kernels:my_cov", "--like", "relu_forward"],
            "check: faulty_kernels has no function 'my_cov'; expected one of its own; did you mean 'my_conv'?",
        ),
        (
            ["--kernel", "faulty_kernels:my_conv", "--like", "conv2d"],
            "check_kernel: like='conv2d' is unknown; expected one of",
        ),
        (["--cases", "0"], "check: cases=0 is out of range; expected at least 1"),
        (["--seed", "-1"], "check: seed=-1 is out of range; expected at least 0"),
        (["--backend", "nijt"], "use_backend: backend='nijt' is unknown; expected one"),
        (["--json", "no/folder.json"], "No such file or directory: 'no/folder.json'"),
    ],
)
def test_errors(error_of, arguments, message):
    assert message in error_of("check", *arguments)
