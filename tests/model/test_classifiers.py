"""The course's classifiers: figures of the notebooks, gradient checks, and overfitting a few images."""

import numpy as np
import pytest

from fastnn.classifiers import ThreeLayerConvNet, TwoLayerNet
from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.solver import Solver


def test_two_layer_net_initial_values():
    np.random.seed(231)
    model = TwoLayerNet(input_dim=5, hidden_dim=50, num_classes=7, weight_scale=1e-3)
    np.random.seed(231)
    np.testing.assert_array_equal(model.params["W1"], np.random.normal(scale=1e-3, size=(5, 50)))
    np.testing.assert_array_equal(model.params["W2"], np.random.normal(scale=1e-3, size=(50, 7)))
    assert not model.params["b1"].any()
    assert not model.params["b2"].any()


def course_net():
    model = TwoLayerNet(input_dim=5, hidden_dim=50, num_classes=7, weight_scale=1e-3)
    model.params["W1"] = np.linspace(-0.7, 0.3, num=5 * 50).reshape(5, 50)
    model.params["b1"] = np.linspace(-0.1, 0.9, num=50)
    model.params["W2"] = np.linspace(-0.3, 0.4, num=50 * 7).reshape(50, 7)
    model.params["b2"] = np.linspace(-0.9, 0.1, num=7)
    return model, np.linspace(-5.5, 4.5, num=15).reshape(5, 3).T, np.asarray([0, 5, 1])


def test_two_layer_net_figures(backend):
    model, X, y = course_net()
    scores = model.loss(X)
    expected = [
        [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
        [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
        [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
    ]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-8)
    assert model.loss(X, y)[0] == pytest.approx(3.4702243556, abs=1e-10)
    model.reg = 1.0
    assert model.loss(X, y)[0] == pytest.approx(26.5948426952, abs=1e-10)


def test_two_layer_net_gradients(backend):
    model, X, y = course_net()
    model.reg = 0.7
    _, grads = model.loss(X, y)
    for name, value in model.params.items():
        some = slice(None, None, 7)
        expected = eval_numerical_gradient(lambda _: model.loss(X, y)[0], value.reshape(-1)[some], verbose=False)
        assert rel_error(expected, grads[name].reshape(-1)[some]) < 1e-6


def test_two_layer_net_flattens_images(backend):
    model = TwoLayerNet(input_dim=12, hidden_dim=4, num_classes=3, dtype=np.float32, seed=0)
    X = np.random.default_rng(0).standard_normal((2, 3, 2, 2))
    np.testing.assert_array_equal(model.loss(X), model.loss(X.reshape(2, 12)))
    assert model.loss(X).dtype == np.float32


def test_three_layer_conv_net_initial_values():
    np.random.seed(231)
    model = ThreeLayerConvNet(input_dim=(2, 6, 8), num_filters=4, filter_size=3, hidden_dim=5, num_classes=3)
    np.random.seed(231)
    for name, shape in (("W1", (4, 2, 3, 3)), ("W2", (4 * 3 * 4, 5)), ("W3", (5, 3))):
        expected = np.random.normal(scale=1e-3, size=shape).astype(np.float32)
        np.testing.assert_array_equal(model.params[name], expected)
    assert list(model.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert all(value.dtype == np.float32 for value in model.params.values())


def test_three_layer_conv_net_figures(backend):
    np.random.seed(231)
    model = ThreeLayerConvNet()
    X, y = np.random.randn(1, 3, 32, 32), np.random.randint(10, size=1)
    loss, _ = model.loss(X, y)
    assert loss == pytest.approx(2.302586, abs=1e-3)
    model.reg = 0.5
    scores_loss, _ = model.loss(X, y)
    assert scores_loss == pytest.approx(2.508, abs=2e-3)


def test_save_prints_the_course_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, other = (TwoLayerNet(12, 4, 3, seed=seed) for seed in (0, 1))
    model.save("best_two_layer_net.npy")
    assert capsys.readouterr().out == "best_two_layer_net.npy saved.\n"
    other.load(tmp_path / "best_two_layer_net.npy")
    np.testing.assert_array_equal(other.params["W1"], model.params["W1"])


@pytest.mark.parametrize("use_batchnorm", [False, True])
def test_three_layer_conv_net_gradients(backend, use_batchnorm):
    np.random.seed(231)
    X, y = np.random.randn(2, 3, 16, 16), np.random.randint(10, size=2)
    model = ThreeLayerConvNet(
        num_filters=3,
        filter_size=3,
        input_dim=(3, 16, 16),
        hidden_dim=7,
        weight_scale=0.1,
        reg=0.1,
        dtype=np.float64,
        use_batchnorm=use_batchnorm,
    )
    _, grads = model.loss(X, y)
    generator = np.random.default_rng(0)
    for name, value in model.params.items():
        for place in generator.choice(value.size, 3):
            index = np.unravel_index(place, value.shape)
            before = value[index]
            value[index] = before + 1e-6
            above = model.loss(X, y)[0]
            value[index] = before - 1e-6
            below = model.loss(X, y)[0]
            value[index] = before
            expected = (above - below) / 2e-6
            assert rel_error(expected, grads[name][index]) < 1e-4 or abs(expected - grads[name][index]) < 1e-9


def test_three_layer_conv_net_with_batch_norm():
    np.random.seed(3)
    plain = ThreeLayerConvNet((2, 6, 8), 4, 3, 5, 3)
    np.random.seed(3)
    model = ThreeLayerConvNet((2, 6, 8), 4, 3, 5, 3, use_batchnorm=True)
    names = ["W1", "b1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3"]
    assert list(model.params) == names
    assert [model.params[name].shape for name in names[2:4] + names[6:8]] == [(4,), (4,), (5,), (5,)]
    assert model.regularized == plain.regularized == ("W1", "W2", "W3")
    for name, value in plain.params.items():
        np.testing.assert_array_equal(model.params[name], value)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    model.loss(np.random.randn(2, 2, 6, 8), np.array([0, 1]))
    assert model.buffers["1.num_batches_tracked"] == model.buffers["6.num_batches_tracked"] == 1


def test_even_filters_and_odd_images(backend):
    model = ThreeLayerConvNet(input_dim=(1, 7, 10), num_filters=2, filter_size=4, hidden_dim=3, num_classes=4, seed=0)
    assert model.params["W2"].shape == (2 * 3 * 4, 3)
    assert model.loss(np.zeros((2, 1, 7, 10))).shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"input_dim": (3, 32)},
            r"ThreeLayerConvNet: input_dim=\(3, 32\) is not a shape; expected a tuple of 3 lengths",
        ),
        ({"input_dim": (3, 1, 8)}, r"ThreeLayerConvNet: input_dim=\(3, 1, 8\) is too small for filter_size=7"),
        ({"filter_size": 0}, "ThreeLayerConvNet: filter_size=0 is out of range"),
        ({"weight_scale": -1}, "ThreeLayerConvNet: weight_scale=-1 is out of range"),
    ],
)
def test_faulty_sizes(options, message):
    with pytest.raises(ValueError, match=message):
        ThreeLayerConvNet(**options)
    with pytest.raises(ValueError, match="TwoLayerNet: weight_scale=-1 is out of range"):
        TwoLayerNet(weight_scale=-1)


