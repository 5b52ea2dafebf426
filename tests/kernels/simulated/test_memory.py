"""Copies between host and GPU, and restrictions of fake device arrays."""

import inspect

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.benchmarking import cases
from fastnn.kernels import activations, updates
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import memory
from fastnn.kernels.gpu.memory import to_device, to_host
from fastnn.solver import Solver


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


# ---- as CuPy does it ----


def test_arrays_come_to_the_device_in_c_order():
    """CuPy keeps the order of a copy, but kernels see flat memory."""
    x = np.arange(24.0).reshape(2, 3, 4)
    for array in (np.asfortranarray(x), x.transpose(2, 0, 1), x[:, ::-1], np.broadcast_to(x, (2, 2, 3, 4))):
        there = to_device(array)
        assert there.flags.c_contiguous
        np.testing.assert_array_equal(to_host(there), array)
        assert memory.xp.asarray(array).strides == array.copy(order="K").strides


def test_rows_of_images_in_any_order():
    x, rows = np.arange(24.0).reshape(4, 2, 3), np.array([2, 0, 3])
    for array in (x, np.asfortranarray(x)):
        np.testing.assert_array_equal(to_host(arrays.take(to_device(array), rows)), x[rows])
        np.testing.assert_array_equal(to_host(arrays.take(memory.xp.asarray(array), rows)), x[rows])


def test_training_on_images_in_fortran_order():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((9, 6)), rng.integers(0, 3, 9)
    histories = []
    for images in (X, np.asfortranarray(X)):
        model = nn.Sequential(nn.Linear(6, 3, seed=0))
        data = {"X_train": images, "y_train": y, "X_val": images[:2], "y_val": y[:2]}
        solver = Solver(model, data, batch_size=3, num_epochs=3, num_train_samples=2, verbose=False, seed=1)
        solver.train()
        histories.append(solver.loss_history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("labels", [np.int8, np.int16, np.uint16, np.int64])
@pytest.mark.parametrize("images", [np.float16, np.uint8, np.int16, np.float32])
def test_dtypes_of_images_and_labels(images, labels):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, (6, 4)), rng.integers(0, 3, 6)
    data = {"X_train": X.astype(images), "y_train": y.astype(labels), "X_val": X[:2], "y_val": y[:2]}
    solver = Solver(nn.Sequential(nn.Linear(4, 3, seed=0)), data, batch_size=3, num_epochs=1, verbose=False, seed=1)
    solver.train()
    with fastnn.use_backend("njit"):
        expected = Solver(nn.Sequential(nn.Linear(4, 3, seed=0)), data, batch_size=3, num_epochs=1, seed=1)
        expected.verbose = False
        expected.train()
    np.testing.assert_allclose(solver.loss_history, expected.loss_history, rtol=1e-5)


def test_dtypes_that_no_kernel_takes():
    """The simulator raises what a GPU would raise."""
    with pytest.raises(
        TypeError, match="_take: an argument of dtype complex64 is not supported on a GPU; expected real"
    ):
        arrays.take(to_device(np.zeros(3, np.complex64)), np.array([1]))
    with pytest.raises(ValueError, match="Unsupported dtype"):
        to_device(np.zeros(3, np.longdouble))


def test_only_arrays_of_the_same_kind_are_written():
    there = to_device(np.zeros((2, 3), np.float32))
    with pytest.raises(TypeError, match="float64 array cannot be set to float32 array"):
        memory.write(there, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="Shape mismatch"):
        memory.write(there, np.zeros(3, np.float32))
    with pytest.raises(RuntimeError, match="non-contiguous"):
        memory.write(there[:, ::2], np.zeros((2, 2), np.float32))


def test_the_order_of_new_arrays():
    turned = memory.xp.asarray(np.asfortranarray(np.zeros((2, 3))))
    assert turned.flags.f_contiguous
    assert memory.xp.empty_like(turned).flags.f_contiguous and turned.astype(np.float32).flags.f_contiguous
    assert turned.copy().flags.c_contiguous and memory.xp.ascontiguousarray(turned).flags.c_contiguous
    assert arrays.copy(turned).flags.c_contiguous and arrays.contiguous(turned, np.dtype(float)).flags.c_contiguous
    assert to_host(turned).flags.c_contiguous


@pytest.mark.parametrize("case", cases.select(["activations"]), ids=lambda case: case.function)
def test_calls_of_benchmark_cases_upload_nothing(case):
    case = case.tiny()
    calls = case.calls({name: arrays.to_device(value) for name, value in case.inputs(np.float32).items()})
    for call in calls.values():
        before = fastnn.transfers()
        call()
        assert fastnn.transfers() == before


def test_a_freed_block_serves_the_next_array_of_its_size():
    pool = memory.xp.cuda.MemoryPool()
    with memory.xp.cuda.using_allocator(pool.malloc):
        first = memory.xp.empty(5)
        place = memory.address(first)
        view = first[1:3]
        del first
        second = memory.xp.empty(5)
        assert memory.address(second) != place
        del view
        assert memory.address(memory.xp.empty(5)) == place
        del second
    assert (pool.used_bytes(), pool.total_bytes()) == (0, 1024)
    pool.free_all_blocks()
    assert pool.total_bytes() == 0
