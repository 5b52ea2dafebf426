"""EECS 498/598's data, nearest neighbours and helpers."""

import importlib
import random
import sys

import numpy as np
import pytest
from cifar10_files import binary_files, fake_cifar10, small_cifar10, write

torch = pytest.importorskip("torch", reason="the course computes on tensors of torch")

from eecs598_data import blobs  # noqa: E402

from fastnn.courses import eecs598  # noqa: E402
from fastnn.courses.eecs598 import (  # noqa: E402
    a2_helpers,
    knn,
    linear_classifier,
    linear_classifier_assignment,
    two_layer_net,
    two_layer_net_assignment,
    utils,
)

ON_THE_CPU = "cannot be used by torch.*computing on the CPU"


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch, one_backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_torch(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("fastnn.courses.eecs598"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"eecs598: torch is not installed; expected it.*; pip install torch"):
        importlib.import_module("fastnn.courses.eecs598")


def test_the_names_of_the_packages():
    assert eecs598.data.cifar10
    assert eecs598.grad.rel_error
    assert eecs598.submit.make_a1_submission
    assert utils.reset_seed is eecs598.reset_seed
    assert linear_classifier_assignment.LinearSVM is linear_classifier.LinearSVM
    assert two_layer_net_assignment.nn_train is two_layer_net.nn_train


def test_reset_seed():
    def drawn():
        eecs598.reset_seed(4)
        return random.random(), torch.rand(1).item(), np.random.rand()

    assert drawn() == drawn()


@pytest.mark.parametrize("module", ["a2_helpers", "a3_helper", "knn", "linear_classifier", "two_layer_net",
                                    "fully_connected_networks", "convolutional_networks"])  # fmt: skip
def test_modules_say_hello(module, capsys):
    found = importlib.import_module(f"fastnn.courses.eecs598.{module}")
    (name,) = (name for name in found.__all__ if name.startswith("hello"))
    getattr(found, name)()
    assert capsys.readouterr().out == f"Hello from {module}.py!\n"


# ---- CIFAR-10 ----


@pytest.fixture
def _cifar10(monkeypatch, tmp_path):
    small_cifar10(monkeypatch)
    write(tmp_path / "data" / "cifar-10-batches-bin", binary_files(*fake_cifar10()))
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_cifar10")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_cifar10(dtype):
    pixels, labels = fake_cifar10()
    x_train, y_train, x_test, y_test = eecs598.data.cifar10(7, 3, x_dtype=dtype)
    tolerance = 1e-3 if dtype == torch.float16 else 1e-7
    for x, y, expected, their in (
        (x_train, y_train, pixels[0][:7], labels[0][:7]),
        (x_test, y_test, pixels[5][:3], labels[5][:3]),
    ):
        assert x.dtype == dtype
        assert y.dtype == torch.int64
        np.testing.assert_allclose(x.double().numpy(), expected / 255, rtol=0, atol=tolerance)
        np.testing.assert_array_equal(y.numpy(), their)
    assert [len(tensor) for tensor in eecs598.data.cifar10()] == [50, 50, 10, 10]
    with pytest.raises(ValueError, match="num_training=51"):
        eecs598.data.cifar10(51)


@pytest.mark.usefixtures("_cifar10")
def test_preprocess_cifar10(capsys, tmp_path):
    raw, _, raw_test, _ = eecs598.data.cifar10(x_dtype=torch.float64)
    data = eecs598.data.preprocess_cifar10(cuda=False, bias_trick=True, dtype=torch.float64)
    assert (tmp_path / "cifar10_examples.png").exists()
    shapes = {name: tuple(tensor.shape) for name, tensor in data.items()}
    assert shapes == {
        "X_train": (40, 3073), "y_train": (40,), "X_val": (10, 3073), "y_val": (10,), "X_test": (10, 3073),
        "y_test": (10,),
    }  # fmt: skip
    mean = raw.mean(dim=(0, 2, 3), keepdim=True)
    everything = torch.cat([data["X_train"], data["X_val"]])
    torch.testing.assert_close(everything[:, :-1], (raw - mean).reshape(50, -1))
    torch.testing.assert_close(data["X_test"][:, :-1], (raw_test - mean).reshape(10, -1))
    assert (everything[:, -1] == 1).all()
    assert capsys.readouterr().out == "cifar10_examples.png saved.\n"


@pytest.mark.usefixtures("_cifar10")
def test_images_and_the_missing_gpu(tmp_path):
    with pytest.warns(RuntimeWarning, match=f"preprocess_cifar10: device='cuda' {ON_THE_CPU}"):
        data = eecs598.data.preprocess_cifar10(show_examples=False, flatten=False, validation_ratio=0.5)
    assert data["X_train"].shape == data["X_val"].shape == (25, 3, 32, 32)
    assert data["X_train"].dtype == torch.float32
    assert data["X_train"].device.type == "cpu"
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bias_trick": True, "flatten": False}, "bias_trick=True needs rows"),
        ({"validation_ratio": 1.0}, "validation_ratio=1.0 is out of range"),
    ],
)
def test_preprocess_cifar10_raises(arguments, message):
    with pytest.raises(ValueError, match=f"preprocess_cifar10: {message}"):
        eecs598.data.preprocess_cifar10(cuda=False, **arguments)