def few_images(count, shape, classes):
    generator = np.random.default_rng(1)
    X, y = generator.standard_normal((count, *shape)), np.arange(count) % classes
    return {"X_train": X, "y_train": y, "X_val": X, "y_val": y}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: TwoLayerNet(12, 20, 3, weight_scale=0.1, seed=0), (3, 2, 2)),
        (
            lambda: ThreeLayerConvNet((3, 4, 4), 4, 3, 10, 3, weight_scale=0.3, dtype=np.float64, seed=0),
            (3, 4, 4),
        ),
        (
            lambda: ThreeLayerConvNet((3, 4, 4), 4, 3, 10, 3, 0.3, dtype=np.float64, use_batchnorm=True, seed=0),
            (3, 4, 4),
        ),
    ],
)
def test_few_images_can_be_overfitted(backend, make, shape):
    data = few_images(9, shape, 3)
    solver = Solver(
        make(),
        data,
        update_rule="adam",
        optim_config={"learning_rate": 2e-2},
        num_epochs=15,
        batch_size=3,
        num_train_samples=None,
        verbose=False,
        seed=2,
    )
    solver.train()
    assert solver.best_val_acc == 1
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == 1


def test_saved_nets_come_back(tmp_path):
    model, _, _ = course_net()
    model.save(tmp_path / "two_layer_net.npy")
    other = TwoLayerNet(5, 50, 7)
    other.load(tmp_path / "two_layer_net.npy")
    np.testing.assert_array_equal(other.params["W1"], model.params["W1"])
    with pytest.raises(ValueError, match=r"TwoLayerNet\.params: 'W1' has shape \(5, 50\); expected \(5, 40\)"):
        TwoLayerNet(5, 40, 7).load(tmp_path / "two_layer_net.npy")
