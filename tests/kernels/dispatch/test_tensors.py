"""How torch tensors are exchanged for arrays; tests/argument_errors/test_tensors.py does it for every function."""

import random
import subprocess
import sys

import numpy as np
import pytest
import small_solver

import fastnn
from fastnn import gradient_check, layer_utils, layers, optim
from fastnn.checkpoint import config
from fastnn.classifiers import FullyConnectedNet, LinearSVM, two_layer_net
from fastnn.classifiers.linear_classifier import (
    predict_linear_classifier,
    svm_loss_naive,
    svm_loss_vectorized,
    train_linear_classifier,
)
from fastnn.kernels.dispatch import tensors
from fastnn.solver import Solver

torch = pytest.importorskip("torch", reason="tensors are made with torch")

RNG = np.random.default_rng(0)
IMAGES, LABELS, WEIGHTS = RNG.normal(size=(6, 5)), np.array([0, 2, 1, 0, 2, 1]), 0.1 * RNG.normal(size=(5, 3))


@pytest.fixture
def batch():
    """W, X, y as tensors."""
    return [torch.from_numpy(value.copy()) for value in (WEIGHTS, IMAGES, LABELS)]


def same(tensor, array):
    assert type(tensor) is torch.Tensor
    np.testing.assert_array_equal(tensor.numpy(), array, strict=True)


# ---- results ----


def test_a_loss_is_a_tensor_without_axes(batch):
    loss, gradient = svm_loss_vectorized(*batch, 0.1)
    expected, expected_gradient = svm_loss_vectorized(WEIGHTS, IMAGES, LABELS, 0.1)
    assert loss.shape == ()
    assert loss.dtype == torch.float64
    assert loss.item() == expected
    assert "%f" % loss == "%f" % expected  # noqa: UP031
    same(gradient, expected_gradient)


def test_results_have_the_dtype_of_the_tensors():
    x, w, b = torch.ones(2, 5), torch.ones(5, 3), torch.zeros(3)
    out, cache = layers.affine_forward(x, w, b)
    gradients = layers.affine_backward(torch.ones_like(out), cache)
    assert [value.dtype for value in (out, *gradients)] == [torch.float32] * 4


def test_integers_and_booleans_are_computed_in_float64():
    same(layers.relu_forward(torch.tensor([[-1, 2]]))[0], np.array([[0.0, 2.0]]))
    same(layers.relu_forward(torch.tensor([[True, False]]))[0], np.array([[1.0, 0.0]]))


def test_a_cache_holds_the_tensors_themselves():
    x, w, b = torch.ones(2, 5), torch.ones(5, 3), torch.zeros(3)
    _, cache = layers.affine_forward(x, w, b)
    assert all(one is other for one, other in zip(cache, (x, w, b), strict=True))


@pytest.mark.parametrize("position", range(3))
def test_one_tensor_among_arrays_makes_tensors(batch, position):
    given = [WEIGHTS, IMAGES.tolist(), LABELS]
    given[position] = batch[position]
    same(svm_loss_vectorized(*given, 0.1)[1], svm_loss_vectorized(WEIGHTS, IMAGES, LABELS, 0.1)[1])


def test_an_array_beside_tensors_stays_what_it_is(batch):
    w = WEIGHTS.copy()
    returned, _ = optim.sgd(w, batch[0], out=w)
    assert returned is w


def test_a_tensor_without_axes_is_a_number():
    loss, gradient = svm_loss_vectorized(WEIGHTS, IMAGES, LABELS, torch.tensor(0.25))
    assert (type(loss), type(gradient)) == (float, np.ndarray)
    assert loss == svm_loss_vectorized(WEIGHTS, IMAGES, LABELS, 0.25)[0]
    w, options = optim.sgd(torch.ones(2), torch.ones(2), {"learning_rate": torch.tensor(0.5)})
    same(w, np.full(2, 0.5, np.float32))
    assert options["learning_rate"] == 0.5


