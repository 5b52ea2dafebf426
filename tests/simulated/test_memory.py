"""How functions of the cuda variants get their arguments on a GPU, with a stand-in for its memory."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn.kernels.gpu import memory


class Far:
    """An array in other memory."""

    def __init__(self, values):
        self.values = values.copy()


@pytest.fixture
def _elsewhere(monkeypatch):
    """The memory of a GPU: arrays there are copies, and of a type of their own."""
    monkeypatch.setattr(memory, "SIMULATED", False)
    far = SimpleNamespace(asarray=Far, asnumpy=lambda array: array.values.copy(), ndarray=Far)
    monkeypatch.setattr(memory, "xp", far)


@pytest.mark.usefixtures("_elsewhere")
def test_what_is_written_goes_back_into_the_arrays_given():
    @memory.writing("state", "out")
    def halve(w, state, out, missing, number):
        out.values[...] = w.values * number
        state.values += 1
        w.values[...] = np.nan
        return Far(w.values), (Far(state.values), missing)

    w, state = np.arange(3.0), np.zeros(())
    weights, (new, nothing) = halve(w, state, w, None, 0.5)
    assert w.tolist() == [0.0, 0.5, 1.0]
    assert state == 1
    assert np.isnan(weights).all()
    assert (type(weights), new, nothing) == (np.ndarray, 1, None)
    assert list(inspect.signature(halve).parameters) == ["w", "state", "out", "missing", "number"]


@pytest.mark.usefixtures("_elsewhere")
def test_what_is_there_already_is_written_there():
    there = Far(np.zeros(2))

    @memory.writing("out")
    def fill(out):
        out.values[...] = 3

    fill(there)
    assert there.values.tolist() == [3, 3]


@pytest.mark.usefixtures("_elsewhere")
def test_nothing_else_goes_back():
    @memory.on_device
    def spoil(x, parts):
        x.values[...] = 7
        return Far(x.values + parts[0].values)

    x = np.zeros(2)
    assert spoil(x, (np.ones(2), None)).tolist() == [8, 8]
    assert x.tolist() == [0, 0]


def test_the_simulator_calls_the_function_itself():
    def function(out):
        pass

    assert memory.writing("out")(function) is function
    assert memory.on_device(function) is function


@pytest.mark.usefixtures("_elsewhere")
def test_functions_that_call_each_other_leave_arrays_there():
    @memory.on_device
    def inner(pair, factor):
        assert all(type(array) is Far for array in pair)
        return Far(pair[0].values + factor * pair[1].values), None

    @memory.on_device
    def outer(x, y, factor):
        total, nothing = inner((x, y), factor)
        assert (type(total), nothing) == (Far, None)
        return total, (x, factor)

    total, (x, factor) = outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 2)
    assert (total.tolist(), type(x), factor) == ([7.0, 10.0], np.ndarray, 2)
    assert type(inner((Far(np.ones(2)), Far(np.ones(2))), 1)[0]) is Far
