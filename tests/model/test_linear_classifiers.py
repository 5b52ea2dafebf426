"""`fastnn.classifiers.linear_classifier`: training, prediction, files, and the functional forms."""

import os

import numpy as np
import pytest

from fastnn import rng
from fastnn.classifiers import LinearClassifier, LinearSVM, Softmax, linear_classifier
from fastnn.classifiers.linear_classifier import (
    predict_linear_classifier,
    sample_batch,
    svm_loss_vectorized,
    train_linear_classifier,
)
from fastnn.data_utils import get_shapes_data
from fastnn.nn import weights_io

CLASSES = [LinearSVM, Softmax]


def blobs(count, D=5, K=3, dtype=np.float64):
    """Return linearly separable clouds around K points."""
    generator = np.random.default_rng(0)
    y = np.arange(count) % K
    X = 3 * np.eye(K, D)[y] + 0.3 * generator.standard_normal((count, D))
    return X.astype(dtype), y


@pytest.fixture(scope="module")
def shapes():
    """Return images as rows, with every fourth row and column of pixels, and a constant feature 1."""
    data = get_shapes_data(1500, 200, 0)
    for part in ("train", "val"):
        rows = data[f"X_{part}"][:, :, ::4, ::4].reshape(len(data[f"y_{part}"]), -1)
        data[f"X_{part}"] = np.pad(rows, ((0, 0), (0, 1)), constant_values=1)
    return data


@pytest.mark.parametrize("make", CLASSES)
def test_training_tells_clouds_apart(backend, make):
    X, y = blobs(60)
    classifier = make(seed=0)
    history = classifier.train(X, y, learning_rate=0.1, reg=1e-4, num_iters=60, batch_size=10)
    assert len(history) == 60
    assert all(type(loss) is float for loss in history)
    assert np.mean(history[-5:]) < 0.5 * history[0]
    predicted = classifier.predict(X)
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, y)


@pytest.mark.parametrize(("make", "rate"), [(LinearSVM, 2e-3), (Softmax, 2e-2)])
def test_shapes_are_learnt_better_than_by_chance(shapes, make, rate):
    classifier = make(seed=0)
    history = classifier.train(shapes["X_train"], shapes["y_train"], learning_rate=rate, reg=1e-3, num_iters=400)
    assert np.mean(history[-20:]) < 0.97 * history[0]
    assert np.mean(classifier.predict(shapes["X_train"]) == shapes["y_train"]) > 0.2
    assert np.mean(classifier.predict(shapes["X_val"]) == shapes["y_val"]) > 0.12
    assert classifier.W.dtype == np.float32


@pytest.mark.parametrize("make", CLASSES)
def test_training_is_that_of_the_course(backend, make):
    """Gives the same numbers as the course's loop, drawn from NumPy's global state in the same order."""
    X, y = blobs(30)
    np.random.seed(3)
    classifier = make()
    history = classifier.train(X, y, 0.05, 0.1, num_iters=7, batch_size=4)
    np.random.seed(3)
    other = make()
    other.W, expected = 0.001 * np.random.randn(5, 3), []
    for _ in range(7):
        places = np.random.choice(30, 4, replace=True)
        loss, dW = other.loss(X[places], y[places], 0.1)
        expected.append(loss)
        other.W = other.W - 0.05 * dW
    np.testing.assert_allclose(history, expected, rtol=1e-12)
    np.testing.assert_allclose(classifier.W, other.W, rtol=1e-12)


def test_training_continues_from_existing_weights():
    X, y = blobs(30)
    given = np.ones((5, 3), np.float32)
    classifier = Softmax(seed=0)
    classifier.W = given
    assert classifier.train(X, y, num_iters=0) == []
    np.testing.assert_array_equal(classifier.W, given)
    first = classifier.train(X, y, learning_rate=0.1, num_iters=20)
    assert classifier.train(X, y, learning_rate=0.1, num_iters=20)[0] < first[0]
    assert classifier.W.dtype == np.float32
    assert (given == 1).all()


def test_a_seed_makes_training_independent_of_the_global_state():
    X, y = blobs(30)
    results, by_function = [], []
    for seed, state in ((7, 0), (7, 1), (np.random.default_rng(7), 2), (8, 0)):
        np.random.seed(state)
        classifier = LinearSVM(seed=seed)
        classifier.train(X, y, num_iters=5)
        results.append(classifier.W)
    for state in (0, 1):
        np.random.seed(state)
        by_function.append(train_linear_classifier(svm_loss_vectorized, None, X, y, num_iters=5, seed=7)[0].tolist())
    assert by_function[0] == by_function[1]
    assert results[0].tolist() == results[1].tolist() == results[2].tolist() != results[3].tolist()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float32, np.float32), (np.float64, np.float64), (np.uint8, np.float64), (bool, np.float64), (">f4", "f8")],
)
def test_any_real_dtype(backend, dtype, expected):
    X, y = blobs(40)
    X = np.rint(np.clip(X, 0, 9)).astype(dtype)
    before = X.copy()
    classifier = Softmax(seed=1)
    classifier.train(X, y.astype(np.uint8), learning_rate=0.05, num_iters=40, batch_size=10)
    assert classifier.W.dtype == expected
    np.testing.assert_array_equal(classifier.predict(X), y)
    np.testing.assert_array_equal(X, before)
    half = X.astype(np.float16)
    np.testing.assert_array_equal(classifier.predict(half), y)