def test_strides_are_those_of_the_tensor(monkeypatch, batch):
    w, x, y = batch
    columns = x.T.contiguous().T
    assert columns.stride() == (1, 6)
    same(
        svm_loss_vectorized(w, columns, y, 0.1)[1],
        svm_loss_vectorized(WEIGHTS, np.asfortranarray(IMAGES), LABELS, 0.1)[1],
    )
    same(layers.relu_forward(torch.ones(1).expand(2, 3))[0], np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    "result", [np.broadcast_to(np.ones(3), (2, 3)), np.arange(3.0)[::-1]], ids=["read-only", "reversed"]
)
def test_results_that_torch_cannot_share_are_copied(result):
    same(tensors.called(lambda x: result, (torch.ones(1),), {}), result)


def test_results_of_a_dtype_that_torch_lacks_stay_arrays():
    text = np.array(["a"])
    assert tensors.called(lambda x: text, (torch.ones(1),), {}) is text


def test_empty_tensors():
    out, cache = layer_utils.affine_relu_forward(torch.empty(0, 5), torch.ones(5, 3), torch.zeros(3))
    assert out.shape == (0, 3)
    dx, dw, _ = layer_utils.affine_relu_backward(out, cache)
    assert dx.shape == (0, 5)
    same(dw, np.zeros((5, 3), np.float32))


def test_a_parameter_without_gradient_is_a_tensor(batch):
    w = torch.nn.Parameter(batch[0], requires_grad=False)
    assert type(svm_loss_vectorized(w, *batch[1:], 0.1)[1]) is torch.Tensor
    with pytest.raises(TypeError, match=r"linear_svm_loss: W is a tensor that requires a gradient.*W\.detach\(\)"):
        svm_loss_vectorized(torch.nn.Parameter(batch[0]), *batch[1:], 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.half(), r"X is a tensor of torch\.float16, of shape \(6, 5\); .*; convert it: pass X\.float\(\)"),
        (lambda x: x.bfloat16(), r"X is a tensor of torch\.bfloat16, of shape \(6, 5\); .*pass X\.float\(\)"),
        (lambda x: x.to_sparse(), r"X is a sparse tensor of shape \(6, 5\); .*pass X\.to_dense\(\)"),
        (lambda x: x.to("meta"), r"X is a tensor on meta, but the backend '\w+' computes on the CPU; .*X\.cpu\(\)"),
        (lambda x: x[:, :4], r"X\.shape = \(6, 4\) has length 4 on axis 1; .*; pass arrays that belong together"),
        (lambda x: x.to(torch.complex64).conj(), r"X=.* is not an array \(.*conjugate bit.*\); .*; pass a NumPy array"),
        (lambda x: x.to(torch.complex64), r"X\.dtype = complex64 cannot be computed with; .*; convert it"),
    ],
)  # fmt: skip
def test_errors_name_function_argument_and_shape(batch, change, message):
    w, x, y = batch
    with pytest.raises((TypeError, ValueError), match=rf"^linear_svm_loss: {message}"):
        svm_loss_vectorized(w, change(x), y, 0.1)


def test_an_unknown_keyword_is_named(batch):
    with pytest.raises(TypeError, match=r"^linear_svm_loss: the keyword regg=0\.1 is unknown; .* did you mean 'reg'\?"):
        svm_loss_vectorized(*batch, regg=0.1)


# ---- arguments that are changed in place ----


def test_update_rules_write_to_the_memory_of_the_tensors():
    w, dw, options = torch.ones(3), torch.ones(3), {}
    expected, expected_options = np.ones(3, np.float32), {}
    for _ in range(2):
        returned, returned_options = optim.adam(w, dw, options, out=w)
        assert returned is w
        assert returned_options is options
        optim.adam(expected, dw.numpy(), expected_options, out=expected)
    same(w, expected)
    same(options["m"], expected_options["m"])
    memory = options["m"].data_ptr()
    optim.adam(w, dw, options)
    assert options["m"].data_ptr() == memory


