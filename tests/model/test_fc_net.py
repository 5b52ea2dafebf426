"""FullyConnectedNet: figures of the notebooks, gradient checks, dropout by seed, overfitting a few images."""

import functools

import numpy as np
import pytest

import fastnn
from fastnn import layers, nn
from fastnn.classifiers import FullyConnectedNet
from fastnn.gradient_check import eval_numerical_gradient
from fastnn.solver import Solver


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        (None, {0: 2.300479089768492, 3.14: 7.052114776533016}),
        ("batchnorm", {0: 2.2611955101340957, 3.14: 6.996533220108303}),
    ],
)
def test_losses_of_the_notebooks(backend, normalization, expected):
    np.random.seed(231)
    X, y = np.random.randn(2, 15), np.random.randint(10, size=(2,))
    for reg, loss in expected.items():  # all networks are drawn from one random stream, as in the notebooks
        model = FullyConnectedNet(
            [20, 30],
            input_dim=15,
            num_classes=10,
            reg=reg,
            weight_scale=5e-2,
            dtype=np.float64,
            normalization=normalization,
        )
        assert model.loss(X, y)[0] == pytest.approx(loss, rel=1e-14)


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("keep", [1, 0.75])
def test_gradients(backend, normalization, keep):
    np.random.seed(231)
    X, y = np.random.randn(4, 2, 3), np.random.randint(3, size=4)
    model = FullyConnectedNet([7, 8], 6, 3, keep, normalization, 0.7, 0.5, np.float64, seed=123)
    for name in ("b1", "b2"):  # else a ReLU without kept inputs is at its kink
        model.params[name] = np.random.randn(*model.params[name].shape)
    _, grads = model.loss(X, y)
    assert list(grads) == list(model.params)
    for name, value in model.params.items():
        some = value.reshape(-1)[::3]
        expected = eval_numerical_gradient(lambda _: model.loss(X, y)[0], some, verbose=False)
        np.testing.assert_allclose(grads[name].reshape(-1)[::3], expected, rtol=1e-5, atol=1e-8)


def test_names_shapes_and_initial_values():
    np.random.seed(231)
    model = FullyConnectedNet([20, 30], input_dim=15, normalization="batchnorm", dropout_keep_ratio=0.5)
    np.random.seed(231)
    shapes = {}
    for number, (inputs, outputs) in enumerate(((15, 20), (20, 30), (30, 10)), start=1):
        expected = np.random.normal(0, 1e-2, (inputs, outputs)).astype(np.float32)
        np.testing.assert_array_equal(model.params[f"W{number}"], expected)
        shapes |= {f"W{number}": (inputs, outputs), f"b{number}": (outputs,)}
        assert not model.params[f"b{number}"].any()
        if number < 3:
            shapes |= {f"gamma{number}": (outputs,), f"beta{number}": (outputs,)}
            np.testing.assert_array_equal(model.params[f"gamma{number}"], 1)
            assert not model.params[f"beta{number}"].any()
    assert {name: value.shape for name, value in model.params.items()} == shapes
    assert list(model.params) == list(shapes)
    assert model.regularized == ("W1", "W2", "W3")
    assert all(value.dtype == np.float32 for value in model.params.values())


def test_layers():
    def kinds(*arguments, **options):
        return [type(layer) for layer in FullyConnectedNet(*arguments, **options).layers]

    assert kinds([]) == [nn.Linear]
    assert kinds((7,)) == [nn.Linear, nn.ReLU, nn.Linear]
    full = kinds([7, 8], normalization="layernorm", dropout_keep_ratio=0.5)
    assert full == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    assert FullyConnectedNet([7], dropout_keep_ratio=0.75).layers[2].p == 0.25


def test_a_generator_for_the_weights_leaves_the_global_state_alone():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = FullyConnectedNet([4], 3, dropout_keep_ratio=0.5, generator=5)
    second = FullyConnectedNet([4], 3, dropout_keep_ratio=0.5, generator=np.random.default_rng(5))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(first.params["W1"], second.params["W1"])
    assert first.buffers["2.key"] == second.buffers["2.key"]


@pytest.mark.parametrize("normalization", ["batchnorm", "layernorm"])
def test_running_variances_begin_at_0_as_in_the_course(normalization):
    model = FullyConnectedNet([4, 5], 3, normalization=normalization, generator=0)
    running = {name: value for name, value in model.buffers.items() if "running" in name}
    assert len(running) == (4 if normalization == "batchnorm" else 0)
    assert not any(value.any() for value in running.values())
    assert nn.BatchNorm1d(4).buffers["running_var"].all()


def test_one_step_gives_a_tenth_of_the_variance(backend):
    """As `bn_param` in the course: running_var = 0.9 * 0 + 0.1 * var."""
    X, y = np.random.default_rng(0).standard_normal((6, 3)), np.arange(6) % 2
    model = FullyConnectedNet([4], 3, 2, normalization="batchnorm", dtype=np.float64, generator=0)
    model.loss(X, y)
    np.testing.assert_allclose(model.buffers["1.running_var"], 0.1 * (X @ model.params["W1"]).var(axis=0))


