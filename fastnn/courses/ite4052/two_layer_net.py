"""`fastnn.courses.eecs598.two_layer_net` as a module of this course."""

from fastnn.courses.eecs598.two_layer_net import *  # noqa: F403
from fastnn.courses.eecs598.two_layer_net import __all__  # noqa: F401