def test_update_changes_dicts_of_tensors():
    w = torch.ones(3, 2).T  # not contiguous: the rule returns a new array, which is stored in the dict
    params, configs = {"W": w, "b": torch.ones(2)}, {"W": {"learning_rate": 0.5}, "b": {"learning_rate": 0.5}}
    bias = params["b"]
    optim.update(optim.sgd_momentum, params, {"W": torch.ones(2, 3), "b": torch.ones(2)}, configs)
    same(params["W"].contiguous(), np.full((2, 3), 0.5, np.float32))
    assert params["b"] is bias
    same(bias, np.full(2, 0.5, np.float32))
    same(configs["b"]["velocity"], np.full(2, -0.5, np.float32))


def test_running_averages_are_stored_as_tensors():
    bn_param = {"mode": "train", "running_mean": torch.zeros(3)}
    x, scale = torch.from_numpy(RNG.normal(size=(4, 3)).astype(np.float32)), torch.ones(3)
    layers.batchnorm_forward(x, scale, scale, bn_param)
    same(bn_param["running_mean"], bn_param["running_mean"].numpy())
    same(bn_param["running_var"], bn_param["running_var"].numpy())
    assert bn_param["running_mean"].any()


# ---- functions of the caller ----


def test_a_numeric_gradient_moves_the_tensor_itself(batch):
    w, x, y = batch
    seen = []

    def loss(one):
        seen.append(one is w)
        return svm_loss_vectorized(w, x, y, 0.1)[0]

    numeric = gradient_check.eval_numerical_gradient(loss, w, verbose=False)
    assert all(seen)
    assert type(numeric) is torch.Tensor
    assert gradient_check.rel_error(numeric, svm_loss_vectorized(w, x, y, 0.1)[1]) < 1e-6
    same(w, WEIGHTS)


def test_a_sparse_gradient_check_prints_as_for_arrays(batch, capsys):
    w, x, y = batch
    printed = []
    for one, *others in ((w, x, y), (WEIGHTS.copy(), IMAGES, LABELS)):
        random.seed(0)
        gradient = svm_loss_naive(one, *others, 0.1)[1]
        gradient_check.grad_check_sparse(lambda w, others=others: svm_loss_naive(w, *others, 0.1)[0], one, gradient)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "relative error" in printed[0]


def test_blobs_may_hold_tensors():
    class Blob:
        def __init__(self):
            self.vals, self.diffs = torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)

    def double(source, output):
        output.vals = source.vals * 2

    (gradient,) = gradient_check.eval_numerical_gradient_blobs(double, (Blob(),), Blob())
    np.testing.assert_allclose(gradient.numpy(), 2.0)


def test_a_loss_written_in_torch_gets_tensors(batch):
    w, x, y = batch

    def loss(*given):
        *arrays, reg = given
        assert all(type(value) is torch.Tensor for value in arrays)
        assert reg == 0.1
        return svm_loss_vectorized(*given)

    actual, history = train_linear_classifier(loss, w, x, y, 0.1, 0.1, 5, seed=0)
    expected, losses = train_linear_classifier(svm_loss_vectorized, WEIGHTS, IMAGES, LABELS, 0.1, 0.1, 5, seed=0)
    same(actual, expected)
    assert history == losses
    same(w, WEIGHTS)


# ---- models ----


def test_a_linear_classifier_trained_on_tensors_has_a_tensor(batch):
    _, x, y = batch
    model, expected = LinearSVM(seed=0), LinearSVM(seed=0)
    assert model.train(x, y) == expected.train(IMAGES, LABELS)
    same(model.W, expected.W)
    same(model.predict(x), expected.predict(IMAGES))
    same(predict_linear_classifier(model.W, IMAGES), expected.predict(IMAGES))
    assert model.train(x, y) == expected.train(IMAGES, LABELS)
    model.train(IMAGES, LABELS)
    assert type(model.W) is np.ndarray


