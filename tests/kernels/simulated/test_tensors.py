"""Tensors on a GPU. Tensors on the CPU that claim to be on a GPU stand for them, as fake arrays do for CuPy's."""

import types

import numpy as np
import pytest

import fastnn
from fastnn import gradient_check, layer_utils, layers, optim
from fastnn.classifiers import LinearSVM, two_layer_net
from fastnn.kernels.dispatch import tensors

torch = pytest.importorskip("torch", reason="tensors are made with torch")

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2)), np.zeros(2)
Y = np.array([0, 1, 1])


class GpuTensor(torch.Tensor):
    device = torch.device("cuda", 0)

    def to(self, device):
        assert device == self.device
        return self


def on_gpu(array, device=GpuTensor.device):
    assert device == GpuTensor.device
    return torch.from_numpy(np.array(array)).as_subclass(GpuTensor)


def from_dlpack(array):
    tensor = torch.from_numpy(array.memory).as_subclass(GpuTensor)
    tensor.kept = array  # as a capsule keeps the memory of an array
    return tensor


@pytest.fixture(autouse=True)
def _fake_torch(monkeypatch):
    fake = types.SimpleNamespace(
        dtype=torch.dtype,
        float64=torch.float64,
        tensor=lambda value, dtype, device: on_gpu(value, device),
        from_numpy=on_gpu,
        from_dlpack=from_dlpack,
    )
    monkeypatch.setattr(tensors, "_torch", lambda: fake)


def same(tensor, array):
    assert type(tensor) is GpuTensor
    np.testing.assert_array_equal(np.asarray(tensor), array, strict=True)


def test_nothing_is_copied_between_host_and_gpu():
    expected, expected_cache = layer_utils.affine_relu_forward(X, W, B)  # this uploads tables for the shapes, once
    expected_gradients = layer_utils.affine_relu_backward(expected, expected_cache)
    x, w, b = map(on_gpu, (X, W, B))
    moved = fastnn.transfers()
    out, cache = layer_utils.affine_relu_forward(x, w, b)
    gradients = layer_utils.affine_relu_backward(out, cache)
    assert fastnn.transfers() == moved
    assert cache[0] is x
    same(out, expected)
    for tensor, array in zip(gradients, expected_gradients, strict=True):
        same(tensor, array)


def test_losses_are_tensors_on_the_gpu():
    moved = fastnn.transfers()
    loss, gradient = layers.softmax_loss(on_gpu(X), on_gpu(Y))
    assert fastnn.transfers() == moved
    expected, expected_gradient = layers.softmax_loss(X, Y)
    assert type(loss) is GpuTensor
    assert float(loss) == expected
    same(gradient, expected_gradient)


def test_columns_of_a_tensor():
    same(layers.relu_forward(on_gpu(X).T)[0], layers.relu_forward(X.T)[0])


def test_updates_write_to_the_memory_of_the_gpu():
    w, options, expected, expected_options = on_gpu(W), {}, W.copy(), {}
    for _ in range(2):
        assert optim.sgd_momentum(w, on_gpu(W), options, out=w)[0] is w
        optim.sgd_momentum(expected, W, expected_options, out=expected)
    same(w, expected)
    same(options["velocity"], expected_options["velocity"])


def test_classifiers_train_on_the_gpu():
    model, expected = LinearSVM(seed=0), LinearSVM(seed=0)
    for _ in range(2):
        history = model.train(on_gpu(X), on_gpu(Y), num_iters=2, batch_size=2)
        assert history == expected.train(X, Y, num_iters=2, batch_size=2)
    same(model.W, expected.W)
    same(model.predict(on_gpu(X)), expected.predict(X))


def test_a_dict_of_parameters_is_trained_in_place():
    arrays = {"W1": W, "b1": B, "W2": W[:2], "b2": B}
    params, expected = ({name: make(value) for name, value in arrays.items()} for make in (on_gpu, np.array))
    functions = two_layer_net.nn_forward_backward, two_layer_net.nn_predict
    given = dict(params)
    data, options = (X, Y, X, Y), {"num_iters": 2, "batch_size": 2, "seed": 0}
    history = two_layer_net.nn_train(params, *functions, *map(on_gpu, data), **options)
    assert history == two_layer_net.nn_train(expected, *functions, *data, **options)
    for name, value in expected.items():
        assert params[name] is given[name]
        same(params[name], value)


def test_a_gradient_check_moves_the_tensor(capsys):
    w = on_gpu(W)
    numeric = gradient_check.eval_numerical_gradient_array(lambda w: w * w, w, on_gpu(np.ones(W.shape)))
    assert type(numeric) is GpuTensor
    assert gradient_check.rel_error(numeric, 2 * w) < 1e-8
    gradient_check.grad_check_sparse(lambda w: (w * w).sum(), w, 2 * w, num_checks=2)
    assert capsys.readouterr().out.count("relative error") == 2
    same(w, W)


def test_other_backends_do_not_read_the_memory_of_a_gpu():
    message = (
        r"x is a tensor on cuda:0, but the backend 'vectorized' computes on the CPU; .*; pass x\.cpu\(\), or choose"
    )
    with fastnn.use_backend("vectorized"), pytest.raises(TypeError, match=rf"^relu_forward: {message}"):
        layers.relu_forward(on_gpu(X))
