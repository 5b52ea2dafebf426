"""The cells of the courses' notebooks on linear classifiers, with the package name replaced by `fastnn`."""

import numpy as np
import pytest

from fastnn.classifiers import LinearSVM, Softmax
from fastnn.classifiers.linear_svm import svm_loss_naive, svm_loss_vectorized
from fastnn.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized
from fastnn.gradient_check import grad_check_sparse

LOSSES = {
    "svm": (svm_loss_naive, svm_loss_vectorized, LinearSVM),
    "softmax": (softmax_loss_naive, softmax_loss_vectorized, Softmax),
}


D = 193  # 8 x 8 images and a bias, instead of 3073, since the loops are slow


def images_as_rows():
    """Return images of ten classes as rows with the bias trick: a template per class plus noise, and a 1 appended."""
    generator = np.random.default_rng(0)
    templates, rows = generator.standard_normal((10, D - 1)), {}
    for part, count in (("train", 400), ("val", 100)):
        y = generator.integers(0, 10, count)
        X = 0.2 * templates[y] + generator.standard_normal((count, D - 1))
        rows[f"X_{part}"], rows[f"y_{part}"] = np.hstack([X, np.ones((count, 1))]), y
    return rows


@pytest.fixture(scope="module")
def data():
    return images_as_rows()


@pytest.mark.parametrize("name", LOSSES)
def test_naive_loss_and_its_gradient(backend, data, name, capsys):
    naive = LOSSES[name][0]
    X_dev, y_dev = data["X_train"][:20], data["y_train"][:20]
    np.random.seed(231)
    W = np.random.randn(D, 10) * 0.0001

    loss, _ = naive(W, X_dev, y_dev, 0.000005)
    assert loss == pytest.approx(9.0 if name == "svm" else -np.log(0.1), rel=0.1)
    for reg in (0.0, 5e1):
        _, grad = naive(W, X_dev, y_dev, reg)
        grad_check_sparse(lambda w, reg=reg: naive(w, X_dev, y_dev, reg)[0], W, grad, 5)
    errors = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(errors) == 10
    assert max(errors) < 1e-5  # 1e-7 and better, unless an element is tiny


@pytest.mark.parametrize("name", LOSSES)
def test_vectorized_loss_is_the_naive_one(backend, data, name):
    naive, vectorized, _ = LOSSES[name]
    X_dev, y_dev = data["X_train"][:100], data["y_train"][:100]
    W = np.random.default_rng(0).standard_normal((D, 10)) * 0.0001
    loss_naive, grad_naive = naive(W, X_dev, y_dev, 0.000005)
    loss_vectorized, grad_vectorized = vectorized(W, X_dev, y_dev, 0.000005)
    assert loss_naive == pytest.approx(loss_vectorized, rel=1e-12)
    assert np.linalg.norm(grad_naive - grad_vectorized, ord="fro") < 1e-10


@pytest.mark.parametrize("name", LOSSES)
def test_training_and_choice_of_hyperparameters(backend, data, name, capsys):
    """The cell that trains, and the one that picks learning rate and regularisation on the validation images."""
    classifier = LOSSES[name][2]
    iterations, batch = (10, 40) if backend == "naive" else (150, 100)
    results, best_val, best = {}, -1, None
    for learning_rate in (1e-7, 2e-2):
        model = classifier(seed=0)
        loss_hist = model.train(
            data["X_train"], data["y_train"], learning_rate=learning_rate, reg=1e-3, num_iters=iterations,
            batch_size=batch, verbose=True,
        )  # fmt: skip
        assert len(loss_hist) == iterations
        train_accuracy = np.mean(data["y_train"] == model.predict(data["X_train"]))
        val_accuracy = np.mean(data["y_val"] == model.predict(data["X_val"]))
        results[(learning_rate, 1e-3)] = (train_accuracy, val_accuracy)
        if val_accuracy > best_val:
            best_val, best = val_accuracy, model
    printed = capsys.readouterr().out
    assert printed.startswith(f"iteration 0 / {iterations}: loss ")
    assert loss_hist[-1] < loss_hist[0]
    assert best is not None and best_val == results[(2e-2, 1e-3)][1] > 0.5
    assert best.W.shape == (D, 10)
