"""Argument parsing with one-line errors that suggest similar names."""

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

from fastnn.kernels.dispatch import validation


def whole(text: str) -> int:
    """Parse an integer."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer; expected one such as 10") from None


def positive(text: str) -> int:
    """Parse a positive integer."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; expected at least 1")
    return value


def real(text: str) -> float:
    """Parse a real number; NaN and infinity are rejected later."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; expected one such as 1e-3") from None


READERS: Mapping[Any, Any] = {int: whole, float: real}
# other names of options, in all commands
ALIASES = {
    "--epochs": "-e",
    "--batch-size": "-b",
    "--learning-rate": "--lr",
    "--update-rule": "--optimizer",
    "--out": "-o",
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors, aliases and no abbreviations; commands: the subparsers by name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.commands: Mapping[str, Parser] = {}
        self.option_names: list[str] = []
        for kind, reader in READERS.items():
            self.register("type", kind, reader)

    def add_argument(self, *names: Any, **options: Any) -> Any:
        if choices := options.get("choices"):
            given = options.get("type", str)
            options["type"] = lambda text: _chosen(given(text), list(choices))
            options.setdefault("metavar", "{" + ",".join(map(str, choices)) + "}")
            del options["choices"]
        if names[0] in ALIASES:
            options.setdefault("dest", names[0].removeprefix("--").replace("-", "_"))
            names = (ALIASES[names[0]], *names)
        action = super().add_argument(*names, **options)
        if hasattr(self, "option_names"):  # argparse adds --help before it exists
            self.option_names += [name for name in action.option_strings if name.startswith("--")]
        return action

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = self.commands.get(getattr(found, "command", ""), self)
            word = unknown[0].partition("=")[0]
            near = validation.suggestion(word, parser.option_names)
            parser.error(
                f"{unknown[0]!r} is unknown; expected only {', '.join(parser.option_names) or 'no arguments'}{near}"
            )
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _chosen(value: str, choices: list[str]) -> str:
    if value not in choices:
        raise argparse.ArgumentTypeError(
            f"{value!r} is unknown; expected one of {', '.join(map(repr, choices))}"
            f"{validation.suggestion(value, choices)}"
        )
    return value
