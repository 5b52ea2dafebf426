"""The pytest plugin of fastnn: the fixture `check_kernel`, there for every test where fastnn is installed.

    def test_my_pooling(check_kernel):
        check_kernel(my_max_pool, like="max_pool2d_forward")

It is a module of its own, so that who does not ask for the fixture waits for nothing: not even fastnn is imported.
"""

import functools
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def check_kernel() -> Callable:
    """`fastnn.testing.check_kernel`, which fails the test with the smallest failing case; timed only where asked to."""
    from fastnn import testing

    return functools.partial(testing.check_kernel, timed=False)
