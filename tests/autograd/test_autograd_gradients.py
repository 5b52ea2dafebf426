"""Every function has the gradients of central differences, on every backend, away from kinks; ties by hand."""

import numpy as np
import pytest

from fastnn import autograd
from fastnn.autograd import Tensor
from fastnn.gradient_check import eval_numerical_gradient_array

GENERATOR = np.random.default_rng(3)
A, B = GENERATOR.normal(size=(2, 3, 4)), GENERATOR.normal(size=(3, 1))
POSITIVE = np.abs(A) + 0.3
M, N, VECTOR = GENERATOR.normal(size=(3, 4)), GENERATOR.normal(size=(4, 2)), GENERATOR.normal(size=4)
STACK = GENERATOR.normal(size=(2, 4, 2))
MASK = GENERATOR.normal(size=(2, 3, 4)) > 0

FUNCTIONS = {
    "add": (lambda x, y: x + y, A, B),
    "add a number": (lambda x: 2 + x, A),
    "subtract": (lambda x, y: x - y, B, A),
    "subtract from a number": (lambda x: 2 - x, A),
    "multiply": (lambda x, y: x * y, A, B),
    "multiply by an array": (lambda x: MASK * x, A),
    "divide": (lambda x, y: x / y, A, np.abs(B) + 0.5),
    "divide a number": (lambda x: 3 / x, POSITIVE),
    "power": (lambda x, y: x**y, POSITIVE, B),
    "power of a number": (lambda x: x**3, A),
    "number to a power": (lambda x: 2.0**x, A),
    "negative": (lambda x: -x, A),
    "matrices": (lambda x, y: x @ y, M, N),
    "matrix and vector": (lambda x, y: x @ y, M, VECTOR),
    "vector and matrix": (lambda x, y: x @ y, VECTOR, N),
    "vectors": (lambda x, y: x @ y, VECTOR, VECTOR[::-1].copy()),
    "stack and matrix": (lambda x, y: x @ y, A, N),
    "stacks": (lambda x, y: x @ y, A, STACK),
    "stack and stack of one": (lambda x, y: x @ y, A, STACK[:1]),
    "array and matrix": (lambda x: M @ x, N),
    "exp": (autograd.exp, A),
    "log": (autograd.log, POSITIVE),
    "sqrt": (autograd.sqrt, POSITIVE),
    "abs": (autograd.abs, A),
    "tanh": (autograd.tanh, A),
    "sigmoid": (autograd.sigmoid, A),
    "relu": (Tensor.relu, A),
    "clamp": (lambda x: x.clamp(-0.5, 0.5), A),
    "maximum": (autograd.maximum, A, B),
    "minimum": (autograd.minimum, A, B),
    "where": (lambda x, y: autograd.where(MASK, x, y), A, B),
    "sum": (lambda x: x.sum(), A),
    "sum over axes": (lambda x: x.sum(dim=(0, -1)), A),
    "sum with axes kept": (lambda x: x.sum(dim=1, keepdim=True), A),
    "mean": (lambda x: x.mean(dim=(1, 2)), A),
    "var": (lambda x: x.var(dim=1), A),
    "var of a population": (lambda x: x.var(dim=(0, 2), unbiased=False, keepdim=True), A),
    "std": (lambda x: x.std(dim=1), A),
    "amax": (lambda x: x.amax(dim=(0, 2)), A),
    "amin": (lambda x: x.amin(dim=1, keepdim=True), A),
    "max": (lambda x: x.max(), A),
    "max along an axis": (lambda x: x.max(dim=-1).values, A),
    "min along an axis": (lambda x: x.min(1, keepdim=True).values, A),
    "softmax": (lambda x: x.softmax(dim=1), A),
    "log_softmax": (lambda x: x.log_softmax(dim=-1), A),
    "logsumexp": (lambda x: x.logsumexp(dim=(0, 1)), A),
    "reshape": (lambda x: x.reshape(4, -1), A),
    "view": (lambda x: x.view((6, 4)), A),
    "flatten": (lambda x: x.flatten(start_dim=1), A),
    "transpose": (lambda x: x.transpose(0, -1), A),
    "permute": (lambda x: x.permute(2, 0, 1), A),
    "T": (lambda x: x.T, M),
    "squeeze": (lambda x: x.squeeze(-1).unsqueeze(0), B),
    "expand": (lambda x: x.expand(2, 3, 4), B),
    "clone": (lambda x: x.clone(), A),
    "index": (lambda x: x[1], A),
    "slices": (lambda x: x[..., ::2, None], A),
    "integer arrays": (lambda x: x[np.array([0, 1, 0]), [2, 2, 2]], A),
    "integer Tensor": (lambda x: x[Tensor(np.array([1, 1, 0]))], A),
    "boolean array": (lambda x: x[MASK], A),
    "cat": (lambda x, y: autograd.cat([x, y.T, x]), M, N @ N.T),
    "cat along an axis": (lambda x, y: autograd.cat((x, y), dim=-1), A, GENERATOR.normal(size=(2, 3, 1))),
    "stack": (lambda x, y: autograd.stack([x, y, x], dim=1), M, M[::-1].copy()),
    "split": (lambda x: x.split(3, dim=2)[0] * x.split([3, 1], dim=2)[1], A),
    "a node used three times": (lambda x: x * x + x.exp() * x, A),
    "a cast": (lambda x: x.float().double() * x, np.float32(M).astype(float)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numeric_gradients(name, backend):
    function, *given = FUNCTIONS[name]
    tensors = [Tensor(array.copy(), requires_grad=True) for array in given]
    out = function(*tensors)
    weights = np.random.default_rng(4).normal(size=out.shape)
    out.backward(weights)
    for tensor in tensors:
        assert tensor.grad.dtype == np.float64

        def value(_):
            with autograd.no_grad():
                return function(*tensors).numpy()

        h = 1e-2 if name == "a cast" else 1e-5  # the function is linear and quadratic: no step is too long
        expected = eval_numerical_gradient_array(value, tensor.data, weights, h)
        tolerance = 1e-4 if name == "a cast" else 1e-7
        np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=tolerance, atol=tolerance)


def gradient_of(function, *values):
    tensors = [Tensor(np.array(value, np.float64), requires_grad=True) for value in values]
    function(*tensors).sum().backward()
    return [tensor.grad.tolist() for tensor in tensors]


def test_ties_and_kinks():
    assert gradient_of(autograd.maximum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 1], [0.5, 0]]
    assert gradient_of(autograd.minimum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 0], [0.5, 1]]
    assert gradient_of(lambda x: x.max(), [3.0, 3.0, 1.0]) == [[0.5, 0.5, 0]]
    assert gradient_of(lambda x: x.amin(dim=0), [3.0, 1.0, 1.0]) == [[0, 0.5, 0.5]]
    assert gradient_of(lambda x: x.max(dim=0).values, [3.0, 3.0, 1.0]) == [[1, 0, 0]]
    assert gradient_of(autograd.abs, [0.0, -2.0]) == [[0, -1]]
    assert gradient_of(lambda x: x.clamp(0, 1), [0.0, 1.0, 2.0]) == [[1, 1, 0]]
    assert gradient_of(Tensor.relu, [0.0, 1.0]) == [[0, 1]]
    assert gradient_of(lambda x, y: x**y, [0.0, 2.0], [2.0, 0.0]) == [[0, 0], [0, np.log(2)]]
    assert gradient_of(lambda x: x**0, [0.0, 2.0]) == [[0, 0]]


