"""Former names still work, with a DeprecationWarning."""

import importlib

import pytest

from fastnn import kernels
from fastnn.benchmarking import cases, roofline
from fastnn.cli import main


@pytest.mark.parametrize(
    ("module", "former", "name"),
    [
        ("fastnn.kernels.l2", "gradient_norm", "global_norm"),
        ("fastnn.nn", "evaluating", "eval_mode"),
        *(("fastnn.kernels", former, name) for former, name in kernels.FORMER_NAMES.items()),
    ],
)
def test_a_former_name_is_the_same_thing(module, former, name):
    owner = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{module}.{former} is now {module}.{name}") as caught:
        found = getattr(owner, former)
    assert found is getattr(owner, name)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("module", ["fastnn.kernels.l2", "fastnn.nn", "fastnn.kernels"])
def test_other_names_are_errors(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        importlib.import_module(module).nothing  # noqa: B018


@pytest.mark.filterwarnings("default::FutureWarning")
@pytest.mark.parametrize("command", [["check", "--cases", "1"], ["bench", "--quick", "--no-torch"]])
def test_the_command_line_takes_former_names_of_operations(command, capsys, monkeypatch):
    monkeypatch.setattr(cases, "CASES", [case.tiny() for case in cases.select(["l2"])])
    monkeypatch.setattr(roofline, "measured", lambda: None)
    assert main([*command, "--backend", "vectorized", "--operation", "squares"]) == 0
    printed, warned = capsys.readouterr()
    assert "l2" in printed or "weight_penalty" in printed
    assert f"fastnn {command[0]}: warning: {command[0]}: the operation squares is now called l2" in warned
