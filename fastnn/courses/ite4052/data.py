"""`fastnn.courses.eecs598.data` as a module of this course."""

from fastnn.courses.eecs598.data import *  # noqa: F403
from fastnn.courses.eecs598.data import __all__  # noqa: F401
