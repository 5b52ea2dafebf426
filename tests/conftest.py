"""Fixtures that every test may ask for."""

import os
import signal

import hypothesis
import pytest

import fastnn
from fastnn.kernels import switch

# On a developer's machine every run draws new examples; CI draws the same ones, so that it fails for a change alone.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# Ctrl-C is tested, and a shell starts jobs in the background with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

AVAILABLE = [line.name for line in fastnn.backends() if line.available]


@pytest.fixture(params=AVAILABLE)
def backend(request):
    """Each backend that can run here, active while the test runs."""
    with fastnn.use_backend(request.param):
        yield request.param


@pytest.fixture
def one_backend():
    """For tests of what is the same on every backend; one that asks for `backend` too has its own."""
    with fastnn.use_backend("vectorized"):
        yield


@pytest.fixture(autouse=True)
def _switch_as_in_a_new_process(monkeypatch):
    """Every test begins with the switch untouched, whatever the environment says."""
    monkeypatch.setattr(switch, "_chosen", None)
    if switch.VARIABLE in os.environ:
        monkeypatch.delenv(switch.VARIABLE)
