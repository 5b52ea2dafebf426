"""The courses' notebooks run as they are: their packages resolve to fastnn.

    %load_ext fastnn.courses                                            # in a notebook, as its first line
    import fastnn.courses; fastnn.courses.install()                     # anywhere
    import fastnn.courses; fastnn.courses.install("cs231n", year=2017)  # where a name meant something else

Then `from cs231n.layers import *` imports fastnn's layers, and so on for every course in `table.COURSES`, which
`fastnn courses` lists. A package of such a name that can be imported here is used instead. The modules can also be
imported without installing anything: `from fastnn.courses.nndl import cnn`.
"""

import sys
from typing import Any

from fastnn.kernels.dispatch import signatures, validation

from . import files, finder, table

__all__ = ["install", "uninstall"]

if not any(isinstance(one, finder.Finder) for one in sys.meta_path):
    sys.meta_path.insert(0, finder.Finder())


@signatures.checked
def install(*courses: str, year: int | None = None) -> None:
    """Make the packages of courses resolve to fastnn, in this process.

    courses: names such as "cs231n" and "nndl"; none: all courses
    year: selects the edition of the course, where a name changed its meaning; None: the newest

    Prints a line for a package that can be imported here, which is used instead. Raises ValueError for an unknown
    course and for a year before its first edition, TypeError for a year without a course.
    """
    for name in courses:
        validation.choice("install", "courses", name, table.COURSES)
    if year is not None and not courses:
        raise TypeError(
            f'install: year={year!r} belongs to one course; expected its name with it; call install("cs231n", '
            f"year={year!r})"
        )
    names: dict[str, str] = {}
    for name in reversed(courses or tuple(table.COURSES)):
        edition = finder.PREFIX + _edition(name, year)
        names |= table.packages(name, edition)
    for top in sorted(names):
        if finder.is_real(top):
            print(f"fastnn.courses: {top} can be imported here, and is used instead of fastnn; rename it to use fastnn")
    finder.add(names)


def uninstall() -> None:
    """Undo `install`: forget the packages of all courses."""
    finder.remove()


def load_ipython_extension(shell: Any) -> None:
    """Install all courses; called by `%load_ext fastnn.courses`."""
    install()
    shell.events.register("pre_run_cell", files.provide)


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext fastnn.courses`."""
    shell.events.unregister("pre_run_cell", files.provide)
    uninstall()


def _edition(name: str, year: int | None) -> str:
    course = table.COURSES[name]
    if year is None:
        return name
    if not course.editions:
        raise ValueError(f"install: year={year!r} selects an edition, and {name} has one only; leave year out")
    year = validation.integer("install", "year", year, minimum=min(course.editions))
    first = max(one for one in course.editions if one <= year)
    return name if first == course.newest else f"{name}_{first}"
