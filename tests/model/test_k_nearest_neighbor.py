"""KNearestNeighbor: the three ways to compute distances, votes, ties, and the figures of the course's notebook."""

import os
import tracemalloc

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.classifiers import KNearestNeighbor
from fastnn.data_utils import load_CIFAR10

WAYS = ("two_loops", "one_loop", "no_loops")
DTYPES = [np.float32, np.float64, np.uint8]


def trained(X, y):
    classifier = KNearestNeighbor()
    classifier.train(X, y)
    return classifier


def draw(num_train=30, num_test=12, D=20, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    X, X_test = (generator.integers(0, 256, (count, D)).astype(dtype) for count in (num_train, num_test))
    return X, generator.integers(0, 4, num_train), X_test


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_three_ways_agree(backend, dtype):
    X, y, X_test = draw(dtype=dtype)
    classifier = trained(X, y)
    wide = X.astype(np.float64), X_test.astype(np.float64)
    expected = [[np.linalg.norm(image - other) for other in wide[0]] for image in wide[1]]
    for way in WAYS:
        distances = getattr(classifier, f"compute_distances_{way}")(X_test)
        assert (distances.shape, distances.dtype) == ((12, 30), np.float64)
        np.testing.assert_allclose(distances, expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_agree_for_every_number_of_loops(backend, dtype):
    X, y, X_test = draw(dtype=dtype)
    X[5] = X[20] = X_test[3]
    classifier = trained(X, y)
    distances = classifier.compute_distances_no_loops(X_test)
    for k in (1, 2, 5, 30):
        expected = classifier.predict_labels(distances, k)
        assert expected.dtype == np.int64
        for num_loops in (0, 1, 2):
            np.testing.assert_array_equal(classifier.predict(X_test, k, num_loops), expected)
    assert classifier.predict(X_test)[3] == y[5]
    assert classifier.predict(X_test[:0]).shape == (0,)


def test_votes_worked_by_hand(backend):
    """Of equally frequent labels the smallest wins, of equally near images the first ones count."""
    classifier = trained([[0.0], [1.0], [2.0], [4.0], [-1.0]], [7, 3, 3, 7, 2])
    for num_loops in (0, 1, 2):

        def predicted(image, k, num_loops=num_loops):
            return classifier.predict([[image]], k=k, num_loops=num_loops).tolist()

        assert predicted(0.0, 1) == [7]
        assert predicted(0.0, 2) == [3]  # 7 and 3, since image 1 comes before image 4
        assert predicted(0.0, 3) == [2]  # 7, 3 and 2
        assert predicted(0.0, 4) == [3]
        assert predicted(0.0, 5) == [3]  # 7 twice, 3 twice
        assert predicted(3.0, 2) == [3]  # 3 and 7
    assert classifier.predict_labels([[5, 4, 3, 2, 1], [0, 0, 0, 0, 0]], k=1).tolist() == [2, 7]


def test_labels_may_be_large(backend):
    assert trained([[0.0], [1.0]], [10**12, 5]).predict([[0.2], [0.9]]).tolist() == [10**12, 5]


def test_predict_never_holds_all_distances():
    X, y, X_test = draw(num_train=6000, num_test=3000, D=2, dtype=np.float32)
    classifier = trained(X, y)
    with fastnn.use_backend("njit" if "njit" in AVAILABLE else "vectorized"):
        classifier.predict(X_test, k=3)
        tracemalloc.start()
        try:
            classifier.predict(X_test, k=3)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < len(X) * len(X_test) * 4 / 2


@pytest.mark.skipif("FASTNN_DATA" not in os.environ, reason="needs CIFAR-10 in the folder $FASTNN_DATA")
def test_figures_of_the_notebook():
    """5,000 training and 500 test images of CIFAR-10: an accuracy near 0.27, a bit higher with more neighbours.

    Which images are the first ones depends on the order of the files; one standard error is 0.02.
    """
    X_train, y_train, X_test, y_test = load_CIFAR10()
    X, y = X_train[:5000].reshape(5000, -1), y_train[:5000]
    images, targets = X_test[:500].reshape(500, -1), y_test[:500]
    classifier = trained(X, y)
    dists = classifier.compute_distances_no_loops(images)
    assert dists.shape == (500, 5000)
    one = classifier.compute_distances_one_loop(images[:50])
    two = classifier.compute_distances_two_loops(images[:5])
    assert f"{np.linalg.norm(dists[:50] - one):f}" == "0.000000"
    assert f"{np.linalg.norm(dists[:5] - two):f}" == "0.000000"
    accuracy = {}
    for k in (1, 5, 10):
        predicted = classifier.predict_labels(dists, k)
        np.testing.assert_array_equal(classifier.predict(images, k), predicted)
        accuracy[k] = np.mean(predicted == targets)
    assert 0.22 < accuracy[1] < 0.32
    assert 0.25 < max(accuracy.values()) < 0.34


# ---- errors ----


def test_errors_before_and_after_training(backend):
    classifier = KNearestNeighbor()
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.predict: there are no training images, X_train=None; "):
        classifier.predict(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.predict_labels: there are no training images"):
        classifier.predict_labels(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.train: X.shape = \(0, 3\) is empty"):
        classifier.train(np.ones((0, 3)), [])
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.train: y.shape = \(1,\) does not fit"):
        classifier.train(np.ones((2, 3)), [0])
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.train: X.shape = \(2, 3, 4, 3\) has 4 axes"):
        classifier.train(np.ones((2, 3, 4, 3)), [0, 1])
    classifier.train(np.ones((2, 3)), [0, 1])
    for way in WAYS:
        with pytest.raises(
            ValueError, match=rf"^KNearestNeighbor.compute_distances_{way}: X.shape = \(1, 4\) does not"
        ):
            getattr(classifier, f"compute_distances_{way}")(np.ones((1, 4)))
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.predict: k=3 is out of range; expected at least 1 and at"):
        classifier.predict(np.ones((1, 3)), k=3)
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.predict: num_loops=3 is out of range"):
        classifier.predict(np.ones((1, 3)), num_loops=3)
    with pytest.raises(ValueError, match=r"^KNearestNeighbor.predict_labels: dists.shape = \(1, 3\) has 3 columns"):
        classifier.predict_labels(np.ones((1, 3)))