def test_lists_and_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    X, y = blobs(30)
    expected = train_linear_classifier(svm_loss_vectorized, None, X, y, num_iters=9, seed=1)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = X, y
        for data in ((file["X"], file["y"]), (X.tolist(), y.tolist())):
            actual = train_linear_classifier(svm_loss_vectorized, None, *data, num_iters=9, seed=1)
            assert actual[1] == expected[1]
            np.testing.assert_array_equal(actual[0], expected[0])
        np.testing.assert_array_equal(
            predict_linear_classifier(expected[0], file["X"]), predict_linear_classifier(expected[0], X)
        )


def test_what_is_printed(capsys):
    X, y = blobs(30)
    classifier = Softmax(seed=0)
    classifier.train(X, y, num_iters=101)
    assert capsys.readouterr().out == ""
    history = classifier.train(X, y, num_iters=150, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"iteration {i} / 150: loss {history[i]:f}" for i in (0, 100)]


@pytest.mark.parametrize("name", ["softmax.npy", "softmax.pt", "softmax.h5", "weights"])
def test_saved_weights_come_back(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    X, y = blobs(30)
    classifier = Softmax(seed=0)
    classifier.train(X, y, num_iters=3)
    classifier.save(name)
    assert capsys.readouterr().out == f"{name} saved.\n"
    assert os.listdir() == [name]
    other = Softmax()
    other.load(tmp_path / name)
    np.testing.assert_array_equal(other.W, classifier.W)
    np.testing.assert_array_equal(other.predict(X), classifier.predict(X))


def test_files_of_something_else_raise(tmp_path):
    weights_io.save(tmp_path / "net.npy", {"W1": np.ones((2, 2))})
    with pytest.raises(ValueError, match=r"Softmax.load: the file lacks the key 'W'"):
        Softmax().load(tmp_path / "net.npy")
    with open(tmp_path / "pickled.npy", "wb") as file:
        np.savez(file, W=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"contains no named arrays \(.W. has the dtype object"):
        Softmax().load(tmp_path / "pickled.npy")
    weights_io.save(tmp_path / "flat.npy", {"W": np.ones(3)})
    with pytest.raises(ValueError, match=r"LinearSVM.load: W.shape = \(3,\) has 1 axes; expected \(D, K\)"):
        LinearSVM().load(tmp_path / "flat.npy")


def test_a_loss_that_is_not_finite_stops_training(backend):
    X, y = blobs(30)
    for make in CLASSES:
        with pytest.raises(
            FloatingPointError, match=rf"^{make.__name__}.train: loss = \w+ in iteration \d+ with learning_rate=1e\+300"
        ):
            make(seed=0).train(1e10 * X, y, learning_rate=1e300, reg=1.0, on_nonfinite="raise")
    with pytest.raises(
        FloatingPointError, match=r"loss = nan in iteration 0 .*; lower learning_rate or reg, and check"
    ):
        train_linear_classifier(svm_loss_vectorized, None, X * np.nan, y, on_nonfinite="raise")


def test_a_loss_that_is_not_finite_ends_training_with_a_warning(backend):
    X, y = blobs(30)
    for make in CLASSES:
        classifier = make(seed=0)
        with pytest.warns(RuntimeWarning, match=rf"^{make.__name__}.train: loss = \w+ in iteration \d+ ") as caught:
            history = classifier.train(1e10 * X, y, learning_rate=1e300, reg=1.0)
        assert [warning.filename for warning in caught] == [__file__]
        assert np.isfinite(history).tolist() == [True] * (len(history) - 1) + [False]
        assert classifier.predict(X).shape == (30,)
        np.testing.assert_array_equal(classifier.W, 0.001 * rng.generator(0).standard_normal((5, 3)))
    with pytest.warns(RuntimeWarning, match=r"^train_linear_classifier: loss = nan in iteration 0 ") as caught:
        W, history = train_linear_classifier(svm_loss_vectorized, np.ones((5, 3)), X * np.nan, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert np.isnan(history).tolist() == [True]
    assert (W == 1).all()


def test_weights_of_the_lowest_loss_come_back():
    """The weights come from an iteration divisible by 100, before the loss became NaN or infinite."""
    X, y, seen = *blobs(30), []

    def loss(W, X, y, reg):
        seen.append(W.copy())
        return {100: 0.5, 200: 0.25, 300: 0.375, 350: np.inf}.get(len(seen) - 1, 1.0), np.ones_like(W)

    with pytest.warns(RuntimeWarning, match="loss = inf in iteration 350 with learning_rate=0.5"):
        W, history = train_linear_classifier(loss, None, X, y, 0.5, num_iters=1000, seed=0)
    assert len(history) == 351
    np.testing.assert_array_equal(W, seen[200])


def test_initial_weights_of_the_courses():
    X, y = blobs(30)
    W, _ = train_linear_classifier(svm_loss_vectorized, None, X, y, num_iters=0, seed=4)
    np.testing.assert_array_equal(W, 1e-6 * rng.generator(4).standard_normal((5, 3)))
    classifier = LinearSVM(seed=4)
    classifier.train(X, y, num_iters=0)
    np.testing.assert_array_equal(classifier.W, 1e-3 * rng.generator(4).standard_normal((5, 3)))


def test_functional_forms(backend):
    X, y = blobs(2100)
    given = np.zeros((5, 3))
    W, history = train_linear_classifier(svm_loss_vectorized, given, X, y, 0.1, 1e-4, 30, 20, seed=0)
    assert len(history) == 30
    assert history[0] == 2.0  # K - 1, of weights that are 0
    assert not given.any()
    expected = np.argmax(X @ W, axis=1)
    np.testing.assert_array_equal(predict_linear_classifier(W, X), expected)
    np.testing.assert_array_equal(predict_linear_classifier(np.rint(100 * W).astype(int), X), expected)
    assert predict_linear_classifier(W, X[:0]).shape == (0,)


def test_sample_batch():
    X, y = np.arange(20).reshape(10, 2), np.arange(10)
    np.random.seed(0)
    X_batch, y_batch = sample_batch(X, y, 6, 50)
    np.testing.assert_array_equal(X_batch, X[y_batch])
    assert set(y_batch) == set(range(6))
    np.random.seed(0)
    np.testing.assert_array_equal(y_batch, np.random.choice(6, 50))
    np.testing.assert_array_equal(sample_batch(X, y, 10, 5, seed=1)[1], sample_batch(X, y, 10, 5, seed=1)[1])


def test_one_set_of_hyperparameters(backend):
    X, y = blobs(60)
    data = {"X_train": X, "y_train": y, "X_val": X[:10], "y_val": (y[:10] + (np.arange(10) < 5)) % 3, "X_test": X}
    given = LinearSVM(seed=0)
    classifier, train_acc, val_acc = linear_classifier.test_one_param_set(given, data, 0.1, 1e-4, num_iters=60)
    assert classifier is given
    assert (train_acc, val_acc) == (1.0, 0.5)
    assert not linear_classifier.test_one_param_set.__test__


def test_the_loss_of_a_custom_classifier_is_used():
    class Nearest(LinearClassifier):
        def loss(self, X, y, reg):
            rows = X - self.W.T[y]
            dW = np.zeros_like(self.W)
            np.add.at(dW.T, y, -2 * rows)
            return np.sum(rows**2), dW

    X, y = blobs(90)
    classifier = Nearest(seed=0)
    classifier.train(X, y, learning_rate=0.01, num_iters=200, batch_size=20)
    np.testing.assert_allclose(classifier.W, 3 * np.eye(5, 3), atol=0.3)
    with pytest.raises(NotImplementedError, match="LinearClassifier: loss is missing; expected loss"):
        LinearClassifier().train(X, y)


ERRORS = [
    (lambda X, y: LinearSVM().predict(X), ValueError, "LinearSVM.predict: there are no weights, W=None"),
    (lambda X, y: Softmax().loss(X, y, 0.0), ValueError, "Softmax.loss: there are no weights"),
    (lambda X, y: Softmax().save("never"), ValueError, "Softmax.save: there are no weights"),
    (lambda X, y: Softmax().train(X[:, :, None], y), ValueError, r"Softmax.train: X.shape = \(9, 5, 1\) and y.shape"),
    (lambda X, y: Softmax().train(X, y[1:]), ValueError, "data has 9 rows in X and 8 in y; expected as many labels"),
    (lambda X, y: Softmax().train(X[:0], y[:0]), ValueError, "data has 0 rows in X and 0 in y; .* at least one"),
    (lambda X, y: Softmax().train(X + 1j, y), TypeError, "Softmax.train: X is an array of complex128 .*real"),
    (lambda X, y: Softmax().train(X, y - 1), ValueError, "y contains the label -1"),
    (lambda X, y: Softmax().train(X, y, learning_rate=-1), ValueError, "Softmax.train: learning_rate=-1 is out of"),
    (lambda X, y: Softmax().train(X, y, reg=-1), ValueError, "Softmax.train: reg=-1 is out of range"),
    (lambda X, y: Softmax().train(X, y, num_iters=1.5), ValueError, "Softmax.train: num_iters=1.5 is not an integer"),
    (lambda X, y: Softmax().train(X, y, batch_size=0), ValueError, "Softmax.train: batch_size=0 is out of range"),
    (lambda X, y: sample_batch(X, y, 10, 2), ValueError, "num_train=10 is out of range; expected .* at most 9"),
    (lambda X, y: predict_linear_classifier(np.ones(5), X), ValueError, "predict_linear_classifier: W.shape = "),
    (lambda X, y: predict_linear_classifier(np.ones((5, 0)), X), ValueError, r"W.shape = \(5, 0\) is empty"),
    (lambda X, y: linear_classifier.test_one_param_set(Softmax(), {}, 1, 1), ValueError, "lacks the key 'X_train'"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(*blobs(9))