def test_large_scores_do_not_overflow():
    x = Tensor(np.array([[1000.0, 0.0], [-1000.0, -1000.0]]), requires_grad=True)
    assert x.logsumexp(dim=1).tolist() == [1000, -1000 + np.log(2)]
    assert x.softmax(dim=1).tolist() == [[1, 0], [0.5, 0.5]]
    x.log_softmax(dim=1).sum().backward()
    assert x.grad.tolist() == [[-1, 1], [0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_do_not_change_the_dtype_of_a_scalar(dtype):
    x = Tensor(np.array(0.25, dtype), requires_grad=True)
    for out in (x * 2.0, 2 / x, x**2, 2**x, x - 1, x.clamp(0, 1), x.maximum(0.5), x.var(correction=0), x.mean()):
        assert out.dtype == dtype
        (gradient,) = autograd.grad(out, x)
        assert gradient.dtype == dtype and gradient.shape == ()
    assert Tensor(np.arange(3)).clamp(max=1).tolist() == [0, 1, 1]
    assert Tensor(np.arange(3)).clamp(max=1).dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_and_gradients_have_the_dtype_of_the_inputs(dtype, backend):
    x, w = Tensor(M.astype(dtype), requires_grad=True), Tensor(N.astype(dtype), requires_grad=True)
    out = ((x @ w) * np.float64(2.0) + 1).softmax(dim=1).log().mean() * 0.5 - 3
    assert out.dtype == dtype
    out.backward()
    assert x.grad.dtype == w.grad.dtype == dtype


def test_gradients_come_back_in_the_dtype_of_each_input():
    x, y = Tensor(np.float32(M), requires_grad=True), Tensor(M, requires_grad=True)
    out = (x * y).sum()
    assert out.dtype == np.float64
    out.backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert np.array_equal(x.grad.numpy(), M.astype(np.float32))


def test_empty_batches(backend):
    x, w = Tensor(np.zeros((0, 4)), requires_grad=True), Tensor(N, requires_grad=True)
    (x @ w).relu().sum().backward()
    assert x.grad.shape == (0, 4)
    assert w.grad.tolist() == np.zeros((4, 2)).tolist()
    assert x.flatten().shape == (0,)


def test_products_of_matrices_are_those_of_the_affine_kernel(backend):
    from fastnn.kernels import affine

    x, w = Tensor(M, requires_grad=True), Tensor(N, requires_grad=True)
    out = x @ w
    out.backward(np.ones((3, 2)))
    assert out.detach().numpy().tobytes() == affine.affine_forward(M, N, np.zeros(2)).tobytes()
    dx, dw, _ = affine.affine_backward(np.ones((3, 2)), M, N)
    assert (x.grad.numpy().tobytes(), w.grad.numpy().tobytes()) == (dx.tobytes(), dw.tobytes())


def test_all_functions_are_checked():
    tested = " ".join(FUNCTIONS)
    of_tensors = {name for name in autograd.__all__ if hasattr(Tensor, name)}
    other = {"matmul", "mm", "grad"}  # "matrices"; an attribute of the same name
    assert {name for name in of_tensors - other if name not in tested} == set()
