"""Accuracies and predictions raise the errors of training for values that are not finite and labels out of range."""

import re

import numpy as np
import pytest
import small_solver

from fastnn import checkpoint, nn
from fastnn.classifiers import LinearSVM, Softmax, linear_classifier, two_layer_net
from fastnn.solver import Solver

BAD = {"NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf}
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.standard_normal((2100, 4)), RNG.integers(0, 3, 2100)
W = RNG.standard_normal((4, 3))
PARAMS = {"W1": RNG.standard_normal((4, 5)), "b1": np.ones(5), "W2": RNG.standard_normal((5, 3)), "b2": np.zeros(3)}


def linear(kind):
    classifier = kind(seed=0)
    classifier.W = W.copy()
    return classifier


def functional(X):
    return two_layer_net.nn_predict(PARAMS, two_layer_net.nn_forward_backward, X)


def two_layer(X):
    return two_layer_net.TwoLayerNet(4, 5, 3, seed=0).predict(X)


def sequential(X):
    model = nn.Sequential(nn.Linear(4, 3, dtype=np.float64, seed=0))
    return small_solver.make(model).check_accuracy(X, LABELS[: len(X)])


PREDICTIONS = {
    "LinearSVM.predict": lambda X: linear(LinearSVM).predict(X),
    "Softmax.predict": lambda X: linear(Softmax).predict(X),
    "predict_linear_classifier": lambda X: linear_classifier.predict_linear_classifier(W, X),
    "nn_predict": functional,
    "TwoLayerNet.predict": two_layer,
    "check_accuracy": lambda X: small_solver.make().check_accuracy(X, LABELS[: len(X)]),
    "check_accuracy of a Sequential": sequential,
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("row", [0, 3, 2050])
@pytest.mark.parametrize("predict", PREDICTIONS.values(), ids=PREDICTIONS)
def test_the_first_image_without_finite_scores_is_named(predict, row, value, backend):
    X = IMAGES.copy()
    if value < 0:  # argmax would otherwise choose an arbitrary class
        value = np.full(4, value)
    X[row], X[-1] = value, np.nan
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=rf"highest score of X\[{row}\] is .*; X\[{row}\] contains NaN or inf"),
    ):
        predict(X[:20] if backend == "naive" and row < 20 else X)


@pytest.mark.parametrize("predict", PREDICTIONS.values(), ids=PREDICTIONS)
def test_only_bad_images_raise(predict):
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"highest score of X\[0\] is nan; expected"),
    ):
        predict(np.full((5, 4), np.nan))


def test_parameters_that_are_not_finite_are_told_from_data(one_backend):
    model = small_solver.Model()
    model.params["b"][1] = np.inf
    solver = small_solver.make(model)
    with pytest.raises(FloatingPointError, match=r"score of X_val\[0\] is inf; .*; X_val\[0\] is finite: check the p"):
        solver.check_accuracy(solver.X_val, solver.y_val)


def test_a_score_of_minus_infinity_excludes_its_class_as_in_the_loss(one_backend):
    class Without(small_solver.Model):
        def loss(self, X, y=None):
            return np.column_stack([X[:, :2], np.full(len(X), -np.inf)])

    X = np.array([[1.0, 2, 3, 4], [2, 1, 3, 4]])
    assert small_solver.make(Without()).check_accuracy(X, np.array([1, 0])) == 1


# ---- labels ----


@pytest.mark.parametrize(("part", "label"), [("val", 7), ("val", 3), ("val", -1), ("train", -1)])
def test_labels_out_of_range_raise_while_training(part, label, one_backend):
    """Also if a custom loss accepts them, as NumPy accepts -1 as the last index."""
    parts = small_solver.data()
    parts[f"y_{part}"][5] = label
    with pytest.raises(ValueError, match=rf"y_{part} contains the label {label} at index 5; expected 0 to 2 for 3 cl"):
        small_solver.make(parts=parts, num_train_samples=None).train()


@pytest.mark.parametrize("samples", [None, 15])
def test_the_index_of_a_label_is_that_in_the_data(samples, one_backend):
    y = LABELS[:20].copy()
    y[[4, 11, 12, 13, 14, 15]] = 9
    solver = small_solver.make()
    with pytest.raises(ValueError, match=r"Solver.check_accuracy: y contains the label 9 at index") as caught:
        solver.check_accuracy(IMAGES[:20], y, samples, batch_size=4)
    index = int(re.search(r"at index (\d+)", str(caught.value))[1])
    assert y[index] == 9
    assert samples is not None or index == 4


def test_labels_that_are_booleans_count_as_two_classes(one_backend):
    class Two(small_solver.Model):
        def loss(self, X, y=None):
            return X[:, :2]

    X = np.array([[1.0, 2, 3, 4], [2, 1, 3, 4]])
    assert small_solver.make(Two()).check_accuracy(X, np.array([True, True])) == 0.5


def test_labels_of_one_set_of_hyperparameters_are_checked():
    data = {"X_train": IMAGES[:30], "y_train": LABELS[:30], "X_val": IMAGES[:30], "y_val": LABELS[:30] + 7}
    with pytest.raises(
        ValueError, match=r"test_one_param_set: y_val contains the label \d+ at index 0; expected 0 to 2"
    ):
        linear_classifier.test_one_param_set(Softmax(seed=0), data, 0.1, 0.0, 3)


# ---- training meets them in its evaluations ----


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_training_stops_at_validation_images_that_are_not_finite(value, tmp_path, one_backend):
    parts = small_solver.data()
    parts["X_val"][3] = value
    options = {"checkpoint_name": tmp_path / "run.h5", "checkpoint_every": 5, "on_nonfinite": "raise"}
    solver = small_solver.make(parts=parts, **options)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        solver.train()
    said = str(caught.value)
    assert "the highest score of X_val[3] is " in said
    assert "X_val[3] contains NaN or infinity: check the data (after iteration 1); the state after iteration 1" in said
    assert checkpoint.load(tmp_path / "run.h5")["solver"]["iteration"] == 1
    assert solver.val_acc_history == []


def test_training_in_functional_style_stops_at_them():
    X_val = IMAGES[:20].copy()
    X_val[7, 2] = np.nan
    with pytest.raises(FloatingPointError, match=r"nn_predict: the highest score of X\[7\] is nan"):
        two_layer_net.TwoLayerNet(4, 5, 3, seed=0).train(
            IMAGES, LABELS, X_val, LABELS[:20], num_iters=2, on_nonfinite="raise"
        )


def test_a_run_can_be_resumed_with_good_images_to_the_same_bits(tmp_path, one_backend):
    good, bad = small_solver.data(), small_solver.data()
    bad["X_val"][3] = np.nan
    expected = small_solver.run(parts=good)
    solver = small_solver.make(parts=bad, checkpoint_name=tmp_path / "run.h5", checkpoint_every=5)
    with pytest.warns(RuntimeWarning, match=r"X_val\[3\] is nan"):
        solver.train()
    resumed = Solver.resume(tmp_path / "run.h5", good, model=small_solver.Model(), checkpoint_name=None)
    resumed.train()
    small_solver.assert_identical(resumed.loss_history, expected.loss_history)
    small_solver.assert_identical(dict(resumed.model.params), dict(expected.model.params))
