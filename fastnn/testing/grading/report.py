"""The grades of a file as a dict that JSON can hold, and as text."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnn.kernels.dispatch import validation

from .exercises import EXERCISES
from .judging import RIGHT, Finding


def read_points(path: Path) -> dict[str, float]:
    """The points for each function, from a JSON object such as {"affine_forward": 1, "affine_backward": 2}."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"check: points={str(path)!r} is not JSON ({error}); expected an object; "
            'write {"affine_forward": 1, "affine_backward": 2}'
        ) from error
    if not isinstance(given, dict) or not given:
        raise ValueError(
            f"check: points={str(path)!r} holds {validation.brief(given)}; expected an object with the points of each "
            'function; write {"affine_forward": 1, "affine_backward": 2}'
        )
    for name in given:
        validation.choice("check", "points", name, EXERCISES)
    return {name: validation.number("check", f"points[{name!r}]", value, minimum=0) for name, value in given.items()}


def summary(path: Path, findings: Sequence[Finding], points: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The grades as a dict.

    file: its name; points, of: reached and possible; right: whether every function is
    error: a finding if the file could not be imported, else None
    functions: {name: status, points, of, message, details, cause, line, remarks}
    absent: names that courses keep in the same file, which it has not, and which are not graded
    """
    worth = points or {name: exercise.points for name, exercise in EXERCISES.items()}
    functions = {}
    for finding in findings:
        if finding.function:
            of = worth[finding.function]
            fields = dataclasses.asdict(finding) | {"points": of if finding.status == RIGHT else 0, "of": of}
            functions[fields.pop("function")] = fields
    error = next((dataclasses.asdict(finding) for finding in findings if not finding.function), None)
    groups = {EXERCISES[name].group for name in functions}
    absent = [] if points else [
        name for name, one in EXERCISES.items() if one.group in groups and one.required and name not in functions
    ]  # fmt: skip
    return {
        "file": path.name,
        "points": sum(fields["points"] for fields in functions.values()),
        "of": sum(points.values()) if points else sum(fields["of"] for fields in functions.values()),
        "right": error is None and all(fields["status"] == RIGHT for fields in functions.values()),
        "error": error,
        "functions": functions,
        "absent": absent,
    }


def text(grades: Mapping[str, Any]) -> str:
    """The grades as text: a table, then what is known about each function that is not right."""
    lines = [f"{grades['file']}: {grades['points']:g} of {grades['of']:g} points"]
    if grades["error"]:
        lines += ["", *_explained("The file", grades["error"])]
    functions = grades["functions"]
    width = max(map(len, functions), default=0)
    if functions:
        lines.append("")
    for name, fields in functions.items():
        lines.append(f"  {name:{width}}  {fields['status']:22}  {fields['points']:g} of {fields['of']:g}")
    for name, fields in functions.items():
        if fields["status"] != RIGHT or fields["remarks"]:
            lines += ["", *_explained(name, fields)]
    if grades["absent"]:
        lines += ["", f"Not in the file, and not graded: {', '.join(grades['absent'])}"]
    return "\n".join(lines)


def _explained(name: str, fields: Mapping[str, Any]) -> list[str]:
    head = [f"{name}: {fields['message'].rstrip('.')}."] if fields["message"] else [f"{name}:"]
    return [*head, *(f"  {line}" for line in (*fields["details"], *fields["remarks"]))]