# ---- numeric gradients ----


def test_grad_check_sparse_prints_the_same_elements(capsys):
    x = torch.randn(5, 6, dtype=torch.float64)
    for seed in (1, 2):
        eecs598.reset_seed(seed)
        eecs598.grad.grad_check_sparse(lambda x: (x**3).sum(), x, 3 * x**2, 4)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[:4] == lines[4:]
    assert all(line.startswith("numerical: ") and float(line.split()[-1]) < 1e-6 for line in lines)


def test_compute_numeric_gradient():
    x, dout = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    before = x.clone()
    actual = eecs598.grad.compute_numeric_gradient(lambda x: (x**2).sum(dim=1), x, dout)
    assert eecs598.grad.rel_error(actual, 2 * x * dout[:, None]) < 1e-6
    assert torch.equal(x, before)


def test_rel_error_is_relative_to_the_largest():
    assert eecs598.grad.rel_error(torch.tensor([1.0, 0.0]), torch.tensor([3.0, 1.0])) == 0.5
    assert eecs598.grad.rel_error(torch.zeros(2), torch.zeros(2)) == 0


# ---- nearest neighbours ----


@pytest.mark.parametrize("loops", ["two_loops", "one_loop", "no_loops"])
def test_distances(loops):
    train, test = torch.randn(7, 3, 4, dtype=torch.float64), torch.randn(5, 3, 4, dtype=torch.float64)
    actual = getattr(knn, f"compute_distances_{loops}")(train, test)
    assert isinstance(actual, torch.Tensor)
    expected = torch.cdist(train.flatten(1), test.flatten(1), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    torch.testing.assert_close(actual, expected)


def test_predict_labels():
    dists = torch.tensor([[0.3, 0.4, 0.1], [0.1, 0.5, 0.5], [0.4, 0.1, 0.2], [0.2, 0.2, 0.4], [0.5, 0.3, 0.3]])
    labels = torch.tensor([0, 1, 0, 1, 2])
    assert knn.predict_labels(dists, labels, k=3).tolist() == [1, 0, 0]
    assert knn.predict_labels(dists, labels, k=2).tolist() == [1, 0, 0]  # of 0 and 1, the smaller


def test_knn_classifier(capsys):
    X, y = blobs(dtype=torch.float32)
    classifier = knn.KnnClassifier(X[:40], y[:40])
    expected = knn.predict_labels(knn.compute_distances_two_loops(X[:40], X[40:]), y[:40], 5)
    assert torch.equal(classifier.predict(X[40:], 5), expected)
    assert classifier.check_accuracy(X[40:], y[40:], 5) == 100.0
    assert capsys.readouterr().out == "Got 20 / 20 correct; accuracy is 100.00%\n"
    classifier.check_accuracy(X, y, quiet=True)
    assert capsys.readouterr().out == ""


def test_cross_validation():
    X, y = blobs()
    found = knn.knn_cross_validate(X, y, num_folds=4, k_choices=[1, 40])
    assert {k: len(values) for k, values in found.items()} == {1: 4, 40: 4}
    assert found[1] == [100.0] * 4
    assert knn.knn_get_best_k({5: [1.0, 3.0], 3: [2.0, 2.0], 1: [0.0, 1.0]}) == 3


# ---- pictures and submission ----


def test_pictures(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
    X, y = torch.rand(20, 3, 6, 6), torch.arange(20) % 2
    image = eecs598.visualize_dataset(X, y, 5, ["even", "odd"])
    pyplot.close("all")
    assert image.shape == (2 * 8, 5 * 8, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(
        eecs598.tensor_to_image(torch.tensor([0.0, 0.5, 2.0]).reshape(3, 1, 1)), [[[0, 128, 255]]]
    )
    histories = {"loss_history": [1.0, 0.5], "train_acc_history": [0.1], "val_acc_history": [0.2]}
    assert len(a2_helpers.plot_stats(histories).axes) == 2
    assert len(a2_helpers.plot_acc_curves({1e-3: histories}).axes) == 2
    net = two_layer_net.TwoLayerNet(3072, 4, 3, device="cpu")
    assert a2_helpers.show_net_weights(net).axes
    grid = a2_helpers.visualize_grid(torch.rand(4, 5, 5, 3), padding=1)
    assert grid.shape == (11, 11, 3)
    assert grid.max() == 255


def test_there_is_nothing_to_submit(tmp_path, capsys):
    for number in range(1, 7):
        getattr(eecs598.submit, f"make_a{number}_submission")(tmp_path, None, umid=None)
        assert capsys.readouterr().out.startswith(f"There is nothing to submit for A{number}")
    assert not list(tmp_path.iterdir())
