"""`fastnn check --course`: a student's file, graded function by function."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastnn.kernels.dispatch import validation
from fastnn.output import atomic

from . import common

SECONDS = 10.0  # of the processor, for each function


def add_options(add: Any) -> None:
    """Add the options of the grader."""
    add("--course", metavar="FILE", help="a student's file, such as layers.py, graded function by function")
    add("--points", metavar="FILE", help='JSON with the functions to grade and their points: {"affine_forward": 1}')
    add("--timeout", type=float, metavar="X", help=f"seconds for each function of --course; default {SECONDS:g}")


def run(arguments: argparse.Namespace) -> int:
    """Grade a file; return the exit code, 1 if a function is not right."""
    from fastnn.testing.grading import report, supervision

    path = Path(arguments.course)
    if not path.is_file() or path.suffix != ".py":
        raise ValueError(
            f"check: course={arguments.course!r} is not a Python file; expected one with a student's functions; "
            f"name it, such as layers.py"
        )
    for name in ("backend", "operation", "kernel", "like", "cases"):
        if getattr(arguments, name):
            raise ValueError(
                f"check: --{name} is given together with --course; expected one of them; leave --{name} out"
            )
    seconds = validation.number(
        "check", "timeout", SECONDS if arguments.timeout is None else arguments.timeout, above=0
    )
    seed = validation.integer("check", "seed", arguments.seed, minimum=0)
    points = report.read_points(Path(arguments.points)) if arguments.points else None
    target = None if arguments.json in (None, "-") else Path(arguments.json)
    if target:
        common.check_file(target)
    on_terminal = sys.stderr.isatty()
    progress = common.show if on_terminal else common.ignore
    findings = supervision.judge_file(path, list(points) if points else None, seconds, seed, progress=progress)
    if on_terminal:
        common.show("")
    if not findings:
        raise ValueError(
            f"check: course={arguments.course!r} has none of the courses' functions; expected some such as "
            f"affine_forward; keep the courses' names"
        )
    grades = report.summary(path, findings, points)
    try:
        if target:
            atomic.write_text(target, json.dumps(grades, indent=1) + "\n")
    finally:
        print(json.dumps(grades, indent=1) if arguments.json == "-" else report.text(grades))
    return 0 if grades["right"] else 1


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raise ValueError for options that need --course."""
    for name in ("points", "timeout"):
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"check: --{name} is given without --course; expected both; add --course FILE, or leave --{name} out"
            )
