"""`fastnn.courses.eecs598.grad` as a module of this course."""

from fastnn.courses.eecs598.grad import *  # noqa: F403
from fastnn.courses.eecs598.grad import __all__  # noqa: F401
