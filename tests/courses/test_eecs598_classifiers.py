"""EECS 498/598's linear classifiers and two-layer net."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the course computes on tensors of torch")

from eecs598_data import blobs, data_of  # noqa: E402

from fastnn.courses import eecs598  # noqa: E402
from fastnn.courses.eecs598 import a2_helpers, linear_classifier, two_layer_net  # noqa: E402

ON_THE_CPU = "cannot be used by torch.*computing on the CPU"


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch, one_backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


# ---- linear classifiers ----


@pytest.mark.parametrize("kind", [linear_classifier.LinearSVM, linear_classifier.Softmax])
def test_linear_classifiers_learn(kind, tmp_path, capsys):
    X, y = blobs()
    classifier, train_acc, val_acc = linear_classifier.test_one_param_set(kind(), data_of(X, y), 0.5, 1e-4, 150)
    assert train_acc == val_acc == 100.0
    assert classifier.W.shape == (4, 3)
    classifier.save(tmp_path / "best.pt")
    assert capsys.readouterr().out == f"Saved in {tmp_path / 'best.pt'}\n"
    other = kind()
    other.load(tmp_path / "best.pt")
    assert torch.equal(other.predict(X), y)


def test_linear_losses_are_those_of_torch():
    X, y = blobs()
    W = torch.randn(4, 3, dtype=torch.float64)
    judged = W.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(X @ judged, y) + 0.3 * (judged**2).sum()
    expected.backward()
    for loss_func in (linear_classifier.softmax_loss_naive, linear_classifier.softmax_loss_vectorized):
        loss, dW = loss_func(W, X, y, 0.3)
        assert abs((loss - expected).item()) < 1e-12
        torch.testing.assert_close(dW, judged.grad)


def test_training_starts_from_small_weights_of_torch(capsys):
    X, y = blobs()
    eecs598.reset_seed(5)
    expected = 1e-6 * torch.randn(4, 3, dtype=torch.float64)
    eecs598.reset_seed(5)
    W, losses = linear_classifier.train_linear_classifier(
        linear_classifier.softmax_loss_vectorized, None, X, y, learning_rate=0.0, num_iters=101, verbose=True
    )
    assert torch.equal(W, expected)
    assert len(losses) == 101
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "iteration 0 / 101",
        "iteration 100 / 101",
    ]


def test_divergence_stops_a_classifier_with_a_warning():
    X, y = blobs()
    svm = linear_classifier.LinearSVM()
    message = r"train_linear_classifier: loss = .* in iteration \d+ with learning_rate=1000; .*; training stopped"
    with pytest.warns(RuntimeWarning, match=message):
        losses = svm.train(X, y, learning_rate=1e3, reg=1.0, num_iters=500)
    assert len(losses) < 500
    assert not np.isfinite(losses[-1])
    assert abs(svm.loss(svm.W, X, y, 1.0)[0] - min(losses[::100])) < 1e-3  # the loss of all images, and of a batch


def test_search_parameters():
    for rates, penalties in (linear_classifier.svm_get_search_params(), linear_classifier.softmax_get_search_params()):
        assert 5 <= len(rates) * len(penalties) <= 25  # as the notebook demands
    assert all(map(len, two_layer_net.nn_get_search_params()))


# ---- the two-layer net ----


def test_the_figures_of_the_notebook():
    """The notebook prints them on a GPU, whose random numbers `get_toy_data` draws on every device."""
    with pytest.warns(RuntimeWarning, match=ON_THE_CPU):
        X, y, params = a2_helpers.get_toy_data()
    scores, hidden = two_layer_net.nn_forward_pass(params, X)
    expected = torch.tensor([
        [9.7003e-08, -1.1143e-07, -3.9961e-08], [-7.4297e-08, 1.1502e-07, 1.5685e-07],
        [-2.5860e-07, 2.2765e-07, 3.2453e-07], [-4.7257e-07, 9.0935e-07, 4.0368e-07],
        [-1.8395e-07, 7.9303e-08, 6.0360e-07],
    ])  # fmt: skip
    assert scores.dtype == torch.float32
    assert hidden.shape == (5, 10)
    assert (scores - expected).abs().sum() < 1e-10
    loss, _ = two_layer_net.nn_forward_backward(params, X, y, reg=0.05)
    assert abs(loss.item() - 1.0986121892929077) < 1e-6
    stats = two_layer_net.nn_train(
        params, two_layer_net.nn_forward_backward, two_layer_net.nn_predict, X, y, X, y,
        learning_rate=1e-1, reg=1e-6, num_iters=200,
    )  # fmt: skip
    assert abs(stats["loss_history"][-1] - 0.5211756229400635) < 1e-5


def test_gradients_of_the_two_layer_net():
    X, y, params = a2_helpers.get_toy_data(num_inputs=7, num_classes=2, dtype=torch.float64, device="cpu")
    assert y.tolist() == [0, 1, 0, 0, 1, 0, 1]
    _, grads = two_layer_net.nn_forward_backward(params, X, y, reg=0.05)
    for name, gradient in grads.items():
        numeric = eecs598.grad.compute_numeric_gradient(
            lambda _: two_layer_net.nn_forward_backward(params, X, y, reg=0.05)[0], params[name]
        )
        assert eecs598.grad.rel_error(gradient, numeric) < 1e-4, name


def test_two_layer_net_learns(tmp_path, capsys):
    X, y = blobs()
    net = two_layer_net.TwoLayerNet(4, 8, 3, torch.float64, "cpu", std=0.1)
    stats = net.train(X, y, X, y, learning_rate=0.5, num_iters=102, batch_size=30, verbose=True)
    assert torch.equal(net.predict(X), y)
    assert [len(history) for history in stats.values()] == [102, 51, 51]
    assert stats["val_acc_history"][-1] == 1.0
    net.save(tmp_path / "nn.pt")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("iteration 0 / 102: loss 1.")
    assert lines[-1] == f"Saved in {tmp_path / 'nn.pt'}"
    with pytest.warns(RuntimeWarning, match=f"TwoLayerNet: device='cuda' {ON_THE_CPU}"):
        other = two_layer_net.TwoLayerNet(4, 8, 3)
    other.load(tmp_path / "nn.pt")
    assert torch.equal(other.loss(X), net.loss(X))
    torch.save({"W1": X}, tmp_path / "wrong.pt")
    with pytest.raises(ValueError, match=r"TwoLayerNet.load: .*wrong.pt contains \['W1'\]; expected"):
        other.load(tmp_path / "wrong.pt")


def test_divergence_stops_the_two_layer_net_with_a_warning():
    X, y = blobs()
    net = two_layer_net.TwoLayerNet(4, 8, 3, torch.float64, "cpu")
    with pytest.warns(RuntimeWarning, match="nn_train: loss = .*; training stopped, with the best parameters"):
        stats = net.train(X, y, X, y, learning_rate=1e6, reg=1.0, num_iters=200)
    assert len(stats["loss_history"]) < 200
    assert (net.predict(X) == y).double().mean() == max(stats["val_acc_history"])


def test_find_best_net(monkeypatch):
    train, shorter = two_layer_net.nn_train, {"num_iters": 200, "batch_size": 30}
    monkeypatch.setattr(two_layer_net, "nn_train", lambda *given, **keywords: train(*given, **{**keywords, **shorter}))
    X, y = blobs()
    net, stats, accuracy = two_layer_net.find_best_net(
        {**data_of(X, y), "X_test": X}, lambda: ([1e-6, 0.5], [8], [1e-5], [1.0])
    )
    assert accuracy == 1.0
    assert stats["loss_history"][-1] < 0.2
    assert torch.equal(net.predict(X), y)