@pytest.mark.parametrize("solver_seed", [None, 5])
def test_a_run_with_an_int_seed_can_be_resumed_exactly(tmp_path, solver_seed):
    """Although every forward pass sets NumPy's global state, from which a Solver without a seed draws too."""
    X, y = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}

    def solver(**options):
        np.random.seed(0)
        model = FullyConnectedNet([6, 5], 3, 2, 0.5, seed=3, generator=1, normalization="batchnorm")
        options = {"update_rule": "adam", "num_train_samples": 10, "verbose": False, "seed": solver_seed, **options}
        return Solver(model, data, batch_size=4, num_epochs=4, **options)

    def save(one):
        if one.iteration == 7:
            one.save(tmp_path / "run.h5")
            raise KeyboardInterrupt

    expected = solver()
    expected.train()
    interrupted = solver(callbacks=[save])
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    np.random.seed(99)
    resumed = Solver.resume(tmp_path / "run.h5", data, callbacks=[])
    assert isinstance(resumed.model, FullyConnectedNet)
    resumed.train()
    assert resumed.loss_history == expected.loss_history
    for name, value in expected.model.params.items():
        np.testing.assert_array_equal(resumed.model.params[name], value)


def test_an_int_seed_draws_as_the_layer_function(backend):
    X, y = np.random.default_rng(0).standard_normal((3, 5)), np.array([0, 1, 2])
    model = FullyConnectedNet([20], 5, 3, 0.5, weight_scale=0.5, dtype=np.float64, generator=1, seed=3)
    W1, b1, W2, b2 = model.params.values()
    hidden = np.maximum(X @ W1 + b1, 0)
    hidden, _ = layers.dropout_forward(hidden, {"mode": "train", "p": 0.5, "seed": 3})
    expected = np.random.rand()
    assert model.loss(X, y)[0] == pytest.approx(layers.softmax_loss(hidden @ W2 + b2, y)[0])
    assert np.random.rand() == expected
    with pytest.raises(ValueError, match="FullyConnectedNet: seed=4294967296 is out of range"):
        FullyConnectedNet([20], seed=2**32)


def test_an_int_seed_fixes_the_masks(backend):
    X, y = np.random.default_rng(0).standard_normal((3, 5)), np.array([0, 1, 2])
    make = functools.partial(FullyConnectedNet, [20, 20], 5, 3, 0.5, weight_scale=0.5, dtype=np.float64, generator=1)
    fixed, varying = make(seed=3), make()
    assert fixed.loss(X, y)[0] == fixed.loss(X, y)[0] == make(seed=3).loss(X, y)[0]
    assert fixed.loss(X, y)[0] != make(seed=4).loss(X, y)[0]
    assert fixed.buffers["2.key"] == fixed.buffers["5.key"] == 3  # as with dropout_param["seed"]
    losses = [varying.loss(X, y)[0] for _ in range(3)]
    assert len(set(losses)) == 3
    with fastnn.use_backend("naive"):
        again = make()
        np.testing.assert_allclose([again.loss(X, y)[0] for _ in range(3)], losses, rtol=1e-12)
    np.testing.assert_allclose(fixed.loss(X), varying.loss(X))  # scores have no dropout


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_fifty_images_can_be_overfitted(normalization):
    generator = np.random.default_rng(1)
    X, y = generator.standard_normal((50, 3, 8, 8)), np.arange(50) % 10
    model = FullyConnectedNet([50, 50], 192, normalization=normalization, weight_scale=0.05, generator=2)
    solver = Solver(
        model,
        {"X_train": X, "y_train": y, "X_val": X, "y_val": y},
        update_rule="adam",
        optim_config={"learning_rate": 5e-3},
        num_epochs=20,
        batch_size=25,
        verbose=False,
        seed=2,
    )
    solver.train()
    assert solver.best_val_acc == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"hidden_dims": 5}, TypeError, "FullyConnectedNet: hidden_dims=5 is not a list"),
        ({"hidden_dims": [5, 0]}, ValueError, "FullyConnectedNet: hidden_dims=0 is out of range"),
        ({"weight_scale": -1}, ValueError, "FullyConnectedNet: weight_scale=-1 is out of range"),
        ({"dropout_keep_ratio": 0}, ValueError, "FullyConnectedNet: dropout_keep_ratio=0 is out of range"),
        ({"dropout_keep_ratio": 1.1}, ValueError, r"FullyConnectedNet: dropout_keep_ratio=1\.1 is out of range"),
        (
            {"normalization": "batch_norm"},
            ValueError,
            r"FullyConnectedNet: normalization='batch_norm' is unknown; .*did you mean 'batchnorm'",
        ),
    ],
)
def test_faulty_arguments(options, error, message):
    with pytest.raises(error, match=message):
        FullyConnectedNet(**{"hidden_dims": [5], **options})
