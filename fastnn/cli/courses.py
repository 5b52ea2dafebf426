"""The command `fastnn courses`."""

import argparse
import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Any

from . import common

_EXAMPLES = """examples:
  fastnn courses             the courses, their editions and packages
  fastnn courses nndl        the modules of a course, and what they stand for

In a notebook, `%load_ext fastnn.courses` as the first line makes these packages resolve to fastnn; in a script,
`import fastnn.courses; fastnn.courses.install()` does. Where a name changed its meaning, name the year:
fastnn.courses.install("cs231n", year=2017)."""


def add_parser(commands: Any) -> None:
    parser = common.command(commands, "courses", "list the courses whose notebooks run", _EXAMPLES, run_courses)
    parser.add_argument("course", nargs="?", help="a course of the list; by default all, without their modules")


def run_courses(arguments: argparse.Namespace) -> int:
    """Print the courses, or the modules of one; return the exit code."""
    from fastnn.courses import table
    from fastnn.kernels.dispatch import validation

    if arguments.course is None:
        for name, course in table.COURSES.items():
            years = ", ".join(f"from {year}" for year in sorted(course.editions))
            print(f"{name:10} {course.title}{years and f'; editions {years}'}")
            print(f"{'':10} packages {', '.join(table.packages(name, ''))}")
        return 0
    course = validation.choice("courses", "course", arguments.course, table.COURSES)
    for edition, modules in reversed(table.editions(course).items()):
        _print(edition, {name: _described(module) for name, module in modules.items()})
    if not table.COURSES[course].editions:
        spec = importlib.util.find_spec(f"fastnn.courses.{course}")
        found = pkgutil.iter_modules(spec.submodule_search_locations if spec else [])
        _print(course, {one.name: "" for one in found})
    return 0


def _print(edition: str, modules: Mapping[str, str]) -> None:
    print(f"fastnn.courses.{edition}")
    for name, description in sorted(modules.items()):
        print(f"  {name or '(the package)':32} {description}".rstrip())


def _described(module: Any) -> str:
    changed = ", ".join(sorted(module.names))
    return "; ".join(part for part in (", ".join(module.sources), changed and f"own {changed}") if part)