def test_a_two_layer_net_of_tensors(batch, tmp_path, capsys):
    _, x, y = batch
    model = two_layer_net.TwoLayerNet(5, 4, 3, dtype=torch.float64, seed=0)
    expected = two_layer_net.TwoLayerNet(5, 4, 3, dtype=np.float64, seed=0)
    given = dict(model.params)
    history = model.train(x, y, x, y, num_iters=5, batch_size=3, learning_rate=0.5)
    assert history == expected.train(IMAGES, LABELS, IMAGES, LABELS, num_iters=5, batch_size=3, learning_rate=0.5)
    for name, value in expected.params.items():
        assert model.params[name] is given[name]
        same(model.params[name], value)
    loss, gradients = model.loss(x, y, 0.1)
    assert loss.item() == expected.loss(IMAGES, LABELS, 0.1)[0]
    assert list(gradients) == list(model.params)
    model.save(tmp_path / "net.npz")
    model.load(tmp_path / "net.npz")
    same(model.params["W1"], expected.params["W1"])
    assert capsys.readouterr().out.endswith("net.npz\n")


def test_training_functions_update_a_dict_of_tensors(batch):
    _, x, y = batch
    expected = {"W1": RNG.normal(size=(5, 4)), "b1": np.zeros(4), "W2": RNG.normal(size=(4, 3)), "b2": np.zeros(3)}
    params = {name: torch.from_numpy(value.copy()) for name, value in expected.items()}
    memory = {name: value.data_ptr() for name, value in params.items()}
    functions = two_layer_net.nn_forward_backward, two_layer_net.nn_predict
    history = two_layer_net.nn_train(params, *functions, x, y, x, y, num_iters=5, batch_size=3, seed=0)
    assert history == two_layer_net.nn_train(
        expected, *functions, IMAGES, LABELS, IMAGES, LABELS, num_iters=5, batch_size=3, seed=0
    )
    for name, value in expected.items():
        same(params[name], value)
    assert {name: value.data_ptr() for name, value in params.items()} == memory


def test_a_network_takes_tensors_as_parameters_and_inputs(batch):
    _, x, y = batch
    model = FullyConnectedNet([4], 5, 3, normalization="batchnorm", dtype=torch.float64, generator=0)
    expected = FullyConnectedNet([4], 5, 3, normalization="batchnorm", dtype=np.float64, generator=0)
    weight = RNG.normal(size=(5, 4))
    model.params["W1"], expected.params["W1"] = torch.from_numpy(weight), weight
    loss, gradients = model.loss(x, y)
    expected_loss, expected_gradients = expected.loss(IMAGES, LABELS)
    assert loss.item() == expected_loss
    for name, value in expected_gradients.items():
        same(gradients[name], value)
    same(model.loss(x), expected.loss(IMAGES))
    assert config.describe(model) == config.describe(expected)


def test_a_solver_takes_tensors():
    data = small_solver.data()
    results = []
    for given in (data, {name: torch.from_numpy(value) for name, value in data.items()}):
        solver = Solver(small_solver.Model(), given, num_epochs=2, batch_size=6, seed=0, verbose=False)
        solver.train()
        accuracy = solver.check_accuracy(given["X_val"], given["y_val"])
        results.append((solver.loss_history, solver.val_acc_history, accuracy))
    assert results[0] == results[1]


def test_only_these_functions_return_tensors(batch):
    assert type(fastnn.to_numpy(batch[0])) is np.ndarray
    assert type(FullyConnectedNet([4], 5, 3).params["W1"]) is np.ndarray


# ---- torch is not a dependency ----


def test_torch_is_never_imported():
    code = (
        "import sys, numpy, fastnn.layers as layers, fastnn.classifiers, fastnn.gradient_check, fastnn.optim\n"
        "x = numpy.ones((2, 3)); layers.affine_backward(*layers.affine_forward(x, x.T, x[:, 0])); "
        "assert 'torch' not in sys.modules\n"
        "sys.modules['torch'] = None; layers.relu_backward(*layers.relu_forward(x))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
