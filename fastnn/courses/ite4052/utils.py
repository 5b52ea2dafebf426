"""`fastnn.courses.eecs598.utils` as a module of this course."""

from fastnn.courses.eecs598.utils import *  # noqa: F403
from fastnn.courses.eecs598.utils import __all__  # noqa: F401
