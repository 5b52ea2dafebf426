"""`fastnn.classifiers.two_layer_net`: against NumPy, numeric gradients and torch; training, files, errors."""

import numpy as np
import pytest

from fastnn.classifiers.two_layer_net import TwoLayerNet, nn_forward_backward, nn_forward_pass, nn_predict, nn_train
from fastnn.data_utils import get_shapes_data, get_toy_data
from fastnn.gradient_check import compute_numeric_gradient, rel_error
from fastnn.testing import assert_same


def by_hand(params, X, y, reg):
    """Return scores, hidden layer and loss, in NumPy."""
    hidden = np.maximum(X @ params["W1"] + params["b1"], 0)
    scores = hidden @ params["W2"] + params["b2"]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    penalty = reg * (np.sum(params["W1"] ** 2) + np.sum(params["W2"] ** 2))
    return scores, hidden, -np.mean(np.log(p[np.arange(len(y)), y])) + penalty


def test_toy_data_by_hand(backend):
    X, y, params = get_toy_data()
    before = {name: value.copy() for name, value in params.items()}
    for reg in (0.0, 0.05):
        scores, hidden, expected = by_hand(params, X, y, reg)
        assert_same(nn_forward_pass(params, X), (scores, hidden), terms=10)
        assert_same(nn_forward_backward(params, X), scores, terms=10)
        loss, grads = nn_forward_backward(params, X, y, reg)
        assert loss == pytest.approx(expected, rel=1e-14)
        assert list(grads) == ["W1", "b1", "W2", "b2"]
    assert_same(params, before)


def test_gradients_are_the_numeric_ones(backend):
    X, y, params = get_toy_data()
    _, grads = nn_forward_backward(params, X, y, reg=0.05)
    for name, value in params.items():
        expected = compute_numeric_gradient(lambda _: nn_forward_backward(params, X, y, reg=0.05)[0], value, h=1e-5)
        assert rel_error(expected, grads[name]) < 1e-6


def test_results_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    X, y, params = get_toy_data()
    W1, b1, W2, b2 = leaves = [torch.tensor(value, requires_grad=True) for value in params.values()]
    scores = torch.relu(torch.tensor(X) @ W1 + b1) @ W2 + b2
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(y)) + 0.1 * ((W1**2).sum() + (W2**2).sum())
    loss.backward()
    expected = {name: leaf.grad.numpy() for name, leaf in zip(params, leaves, strict=True)}
    assert_same(nn_forward_backward(params, X, y, 0.1), (loss.item(), expected), terms=10)


def test_images_of_any_shape_and_dtype(backend):
    net = TwoLayerNet(12, 6, 3, std=0.1, seed=0)
    X = np.random.default_rng(0).integers(0, 9, (5, 3, 2, 2))
    scores = net.loss(X.reshape(5, 12).astype(np.float32))
    for same in (X, X.astype(np.uint8), X.astype(np.float64), X.tolist()):
        actual = net.loss(same)
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, scores)
    assert net.loss(X, np.zeros(5, int), reg=0.1)[1]["W1"].dtype == np.float32


def test_initial_values_of_the_course():
    np.random.seed(5)
    net = TwoLayerNet(4, 10, 3, np.float64, 1e-1)
    np.random.seed(5)
    np.testing.assert_array_equal(net.params["W1"], 1e-1 * np.random.randn(4, 10))
    np.testing.assert_array_equal(net.params["W2"], 1e-1 * np.random.randn(10, 3))
    assert not net.params["b1"].any() and not net.params["b2"].any()
    usual = TwoLayerNet(30, 40, 3, seed=0).params
    assert {value.dtype for value in usual.values()} == {np.dtype(np.float32)}
    assert np.std(usual["W1"]) == pytest.approx(1e-4, rel=0.1)


