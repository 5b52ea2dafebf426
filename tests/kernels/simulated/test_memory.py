"""Copies between host and GPU, and restrictions of fake device arrays."""

import inspect

import numpy as np
import pytest

import fastnn
from fastnn.kernels import activations, updates
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import memory
from fastnn.kernels.gpu.memory import to_device, to_host


def test_results_are_copied_back_to_numpy_arguments():
    @memory.writing("state", "out")
    def halve(w, state, out, missing, number):
        out[...] = w * number
        state[...] = 1.0
        w[...] = np.nan
        return w, (state, missing)

    w, state = np.arange(3.0), np.zeros(())
    weights, (new, nothing) = halve(w, state, w, None, 0.5)
    assert np.isnan(w).all(), "the array is w and out at once, there as here"
    assert state == 1
    assert np.isnan(weights).all()
    assert (type(weights), new, nothing) == (np.ndarray, 1, None)
    assert list(inspect.signature(halve).parameters) == ["w", "state", "out", "missing", "number"]


def test_lists_are_written_one_by_one():
    @memory.writing("out")
    def fill(x, out):
        for source, target in zip(x, out, strict=True):
            target[...] = source + 1.0

    out = [np.zeros(2), np.zeros(3)]
    fill([np.ones(2), np.full(3, 2.0)], out)
    assert [one.tolist() for one in out] == [[2, 2], [3, 3, 3]]


def test_device_arrays_are_written_in_place():
    there, before = to_device(np.zeros(2)), fastnn.transfers()

    @memory.writing("out")
    def fill(out):
        out[...] = 3

    fill(there)
    assert fastnn.transfers() == before
    assert to_host(there).tolist() == [3, 3]


def test_nothing_else_is_copied_back():
    @memory.on_device
    def spoil(x, parts):
        x[...] = 7
        return x + parts[0]

    x = np.zeros(2)
    assert spoil(x, (np.ones(2), None)).tolist() == [8, 8]
    assert x.tolist() == [0, 0]


def test_nested_calls_keep_arrays_on_the_device():
    @memory.on_device
    def inner(pair, factor):
        assert all(map(arrays.is_on_device, pair))
        return pair[0] + factor * pair[1], None

    @memory.on_device
    def outer(x, y, factor):
        total, nothing = inner((x, y), factor)
        assert arrays.is_on_device(total) and nothing is None
        return total, (x, factor)

    total, (x, factor) = outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 2)
    assert (total.tolist(), type(x), factor) == ([7.0, 10.0], np.ndarray, 2)
    assert arrays.is_on_device(inner((to_device(np.ones(2)), np.ones(2)), 1)[0]), "given one from there, it stays there"


def test_bytes_are_counted_both_ways():
    before = fastnn.transfers()
    there = to_device(np.zeros(5, np.float32))
    assert fastnn.transfers() == (before.to_device + 20, before.to_host)
    arrays.to_numpy(there)
    assert fastnn.transfers() == (before.to_device + 20, before.to_host + 20)
    activations.relu_forward(np.zeros(2))
    assert fastnn.transfers() == (before.to_device + 36, before.to_host + 36)


def test_device_arrays_are_not_converted_implicitly():
    there = to_device(np.ones(2))
    with pytest.raises(TypeError, match="a device array of shape \\(2,\\) is not a NumPy array; expected an explicit"):
        np.asarray(there)
    with pytest.raises(TypeError, match="an operand is a NumPy array, of shape \\(2,\\); expected device arrays"):
        there + np.ones(2)
    with pytest.raises(AttributeError, match="the simulated GPU has no attribute 'cumsum'"):
        there.cumsum()


def test_other_backends_accept_device_arrays():
    there = to_device(np.array([[-1.0, 2.0]]))
    with fastnn.use_backend("njit"):
        out = activations.relu_forward(there)
    assert type(out) is np.ndarray and out.tolist() == [[0, 2]]


def test_output_arrays_must_be_in_the_memory_of_the_backend():
    there, host = to_device(np.ones(2)), np.ones(2)
    with (
        fastnn.use_backend("njit"),
        pytest.raises(TypeError, match=r"sgd_update: out=.* cannot be updated in place; expected a NumPy array"),
    ):
        updates.sgd_update(host, host.copy(), there, 0.1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_copies_zeros_and_views_stay_on_the_device(dtype):
    there, before = to_device(np.arange(6.0).reshape(2, 3)), fastnn.transfers()
    copy = arrays.copy(there, dtype)
    made = [copy, arrays.zeros((2,), like=copy), arrays.empty_like(copy), arrays.contiguous(there[:, 1:], dtype)]
    made.append(arrays.concatenate((copy, copy), axis=1))
    assert all(map(arrays.is_on_device, made)) and {one.dtype for one in made} == {np.dtype(dtype)}
    assert fastnn.transfers() == before
    copy[...] = 0
    assert to_host(there).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [to_host(one).tolist() for one in (made[1], made[3])] == [[0, 0], [[1, 2], [4, 5]]]
    assert arrays.may_share_memory(there[1:], there) and not arrays.may_share_memory(there[1:], there[:1])
