"""The residual network: its initial weights, gradients, PyTorch's twin, training, files, and the command line."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.classifiers import ResNet
from fastnn.cli import _parser, settings
from fastnn.gradient_check import rel_error
from fastnn.schedules import OneCycle
from fastnn.solver import Solver


def tiny(dtype=np.float64, reg=0.1, label_smoothing=0.1, num_filters=1):
    return ResNet((2, 8, 8), num_filters, 3, reg, label_smoothing, dtype, seed=0)


def images(count=6, dtype=np.float64, size=8):
    generator = np.random.default_rng(1)
    return generator.standard_normal((count, 2, size, size)).astype(dtype), np.arange(count) % 3


def test_it_begins_as_said():
    model = ResNet(seed=0)
    assert sum(array.size for array in model.params.values()) == 468_378
    filters = [array for array in model.params.values() if array.ndim == 4]
    assert [(len(w), w.shape[1]) for w in filters] == [
        (16, 3), (32, 16), (64, 32), (64, 64), (64, 64), (128, 64), (128, 128), (128, 128)
    ]  # fmt: skip
    assert all(w.shape[2:] == (3, 3) for w in filters)
    for w in [*filters[1:], model.params["18.weight"].T]:  # He's variance is 2 / fan_in
        assert w.std() == pytest.approx(np.sqrt(2 / w[0].size), rel=0.05)
        assert abs(w.mean()) < 0.1 * w.std()
    assert {array.dtype for array in model.params.values()} == {np.dtype(np.float32)}
    again, other = ResNet(seed=0), ResNet(seed=1)
    assert all(np.array_equal(model.params[name], again.params[name]) for name in model.params)
    assert not np.array_equal(model.params["0.weight"], other.params["0.weight"])


def test_scores_loss_and_penalty(one_backend):
    X, y = images()
    model = tiny(reg=0.0, label_smoothing=0.0)
    assert model.loss(X).shape == (6, 3)
    loss, grads = model.loss(X, y)
    assert {name: array.shape for name, array in grads.items()} == {n: a.shape for n, a in model.params.items()}
    weights = [array for name, array in model.params.items() if array.ndim in (2, 4)]
    assert len(weights) == 9
    expected = loss + 0.5 * 0.3 * sum(float(np.sum(w * w)) for w in weights)
    assert tiny(reg=0.3, label_smoothing=0.0).loss(X, y)[0] == pytest.approx(expected, rel=1e-12)
    assert tiny(reg=0.0, label_smoothing=0.5).loss(X, y)[0] != pytest.approx(loss, rel=1e-3)


def test_gradients_are_the_numeric_ones(one_backend):
    X, y = images()
    model = tiny()
    _, grads = model.loss(X, y)
    generator = np.random.default_rng(0)
    for name, value in model.params.items():
        for place in generator.choice(value.size, min(value.size, 2), replace=False):
            index, around = np.unravel_index(place, value.shape), []
            before = value[index]
            for step in (1e-6, -1e-6):
                value[index] = before + step
                around.append(model.loss(X, y)[0])
            value[index] = before
            expected, actual = (around[0] - around[1]) / 2e-6, grads[name][index]
            assert rel_error(expected, actual) < 1e-5 or abs(expected - actual) < 1e-9, (name, index)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_every_backend_computes_what_the_naive_loops_do(backend, dtype, rtol):
    X, y = images()
    with fastnn.use_backend("naive"):
        model = tiny(num_filters=2)
        loss, grads = model.loss(X, y)
        expected = {"loss": loss, **grads, **model.buffers, "scores": model.loss(X)}
    model = tiny(dtype, num_filters=2)
    loss, grads = model.loss(X.astype(dtype), y)
    actual = {"loss": loss, **grads, **model.buffers, "scores": model.loss(X.astype(dtype))}
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert name == "loss" or np.asarray(actual[name]).dtype in (dtype, np.int64), name
        np.testing.assert_allclose(actual[name], value, rtol, atol=rtol * np.abs(value).max(), err_msg=name)


def test_it_is_torchs_network_of_the_same_weights(backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    library = torch.nn

    class Block(library.Sequential):
        def forward(self, x):
            return super().forward(x) + x

    class Mean(library.Module):
        def forward(self, x):
            return x.mean((2, 3))

    def convolution(inputs, outputs):
        return library.Conv2d(inputs, outputs, 3, padding=1, bias=False), library.BatchNorm2d(outputs), library.ReLU()

    judge = library.Sequential(
        *convolution(2, 1), *convolution(1, 2), library.MaxPool2d(2),
        *convolution(2, 4), Block(*convolution(4, 4), *convolution(4, 4)), library.MaxPool2d(2),
        *convolution(4, 8), library.MaxPool2d(2), Block(*convolution(8, 8), *convolution(8, 8)),
        Mean(), library.Linear(8, 3),
    ).double()  # fmt: skip
    model, (X, y) = tiny(reg=0.0), images()
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    loss, grads = model.loss(X, y)
    expected = library.functional.cross_entropy(judge(torch.tensor(X)), torch.tensor(y), label_smoothing=0.1)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-10)
    for name, parameter in judge.named_parameters():
        actual = grads[name].T if grads[name].ndim == 2 else grads[name]
        np.testing.assert_allclose(actual, parameter.grad.numpy(), rtol=1e-7, atol=1e-10, err_msg=name)
    model.load_state_dict(judge.state_dict())  # with its running variances, which are without bias
    with torch.no_grad():
        np.testing.assert_allclose(model.loss(X), judge.eval()(torch.tensor(X)).numpy(), rtol=1e-9)


def solver(model, dtype, count, size, **options):
    X, y = images(count, dtype, size)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    options = {"update_rule": "nesterov", "optim_config": {"learning_rate": 0.05}, "sampling": "epoch", **options}
    return Solver(model, data, verbose=False, seed=2, **options), data


def test_few_images_can_be_learnt_by_heart(one_backend):
    model = ResNet((2, 16, 16), 4, 3, seed=0)
    learning, data = solver(model, np.float32, 12, 16, batch_size=6, num_epochs=20)
    learning.train()
    assert learning.loss_history[-1] < 0.1 * learning.loss_history[0]
    assert learning.check_accuracy(data["X_train"], data["y_train"]) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_resumed_run_ends_with_the_same_bits(backend, dtype, tmp_path):
    def save(running):
        if running.iteration == 4:
            running.callbacks = []  # a file can hold none
            running.save(tmp_path / "run.h5")

    options = {"batch_size": 3, "num_epochs": 2, "schedule": OneCycle(), "callbacks": [save]}
    whole, data = solver(tiny(dtype), dtype, 9, 8, **options)
    whole.train()
    resumed = Solver.resume(tmp_path / "run.h5", data)
    assert (resumed.iteration, type(resumed.model)) == (4, ResNet)
    resumed.train()
    assert resumed.loss_history == whole.loss_history
    for actual, expected in ((resumed.model.params, whole.model.params), (resumed.model.buffers, whole.model.buffers)):
        assert list(actual) == list(expected)
        assert all(np.array_equal(actual[name], expected[name]) for name in expected)


def test_saved_weights_come_back(one_backend, tmp_path):
    X, y = images()
    model, other = tiny(), ResNet((2, 8, 8), 1, 3, dtype=np.float64, seed=1)
    model.loss(X, y)  # which moves the running statistics
    model.save(tmp_path / "weights.h5")
    other.load(tmp_path / "weights.h5")
    np.testing.assert_array_equal(other.loss(X), model.loss(X))
    with pytest.raises(ValueError, match=r"ResNet\.params: '0\.weight' has shape"):
        ResNet((2, 8, 8), 2, 3).load(tmp_path / "weights.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_dim": (3, 32)}, r"ResNet: input_dim=\(3, 32\) is not a shape; expected a tuple of 3 lengths"),
        ({"input_dim": (3, 8, 7)}, r"ResNet: input_dim=\(3, 8, 7\) is too small; expected images of at least 8x8"),
        ({"num_filters": 0}, "ResNet: num_filters=0 is out of range"),
        ({"label_smoothing": 1}, "ResNet: label_smoothing=1 is out of range"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**options)


def test_on_the_command_line_it_is_trained_as_residual_networks_are(one_backend):
    def chosen(*arguments):
        return settings.Settings.from_arguments(_parser().parse_args(["train", "--model", "resnet", *arguments]))

    found = chosen("--data", "cifar10")
    assert (found.update_rule, found.learning_rate, found.schedule) == ("nesterov", 0.1, "one-cycle")
    assert (found.batch_size, found.sampling, found.reg, found.augment) == (128, "epoch", 5e-4, True)
    assert not chosen().augment  # shapes have classes that mirror images change
    model = found.build_model(0, {"X_train": np.empty((1, 3, 32, 32))})
    assert repr(model) == repr(ResNet(seed=0))
    assert (model.reg, model.loss_function.keywords) == (5e-4, {"label_smoothing": 0.1})
    assert found.describe_model() == "16 to 8 * 16 filters 3x3"
    assert isinstance(model, nn.Sequential)
