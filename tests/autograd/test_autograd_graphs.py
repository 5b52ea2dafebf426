"""2,000 random graphs have the values and gradients of PyTorch."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from random_graphs import GRAPHS, OPERATIONS, Graph, Kinks, leaves_of, loss_of, run

import fastnn
from fastnn import autograd

torch = pytest.importorskip("torch", reason="the independent judge")

BACKENDS = ("vectorized", "njit")
EXAMPLES = 2000
# of the largest number in an array: for float64 1e-10; for float32 the rounding of up to 50 operations
BOUNDS = {np.float64: 1e-10, np.float32: 1e-3}


def by_torch(graph):
    """Return values, gradients of the leaves, and the distance from kinks."""
    kinks = Kinks()
    leaves = [torch.tensor(array, requires_grad=True) for array in leaves_of(graph, np.float64)]
    values, names = run(graph, leaves, torch, kinks)
    loss_of(values).backward()
    return [value.detach().numpy() for value in values], [leaf.grad.numpy() for leaf in leaves], kinks.distance, names


def by_fastnn(graph, dtype):
    leaves = [autograd.tensor(array, requires_grad=True) for array in leaves_of(graph, dtype)]
    values, names = run(graph, leaves, autograd)
    loss = loss_of(values)
    assert loss.dtype == dtype
    loss.backward()
    return [value.detach().numpy() for value in values], [leaf.grad.numpy() for leaf in leaves], names


def assert_equal(actual, expected, bound):
    """Compare arrays relative to the largest number of each."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(np.abs(other).max(initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * scale)


@settings(max_examples=EXAMPLES)
@given(graph=GRAPHS)
def test_random_graphs_are_those_of_torch(graph):
    values, gradients, distance, names = by_torch(graph)
    assume(distance > 1e-6)
    largest = max(float(np.abs(value).max(initial=0.0)) for value in [*values, *gradients])
    assume(largest < 1e4)
    for backend in BACKENDS:
        with fastnn.use_backend(backend):
            for dtype, bound in BOUNDS.items():
                if dtype == np.float32 and distance < 1e-3:
                    continue
                found, slopes, applied = by_fastnn(graph, dtype)
                assert applied == names
                assert_equal(found, values, bound)
                assert_equal(slopes, gradients, bound)


@pytest.mark.parametrize("position", range(len(OPERATIONS)), ids=lambda position: OPERATIONS[position].__name__)
def test_every_operation_is_drawn(position, backend):
    """Each entry of the table, with every variant, on every backend; so none is only ever skipped."""
    applied = set()
    for number in range(36):
        graph = Graph([(2, 3, 4), (3, 4), (2, 4, 3), (4,)], number, [(position, number % 3, 2 - number % 2, number)])
        values, gradients, distance, names = by_torch(graph)
        applied |= set(names)
        if distance > 1e-6:
            found, slopes, _ = by_fastnn(graph, np.float64)
            assert_equal(found, values, 1e-10)
            assert_equal(slopes, gradients, 1e-10)
    assert applied == {OPERATIONS[position].__name__}


def test_the_comparison_can_fail():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal([np.ones(3)], [np.ones(3) + 1e-9], 1e-10)
    with pytest.raises(AssertionError):
        assert_equal([np.ones(3)], [np.ones((3, 1))], 1e-10)