def test_training_is_that_of_the_course(backend):
    """As the course's loop in NumPy: accuracies are computed and the rate decays at the first iteration of an epoch."""
    X, y, params = get_toy_data()
    expected = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
    by_loop, rate = {name: value.copy() for name, value in params.items()}, 0.1
    np.random.seed(9)
    for iteration in range(7):
        places = np.random.choice(5, 2, replace=True)
        loss, grads = nn_forward_backward(by_loop, X[places], y[places], 1e-3)
        expected["loss_history"].append(loss)
        by_loop = {name: value - rate * grads[name] for name, value in by_loop.items()}
        if iteration % 2 == 0:  # an epoch has 5 // 2 iterations
            for part, images, labels in (("train", X[places], y[places]), ("val", X[1:], y[1:])):
                predicted = np.argmax(by_hand(by_loop, images, labels, 0)[0], axis=1)
                expected[f"{part}_acc_history"].append(np.mean(predicted == labels))
            rate *= 0.5
    np.random.seed(9)
    own = {name: value.copy() for name, value in params.items()}
    arrays = dict(own)
    stats = nn_train(own, nn_forward_backward, nn_predict, X, y, X[1:], y[1:], 0.1, 0.5, 1e-3, 7, 2)
    assert_same(stats, {name: np.array(values) for name, values in expected.items()}, terms=100)
    assert_same(own, by_loop, terms=100)
    assert all(own[name] is arrays[name] for name in own)


def test_the_toy_data_can_be_overfitted(backend, capsys):
    X, y, _ = get_toy_data()
    net = TwoLayerNet(4, 10, 3, std=1e-1, seed=0)
    stats = net.train(X, y, X, y, learning_rate=1e-1, reg=5e-6, num_iters=101, verbose=True)
    assert stats["loss_history"][-1] < 0.05
    assert stats["val_acc_history"][-1] == 1
    assert [len(values) for values in stats.values()] == [101, 101, 101]
    lines = [f"iteration {i} / 101: loss {stats['loss_history'][i]:f}" for i in (0, 100)]
    assert capsys.readouterr().out.splitlines() == lines
    np.testing.assert_array_equal(net.predict(X), y)
    assert net.predict(X).dtype == np.int64
    net.train(X, y, X, y, num_iters=1)
    assert capsys.readouterr().out == ""


def test_shapes_are_learnt_better_than_by_chance():
    data = get_shapes_data(1500, 300, 0)
    images = {part: data[f"X_{part}"][:, :, ::2, ::2] for part in ("train", "val")}
    net = TwoLayerNet(3 * 16 * 16, 40, 10, std=1e-2, seed=0)
    stats = net.train(
        images["train"], data["y_train"], images["val"], data["y_val"],
        learning_rate=0.1, learning_rate_decay=0.98, reg=1e-4, num_iters=300, batch_size=100,
    )  # fmt: skip
    assert np.mean(stats["loss_history"][-20:]) < 0.9 * stats["loss_history"][0]
    assert stats["val_acc_history"][-1] > 0.14
    assert np.mean(net.predict(images["train"]) == data["y_train"]) > 0.3


def test_prediction_in_blocks(backend):
    X = np.random.default_rng(0).standard_normal((2003, 4))
    _, _, params = get_toy_data()
    expected = np.argmax(nn_forward_pass(params, X)[0], axis=1)
    np.testing.assert_array_equal(nn_predict(params, nn_forward_backward, X), expected)


def test_a_seed_makes_training_independent_of_the_global_state():
    X, y, _ = get_toy_data()
    results = []
    for state in (0, 1):
        np.random.seed(state)
        net = TwoLayerNet(4, 10, 3, seed=3)
        net.train(X, y, X, y, num_iters=5, batch_size=2)
        results.append(net.params)
    assert_same(results[0], results[1])


