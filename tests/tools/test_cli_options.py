"""Names of command-line options: no abbreviations, and the usual short names work."""

import ast
import json
from pathlib import Path

import pytest
from runs import solver_state

from fastnn import checkpoint
from fastnn.cli import _parser, main

pytestmark = pytest.mark.usefixtures("tiny_runs")

ROOT = Path(__file__).parents[2]
COMMANDS = _parser().commands
PARSERS = {"": _parser(), **COMMANDS}
REQUIRED = {"resume": ["somewhere"], "predict": ["run.h5", "a.png"], "plot": ["somewhere"]}
ALIASES = {
    "train": {"--lr": "--learning-rate", "-e": "--epochs", "-b": "--batch-size", "--optimizer": "--update-rule"},
    "resume": {"-e": "--epochs"},
    "plot": {"-o": "--out"},
}
ALIASES["train"]["-o"] = "--out"
ALIASES["sweep"] = ALIASES["train"]
VALUES = {"--learning-rate": "0.5", "--epochs": "3", "--batch-size": "2", "--update-rule": "sgd", "--out": "größe"}


def options(parser):
    return [name for action in parser._actions for name in action.option_strings]


def error_line(capsys, *arguments):
    with pytest.raises(SystemExit, match="2"):
        main(list(arguments))
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("name", PARSERS)
def test_no_beginning_of_an_option_is_taken_for_it(capsys, name):
    known = options(PARSERS[name])
    beginnings = {long[:length] for long in known if long.startswith("--") for length in range(3, len(long))}
    for word in sorted(beginnings - set(known)):
        for words in ([word], [word, "1"], [f"{word}=1"]) if name else ([word], [f"{word}=1"]):
            with pytest.raises(SystemExit, match="2"):
                PARSERS[name].parse_args([*REQUIRED.get(name, []), *words])
            assert f"{words[0]!r} is unknown; expected only" in capsys.readouterr().err


def test_lr_is_not_lr_decay(capsys):
    assert main(["train", "--lr", "0.25", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["learning_rate"], settings["lr_decay"]) == (0.25, 1.0)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("--learning_rate", "--learning-rate"),
        ("--lerning-rate", "--learning-rate"),
        ("--optimiser", "--optimizer"),
        ("--lrs", "--lr"),
        ("--epoch", "--epochs"),
        ("--batchsize", "--batch-size"),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_the_nearest_option_is_suggested(capsys, command, word, near):
    assert f"{word!r} is unknown" in (line := error_line(capsys, command, word, "1"))
    assert f"did you mean {near!r}?" in line


@pytest.mark.parametrize("name", PARSERS)
def test_short_names_are_there_where_the_option_is(name):
    known = options(PARSERS[name])
    expected = {alias: long for alias, long in ALIASES["train"].items() if long in known}
    assert expected == ALIASES.get(name, {})
    for alias, long in expected.items():
        words = REQUIRED.get(name, [])
        short, whole = (PARSERS[name].parse_args([*words, word, VALUES[long]]) for word in (alias, long))
        assert vars(short) == vars(whole)
        assert VALUES[long] in repr(vars(whole)[long[2:].replace("-", "_")])


def test_short_names_lead_to_the_settings_of_the_long_ones():
    assert main(["train", "-o", "short", "--lr", "0.5", "-e", "3", "-b2", "--optimizer", "sgd"]) == 0
    long = ["--learning-rate", "0.5", "--epochs", "3", "--batch-size", "2", "--update-rule", "sgd"]
    assert main(["train", "--out", "long", *long]) == 0
    short, long = (checkpoint.load(f"{name}/checkpoint.h5")["settings"] for name in ("short", "long"))
    assert short == long
    assert main(["resume", "short", "-e", "4"]) == 0
    assert solver_state("short")["epoch"] == 4


def test_a_sweep_over_short_names_is_the_sweep_over_the_long_ones(capsys):
    assert main(["sweep", "-o", "widths", "--lr", "1e-3", "1e-2", "--reg", "0", "-e", "1"]) == 0
    capsys.readouterr()
    assert main(["sweep", "--out", "widths", "--learning-rate", "1e-3", "1e-2", "--reg", "0", "--epochs", "1"]) == 0
    assert "2 of 2 trials are in" in capsys.readouterr().out


def test_no_parser_accepts_abbreviations():
    paths = [path for folder in ("fastnn", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "argparse.ArgumentParser":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("allow_abbrev") == "False", f"{path.name}:{node.lineno}"
