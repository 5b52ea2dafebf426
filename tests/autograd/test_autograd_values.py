"""Anomalies and values of Tensors."""

import copy

import numpy as np
import pytest

from fastnn import autograd
from fastnn.autograd import Tensor

X, W = np.arange(6.0).reshape(2, 3) + 1, np.linspace(-1, 1, 6).reshape(3, 2)


def leaf(array=X):
    return Tensor(np.array(array), requires_grad=True)


# ---- anomalies ----


def test_detect_anomaly_names_the_operation_that_made_a_nan():
    x = leaf(np.array([-1.0, 2.0]))
    with autograd.detect_anomaly():
        with pytest.raises(
            FloatingPointError,
            match=r"^log: the result contains NaN or infinity, made from finite inputs of shape \(2,\) in "
            r"test_autograd_values.py, line \d+; expected finite numbers; check the range of the inputs$",
        ):
            (x.exp() * x).log()
        with pytest.raises(FloatingPointError, match=r"^divide: the result"):
            1 / (x - 2)
    assert np.isnan(x.log().tolist()[0])


def test_detect_anomaly_names_the_operation_with_an_infinite_derivative():
    x = leaf(np.array([0.0, 4.0]))
    with autograd.detect_anomaly():
        loss = (x.sqrt() * 2).sum()
        with pytest.raises(
            FloatingPointError,
            match=r"^backward: sqrt made a NaN or infinity in the gradient of input 0 of shape \(2,\), recorded in "
            r"test_autograd_values.py, line \d+; expected",
        ):
            loss.backward()
    assert x.grad is None


def test_an_infinity_that_was_given_is_no_anomaly():
    x = leaf(np.array([1.0, 2.0]))
    with autograd.detect_anomaly():
        masked = autograd.where(np.array([True, False]), x, -np.inf)
        masked.softmax(dim=0)[0].backward()
    assert x.grad.tolist() == [0, 0]


# ---- values ----


def test_values_of_a_tensor(backend):
    x = autograd.tensor([[1.5, 2.0], [3.0, 4.0]])
    assert (x.dtype, x.shape, x.ndim, x.dim(), x.numel()) == (np.float32, (2, 2), 2, 2, 4)
    assert (x.size(), x.size(0), len(x)) == ((2, 2), 2, 2)
    assert x.tolist() == [[1.5, 2], [3, 4]]
    assert float(x[0, 0]) == x[0, 0].item() == 1.5 and int(x[1, 1]) == 4 and bool(x[0, 0])
    assert [row.tolist() for row in x] == x.tolist()
    assert x.numpy() is x.data and np.asarray(x) is x.data
    values, indices = x.max(1)
    assert (values.tolist(), indices.tolist()) == ([2, 4], [1, 1])
    assert (indices == np.array([1, 0])).sum().item() == 1
    assert (x >= 2).tolist() == [[False, True], [True, True]] and (x != x).sum().item() == 0
    assert autograd.tensor([1, 2]).dtype == np.int64
    assert autograd.tensor(np.ones(2)).dtype == np.float64
    assert x.to(np.float64).dtype == x.to(dtype=np.float64).dtype == x.double().dtype == np.float64
    assert (x.long().dtype, x.double().float().dtype) == (np.int64, np.float32)
    assert x.to("cpu") is x
    assert f"{x.sum():.2f} {x[0, 0]}" == "10.50 Tensor(1.5, dtype=float32)"
    assert repr(x) == "Tensor([[1.5, 2. ],\n       [3. , 4. ]], dtype=float32)"
    assert repr(leaf([1.0]) * 2) == "Tensor([2.], made by multiply)"
    assert repr(leaf([1.0])) == "Tensor([1.], requires_grad=True)"


def test_tensors_can_be_keys_and_copied():
    x = leaf()
    assert {x: 1}[x] == 1
    twin = copy.deepcopy(x)
    assert twin is not x and twin.data is not x.data and twin.requires_grad


def test_a_tensor_uses_the_array_and_tensor_copies_it():
    array = np.ones(3)
    assert Tensor(array).data is array
    assert autograd.tensor(array).data is not array


def test_data_can_be_assigned():
    """As `w.data -= rate * w.grad`, which makes a Tensor of an array and a Tensor."""
    w = leaf()
    w.sum().backward()
    w.data -= 0.5 * w.grad
    assert type(w.data) is np.ndarray and np.array_equal(w.data, X - 0.5)
    w.data = w.data * 2
    assert w.requires_grad and w.tolist() == (2 * (X - 0.5)).tolist()


def test_numpy_leaves_operators_to_tensors(backend):
    x = leaf()
    for result in (X * x, X - x, X / x, np.float64(2.0) * x, np.equal(X, X) > x, X.T @ x, np.float32(1) ** x):
        assert type(result) is Tensor
    assert (X - x).requires_grad and np.exp(Tensor(X)).shape == X.shape


def test_new_tensors():
    assert autograd.zeros((2,), device="cpu", dtype=np.int64).dtype == np.int64
    assert autograd.zeros(2, 3).tolist() == [[0, 0, 0]] * 2
    assert autograd.ones((2,), dtype=np.float64, requires_grad=True).requires_grad
    np.random.seed(0)
    first = autograd.randn(3)
    np.random.seed(0)
    assert autograd.randn((3,)).tolist() == first.tolist()
    assert 0 <= autograd.rand(1, generator=0).item() < 1
    assert first.dtype == np.float32