@pytest.mark.parametrize("name", ["nn_best.npy", "nn_best.pt", "nn_best.h5"])
def test_saved_nets_come_back(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    net, other = (TwoLayerNet(4, 10, 3, std=0.1, seed=seed) for seed in (0, 1))
    net.save(name)
    assert capsys.readouterr().out == f"Saved in {name}\n"
    other.load(tmp_path / name)
    for key in net.params:
        np.testing.assert_array_equal(other.params[key], net.params[key])
    with pytest.raises(ValueError, match=r"TwoLayerNet.load: 'W1' has shape \(4, 10\); expected \(4, 11\)"):
        TwoLayerNet(4, 11, 3).load(tmp_path / name)


def test_a_loss_that_is_not_finite_stops_training(backend):
    X, y, params = get_toy_data()
    with pytest.raises(
        FloatingPointError, match=r"^nn_train: loss = nan in iteration 0 with learning_rate=0.5; expect"
    ):
        nn_train(params, nn_forward_backward, nn_predict, X * np.nan, y, X, y, 0.5, on_nonfinite="raise")


def test_a_loss_that_is_not_finite_ends_training_with_a_warning(backend):
    X, y, params = get_toy_data()
    before = {name: value.copy() for name, value in params.items()}
    with pytest.warns(RuntimeWarning, match=r"^nn_train: loss = nan in iteration 0 ") as caught:
        stats = nn_train(params, nn_forward_backward, nn_predict, X * np.nan, y, X, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert np.isnan([stats["loss_history"], stats["train_acc_history"], stats["val_acc_history"]]).all()
    net = TwoLayerNet(4, 10, 3, std=0.1, seed=0)
    net.params = {name: value.copy() for name, value in before.items()}
    with pytest.warns(
        RuntimeWarning, match=r"is (nan|inf); .*\(after iteration 0 with learning_rate=1e\+200\)"
    ) as caught:
        stats = net.train(X, y, X, y, learning_rate=1e200)
    assert [warning.filename for warning in caught] == [__file__]
    assert np.isnan(stats["loss_history"]).tolist() == [False, True]
    assert stats["val_acc_history"] == [np.mean(net.predict(X) == y)]
    for found in (params, net.params):
        for name, value in before.items():
            np.testing.assert_array_equal(found[name], value)


def test_parameters_of_the_best_accuracy_come_back():
    X, y, params = get_toy_data()
    seen = []

    def predict(params, loss_func, X):
        seen.append({name: value.copy() for name, value in params.items()})
        return y if len(seen) == 4 else np.full(len(y), -1)  # the validation images in the second epoch

    def loss(params, X, y, reg):
        found, grads = nn_forward_backward(params, X, y, reg)
        return (np.nan if len(seen) >= 16 else found), grads

    with pytest.warns(RuntimeWarning, match="loss = nan in iteration 8"):
        stats = nn_train(params, loss, predict, X, y, X, y, batch_size=5)
    assert stats["val_acc_history"] == [0, 1, 0, 0, 0, 0, 0, 0]
    for name, value in seen[3].items():
        np.testing.assert_array_equal(params[name], value)


def train(X, y, params, **options):
    return nn_train(params, nn_forward_backward, nn_predict, X, y, X, y, **options)


ERRORS = [
    (lambda X, y, params: nn_forward_pass({}, X), ValueError, "nn_forward_pass: params lacks the key 'W1'"),
    (
        lambda X, y, params: nn_forward_pass(params, X[:, 1:]),
        ValueError,
        r"X.shape = \(5, 3\) does not fit W1.shape = \(4, 10\)",
    ),
    (lambda X, y, params: nn_forward_pass(params, X + 1j), TypeError, "X.dtype = complex128"),
    (lambda X, y, params: nn_forward_backward(params, X, y, reg=-1), ValueError, "nn_forward_backward: reg=-1 is out"),
    (lambda X, y, params: nn_forward_backward(params, X, y + 1), ValueError, "y contains the label 3"),
    (lambda X, y, params: train(X, y, params, learning_rate=-1), ValueError, "nn_train: learning_rate=-1 is out"),
    (lambda X, y, params: train(X, y, params, learning_rate_decay=0), ValueError, "learning_rate_decay=0 is out"),
    (lambda X, y, params: train(X, y, params, num_iters=-1), ValueError, "nn_train: num_iters=-1 is out of range"),
    (lambda X, y, params: train(X, y, params, batch_size=0), ValueError, "nn_train: batch_size=0 is out of range"),
    (lambda X, y, params: train(X, y[:4], params), ValueError, "data has 5 rows in X and 4 in y"),
    (lambda X, y, params: TwoLayerNet(4, 0, 3), ValueError, "TwoLayerNet: hidden_size=0 is out of range"),
    (lambda X, y, params: TwoLayerNet(4, 1, 3, std=-1), ValueError, "TwoLayerNet: std=-1 is out of range"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(*get_toy_data())
