"""`fastnn.courses.eecs598.linear_classifier` as a module of this course."""

from fastnn.courses.eecs598.linear_classifier import *  # noqa: F403
from fastnn.courses.eecs598.linear_classifier import __all__  # noqa: F401
