"""The process that imports a student's file and judges its functions: python -m fastnn.testing.grading.worker.

It takes a JSON object on the command line (see `main`) and writes a JSON object per line: {"plan": names},
{"begin": name}, {"fault": finding} before a fault is explained, {"finding": finding}; or {"error": finding} if the file
cannot be imported. What the student's code prints is discarded.
"""

import dataclasses
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from .exercises import EXERCISES
from .judging import RAISES, SLOW, Finding, judge_function
from .student import Student, TimeLimit, discard_output, limit_memory


def main(given: str) -> None:
    """Judge functions.

    given: path, names (None: those of the file and their passes), failed (see `Student`), limit, memory, seed
    """
    options = json.loads(given)
    channel = os.fdopen(discard_output(), "w", encoding="utf-8")

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    def send_finding(key: str, finding: Finding) -> None:
        send(**{key: dataclasses.asdict(finding)})

    student = Student(Path(options["path"]), options["limit"])
    student.failed.update(options["failed"])
    limit_memory(options["memory"])
    warnings.simplefilter("ignore")
    try:
        student.load()
    except TimeLimit:
        send_finding("error", Finding("", SLOW, "the import takes longer than the time limit", line=student.clock.line))
        return
    except Exception as error:
        text = f"the import raises {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        send_finding("error", Finding("", RAISES, text, line=student.line))
        return
    names = options["names"]
    if names is None:
        names = defined(student)
        send(plan=names)
    for name in names:
        send(begin=name)
        exercise = EXERCISES[name]
        finding = judge_function(exercise, student, options["seed"], lambda fault: send_finding("fault", fault))
        send_finding("finding", finding)
    os._exit(0)  # threads of the student's code may still run


def defined(student: Student) -> list[str]:
    """The exercises that the file has functions of, and the other passes of the same layers."""
    own = {name for name in EXERCISES if student.find(name)}
    layers = {EXERCISES[name].forward or name for name in own}
    needed = {name for name, exercise in EXERCISES.items() if exercise.forward in layers and exercise.required}
    return [name for name in EXERCISES if name in own | layers | needed]


if __name__ == "__main__":
    main(sys.argv[1])
