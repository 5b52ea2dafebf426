"""Wrong arguments of every command: exit code 2, one line that names the option, no traceback, no files."""

import os
from pathlib import Path

import pytest

from fastnn.cli import _parser, main

pytestmark = pytest.mark.usefixtures("tiny_runs")

COMMANDS = _parser().commands
OPTIONS = [
    (name, action)
    for name, parser in COMMANDS.items()
    for action in parser._actions
    if action.option_strings and action.dest != "help"
]
NAMES = [f"{name} {action.option_strings[-1]}" for name, action in OPTIONS]
REQUIRED = {"resume": ["somewhere"], "predict": ["run.h5", "a.png"], "plot": ["somewhere"]}
OUT_OF_RANGE = {
    "--epochs": ["0", "-1"],
    "--batch-size": ["0", "-1"],
    "--learning-rate": ["-1", "nan", "inf"],
    "--reg": ["-1", "nan"],
    "--num-filters": ["0", "-3"],
    "--filter-size": ["0"],
    "--hidden-dim": ["0"],
    "--weight-scale": ["-1", "inf"],
    "--num-train": ["0", "-1"],
    "--seed": ["-1"],
    "--lr-decay": ["0", "-1", "nan"],
    "--weight-decay": ["-1", "nan"],
    "--early-stopping": ["0"],
    "--random": ["0", "-2"],
}


def error_line(capsys, *arguments):
    """Return the error line of a command with wrong arguments."""
    capsys.readouterr()
    try:
        code = main(list(arguments))
    except SystemExit as stopped:
        code = stopped.code
    err = capsys.readouterr().err
    assert code == 2
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert err.startswith(f"fastnn {arguments[0]}: error: ")
    assert not os.path.exists("runs")
    return err


def takes_nothing(action):
    return action.nargs == 0


@pytest.mark.parametrize(("name", "action"), OPTIONS, ids=NAMES)
def test_a_misspelt_option_gets_the_nearest_suggested(capsys, name, action):
    option = action.option_strings[-1]
    misspelt = option[:-1] + "qq"
    said = error_line(capsys, name, *REQUIRED.get(name, []), misspelt)
    assert f"{misspelt!r} is unknown; expected only --" in said
    assert "did you mean" in said or len(option) < 7


@pytest.mark.parametrize(
    ("name", "action"), [pair for pair in OPTIONS if not takes_nothing(pair[1])],
    ids=[name for name, pair in zip(NAMES, OPTIONS, strict=True) if not takes_nothing(pair[1])],
)  # fmt: skip
def test_an_option_without_its_value_is_an_error(capsys, name, action):
    option = action.option_strings[-1]
    said = error_line(capsys, name, *REQUIRED.get(name, []), option)
    assert f"argument {'/'.join(action.option_strings)}: expected " in said


@pytest.mark.parametrize(
    ("name", "action"), [pair for pair in OPTIONS if pair[1].type not in (None, Path)],
    ids=[name for name, pair in zip(NAMES, OPTIONS, strict=True) if pair[1].type not in (None, Path)],
)  # fmt: skip
def test_invalid_numbers_and_choices_are_errors(capsys, name, action):
    option = action.option_strings[-1]
    for value in ("a", "", "1e", "one two", "None", "1:a"):
        said = error_line(capsys, name, *REQUIRED.get(name, []), option, value)
        assert f"argument {'/'.join(action.option_strings)}: " in said and "; expected " in said


def test_a_misspelt_choice_gets_the_nearest_suggested(capsys):
    for arguments, near in (
        (("train", "--model", "two-leyer"), "two-layer"),
        (("train", "--update-rule", "adma"), "adam"),
        (("sweep", "--update-rule", "sgd", "adma"), "adam"),
        (("train", "--backend", "vectorised"), "vectorized"),
        (("bench", "--operation", "conv2"), "conv2d"),
        (("warmup", "--dtype", "float23"), "float32"),
    ):
        assert f"did you mean '{near}'" in error_line(capsys, *arguments)


@pytest.mark.parametrize("option", OUT_OF_RANGE)
def test_values_out_of_range_are_refused(capsys, option):
    commands = [name for name in ("train", "sweep") if option in COMMANDS[name].option_names]
    assert commands
    for name in commands:
        for value in OUT_OF_RANGE[option]:
            said = error_line(capsys, name, f"{option}={value}")
            assert value in said and "; expected " in said


def test_a_misspelt_command_gets_the_nearest_suggested(capsys):
    for arguments, message in (
        (["trian"], "fastnn: error: 'trian' is unknown; expected one of train, "),
        ([], "fastnn: error: no command is given; expected one of train, "),
        (["--jsno"], "fastnn: error: "),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(message) and line.endswith("; see fastnn --help")


def test_sizes_beyond_memory_are_one_line_errors(capsys):
    said = error_line(capsys, "train", "--model", "two-layer", "--hidden-dim", "100000000000000")
    assert "asks for an array of" in said
