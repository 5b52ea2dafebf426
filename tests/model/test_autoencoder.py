"""The sparse autoencoder: its cost and gradient, and both ways to train it."""

import math

import numpy as np
import pytest

from fastnn.classifiers import SparseAutoencoder
from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.testing import against_naive

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (7, 5))


def small(**options):
    return SparseAutoencoder(5, 3, **{"rho": 0.1, "beta": 3.0, "lambd": 0.2, "seed": 1, **options})


def bars(count=300):
    """Return 6 x 6 images with one bright row or column each: twelve features, which a few units can learn."""
    images = np.full((count, 6, 6), 0.1)
    for image, line in zip(images, np.random.default_rng(0).integers(0, 12, count), strict=True):
        (image if line < 6 else image.T)[line % 6] = 0.9
    return images.reshape(count, 36)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- cost and gradient ----


def test_cost_worked_by_hand(backend):
    model = SparseAutoencoder(1, 1, rho=0.25, beta=2.0, lambd=0.5)
    model.params = {"W1": [[0.0]], "b1": [0.0], "W2": [[2.0]], "b2": [-1.0]}  # hidden 1/2, output sigmoid(0) = 1/2
    cost, grads = model.cost([[0.0], [1.0]])
    divergence = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert cost == pytest.approx((0.25 + 0.25) / 4 + 0.25 * 4.0 + 2 * divergence, rel=1e-14)
    # at the output (o - x) o (1 - o) / N is 1/16 and -1/16; KL' is 0.75/0.5 - 0.25/0.5 = 1
    assert grads["b2"] == pytest.approx(0)
    assert grads["W2"] == pytest.approx(0.5 * 2.0)
    hidden = np.array([2 / 16 + 2 / 2, -2 / 16 + 2 / 2]) / 4
    assert grads["b1"] == pytest.approx(hidden.sum())
    assert grads["W1"] == pytest.approx(hidden[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cost_is_the_formula(backend, dtype):
    model = small(dtype=dtype)
    W1, b1, W2, b2 = (value.astype(np.float64) for value in model.params.values())
    hidden = sigmoid(X @ W1 + b1)
    out = sigmoid(hidden @ W2 + b2)
    mean = hidden.mean(axis=0)
    expected = ((X - out) ** 2).sum() / 14 + 0.1 * ((W1**2).sum() + (W2**2).sum())
    expected += 3.0 * (0.1 * np.log(0.1 / mean) + 0.9 * np.log(0.9 / (1 - mean))).sum()
    cost, grads = model.cost(X)
    assert isinstance(cost, float)
    tolerance = 1e-13 if dtype == np.float64 else 1e-6
    assert cost == pytest.approx(expected, rel=tolerance)
    np.testing.assert_allclose(model.encode(X), hidden, rtol=tolerance)
    np.testing.assert_allclose(model.reconstruct(X), out, rtol=tolerance)
    assert model.reconstruct(X).dtype == model.encode(X).dtype == dtype
    assert {name: (g.shape, g.dtype) for name, g in grads.items()} == {
        name: (value.shape, dtype) for name, value in model.params.items()
    }


@pytest.mark.parametrize(("rho", "beta", "lambd"), [(0.1, 3.0, 0.2), (0.9, 0.5, 1e-4), (0.01, 0.0, 0.0)])
def test_gradient_check(backend, rho, beta, lambd):
    model = small(rho=rho, beta=beta, lambd=lambd)
    _, grads = model.cost(X)
    for name, value in model.params.items():
        expected = eval_numerical_gradient(lambda _: model.cost(X)[0], value, verbose=False)
        assert rel_error(expected, grads[name]) < 1e-7, name


def test_backends_agree(backend):
    model = SparseAutoencoder(36, 10, rho=0.05, beta=3.0, lambd=1e-3, seed=0)
    against_naive(model.cost, bars(53), terms=53)
    for method in (model.encode, model.reconstruct):
        for images in (bars(4), bars(9)[::-2], np.zeros((0, 36)), np.asfortranarray(bars(5))):
            against_naive(method, images, terms=36)
    np.testing.assert_array_equal(model.encode(bars(4).reshape(4, 6, 6)), model.encode(bars(4)))


@pytest.mark.parametrize("bias", [1e3, 40.0, 20.0, -20.0, -40.0, -1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_that_are_always_or_never_active(backend, bias, dtype):
    """The cost of mean activations within 1e-12 of 0 or 1 is limited, with gradient 0."""
    model = small(beta=0.0, dtype=dtype)
    model.params["b1"][:] = bias
    mean = model.encode(X).mean(axis=0, dtype=np.float64)
    plain, plain_grads = model.cost(X)
    model.beta = 3.0
    cost, grads = model.cost(X)
    inside = np.clip(mean, 1e-12, 1 - 1e-12)
    divergence = 0.1 * np.log(0.1 / inside) + 0.9 * np.log(0.9 / (1 - inside))
    assert cost == pytest.approx(plain + 3 * divergence.sum(), rel=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in grads.values())
    same = [(grads[name] == plain_grads[name]).all() for name in grads]
    assert same == ([True] * 4 if (inside != mean).all() else [False, False, True, True])


def test_gradient_check_within_the_bound_and_beyond():
    """Beyond the limit KL is constant."""
    for bias in (-15.0, -35.0):
        model = small()
        model.params["b1"][:] = bias
        _, grads = model.cost(X)
        expected = eval_numerical_gradient(lambda _, model=model: model.cost(X)[0], model.params["b1"], verbose=False)
        np.testing.assert_allclose(grads["b1"], expected, rtol=1e-6, atol=1e-9)
        assert (np.abs(grads["b1"]) > 0.1).all() == (bias == -15.0)


def test_initial_parameters():
    model = SparseAutoencoder(30, 20, rho=0.01, beta=3, lambd=1e-4, seed=0)
    assert {name: value.shape for name, value in model.params.items()} == {
        "W1": (30, 20),
        "b1": (20,),
        "W2": (20, 30),
        "b2": (30,),
    }
    bound = math.sqrt(6 / 50)
    for value in model.params.values():
        assert value.dtype == np.float64
        assert np.abs(value).max() <= bound
    assert model.params["W1"].max() > 0.98 * bound
    assert model.params["W2"].min() < -0.98 * bound
    np.random.seed(231)
    first = SparseAutoencoder(30, 20, 0.01, 3, 1e-4)
    np.random.seed(231)
    np.testing.assert_array_equal(first.params["W1"], np.random.uniform(-bound, bound, (30, 20)))
    assert repr(model) == "SparseAutoencoder(30, 20, rho=0.01, beta=3.0, lambd=0.0001)"


# ---- training ----


def test_lbfgs_ends_below_the_batches(backend):
    images = bars(40 if backend == "naive" else 300)
    iterations, epochs = (15, 5) if backend == "naive" else (200, 60)
    options = {"rho": 0.1, "beta": 1.0, "lambd": 1e-4, "seed": 0}
    batches, lbfgs = SparseAutoencoder(36, 8, **options), SparseAutoencoder(36, 8, **options)
    start, before = lbfgs.cost(images)[0], images.copy()
    costs = batches.train(images, epochs, batch_size=20, learning_rate=1e-2, seed=0)
    assert len(costs) == epochs * len(images) // 20
    history = lbfgs.fit_lbfgs(images, iterations)
    assert history[0] == start
    assert history[-1] == lbfgs.cost(images)[0]
    assert 2 <= len(history) <= iterations + 1
    assert (np.diff(history) <= 0).all()
    assert history[-1] < batches.cost(images)[0] < start
    np.testing.assert_array_equal(images, before)


def test_training_learns_to_tell_the_bars_apart():
    model = SparseAutoencoder(36, 12, rho=0.1, beta=0.3, lambd=1e-5, seed=0)
    model.fit_lbfgs(bars(), 300)
    error = np.abs(model.reconstruct(bars()) - bars()).mean()
    assert error < 0.05 < np.abs(bars() - bars().mean(axis=0)).mean()


@pytest.mark.parametrize(
    "options",
    [
        {"update_rule": "sgd", "learning_rate": 0.1},
        {"update_rule": "nesterov", "learning_rate": 0.03, "momentum": 0.8},
        {"update_rule": lambda w, dw, config: (w - config["learning_rate"] * dw, config), "learning_rate": 0.1},
    ],
    ids=["sgd", "nesterov", "function"],
)
def test_update_rules(options):
    model, again = small(dtype=np.float32), small(dtype=np.float32)
    costs = model.train(X, num_epochs=50, batch_size=3, seed=0, **options)
    assert len(costs) == 100
    assert np.mean(costs[-10:]) < 0.7 * np.mean(costs[:10])
    assert costs == again.train(X, num_epochs=50, batch_size=3, seed=0, **options)


def test_the_first_step_is_one_of_gradient_descent():
    model = small()
    cost, grads = model.cost(X)
    expected = {name: value - 0.25 * grads[name] for name, value in model.params.items()}
    assert model.train(X, 1, batch_size=50, learning_rate=0.25, update_rule="sgd") == pytest.approx([cost])
    for name, value in model.params.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-14)


def test_progress_is_printed_where_asked(capsys):
    model = small()
    costs = model.train(X, 2, batch_size=3, seed=0)
    history = model.fit_lbfgs(X, 20)
    assert capsys.readouterr().out == ""
    model, again = small(), small()
    model.train(X, 2, batch_size=3, seed=0, verbose=True)
    assert capsys.readouterr().out.splitlines() == [
        f"(Epoch 1 / 2) cost: {np.mean(costs[:2]):f}",
        f"(Epoch 2 / 2) cost: {np.mean(costs[2:]):f}",
    ]
    model.fit_lbfgs(X, 20, verbose=True)
    assert capsys.readouterr().out.splitlines()[0] == f"(Iteration 10 / 20) cost: {history[10]:f}"
    assert again.fit_lbfgs(X.astype(np.float32), 3) != history[:4]


def test_lbfgs_computes_in_float64(backend):
    model, wide = small(dtype=np.float32), small()
    wide.params = model.params
    np.testing.assert_allclose(model.fit_lbfgs(X, 10), wide.fit_lbfgs(X, 10), rtol=1e-12)
    for name, value in model.params.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, wide.params[name].astype(np.float32))


def test_an_interrupted_fit_keeps_its_last_iterate(monkeypatch):
    model, whole = small(), small()
    expected = whole.fit_lbfgs(X, 5)
    original, calls = SparseAutoencoder._cost, []

    def interrupted(self, params, images):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return original(self, params, images)

    with monkeypatch.context() as patched:
        patched.setattr(SparseAutoencoder, "_cost", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit_lbfgs(X, 50)
    assert model.cost(X)[0] <= expected[3]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_costs_that_are_not_finite():
    bad = X.copy()
    bad[2, 1] = np.nan
    message = r"cost = nan in iteration 1; expected a finite number; lower learning_rate=0.5, or check that X is finite"
    with pytest.raises(FloatingPointError, match=rf"SparseAutoencoder.train: {message}"):
        small().train(bad, learning_rate=0.5, update_rule="sgd", on_nonfinite="raise")
    model = small()
    before = {name: value.copy() for name, value in model.params.items()}
    with pytest.raises(
        FloatingPointError, match=r"SparseAutoencoder.fit_lbfgs: cost = nan; .*check that X and the par"
    ):
        model.fit_lbfgs(bad)
    for name, value in model.params.items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(
        FloatingPointError, match=r"cost = (inf|nan) in iteration \d+; expected a finite number; lower learning_rate"
    ):
        small().train(X, 50, learning_rate=1e100, update_rule="sgd", on_nonfinite="raise")


def test_a_cost_that_is_not_finite_ends_training_with_a_warning():
    model, expected, count = small(), small(), []  # updates of four parameters, two batches in an epoch

    def explode(w, dw, config):
        count.append(1)
        return (w + np.inf if len(count) > 4 * 2 * 2 else w - 0.1 * dw), config

    costs = expected.train(X, 2, 3, 0.1, "sgd", seed=0)
    with (
        np.errstate(all="ignore"),
        pytest.warns(RuntimeWarning, match=r"SparseAutoencoder.train: cost = inf in iteration 6") as caught,
    ):
        found = model.train(X, 50, 3, 0.1, explode, seed=0)
    assert [warning.filename for warning in caught] == [__file__]
    assert found[-1] == np.inf
    np.testing.assert_allclose(found[: len(costs)], costs)
    assert len(found) == len(costs) + 2
    for name, value in expected.params.items():
        np.testing.assert_allclose(model.params[name], value)


# ---- files and arguments ----


@pytest.mark.parametrize("name", ["auto.npy", "auto.npz", "auto.pt", "auto.h5", "auto"])
def test_save_and_load(tmp_path, name):
    path = str(tmp_path / name)
    model, other = small(), small(seed=2)
    model.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    other.load(path)
    for key, value in model.params.items():
        np.testing.assert_array_equal(other.params[key], value)
    wider = SparseAutoencoder(5, 4, 0.1, 3, 0.2)
    with pytest.raises(ValueError, match=r"SparseAutoencoder.params: 'W1' has shape \(5, 3\); expected \(5, 4\)"):
        wider.load(path)


def test_params_are_assigned_whole():
    with pytest.raises(ValueError, match=r"SparseAutoencoder.params: params lacks the key 'b1'"):
        small().params = {"W1": np.zeros((5, 3))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rho": 0}, "rho=0 is out of range; expected more than 0 and less than 1"),
        ({"rho": 1.0}, "rho=1.0 is out of range"),
        ({"rho": np.nan}, "rho=nan is not finite"),
        ({"beta": -1}, "beta=-1 is out of range; expected at least 0"),
        ({"lambd": -1e-9}, "lambd=-1e-09 is out of range; expected at least 0"),
        ({"lambd": np.inf}, "lambd=inf is not finite"),
        ({"hidden_dim": 0}, "hidden_dim=0 is out of range; expected at least 1"),
        ({"input_dim": 2.5}, "input_dim=2.5 is not an integer"),
        ({"dtype": np.int64}, "dtype=.* is not supported here"),
        ({"beta": "3"}, "beta='3' is not a number"),
    ],
)
def test_arguments_out_of_range(change, message):
    arguments = {"input_dim": 5, "hidden_dim": 3, "rho": 0.1, "beta": 3, "lambd": 0.2, **change}
    with pytest.raises((ValueError, TypeError), match=f"SparseAutoencoder: {message}"):
        SparseAutoencoder(**arguments)


@pytest.mark.parametrize("method", ["cost", "encode", "reconstruct", "train", "fit_lbfgs"])
def test_inputs_of_other_shapes(method):
    call = getattr(small(), method)
    with pytest.raises(ValueError, match=rf"SparseAutoencoder.{method}: X.shape = \(2, 6\) has length 6 on axis 1"):
        call(np.zeros((2, 6)))
    with pytest.raises(ValueError, match=rf"SparseAutoencoder.{method}: X=1.0 is not a batch"):
        call(1.0)
    with pytest.raises(TypeError, match=rf"SparseAutoencoder.{method}: X.dtype = complex128"):
        call(np.zeros((2, 5), complex))
    if method not in ("encode", "reconstruct"):
        with pytest.raises(ValueError, match=rf"SparseAutoencoder.{method}: X.shape = \(0, 5\) is empty"):
            call(np.zeros((0, 5)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_epochs": 0}, "SparseAutoencoder.train: num_epochs=0 is out of range"),
        ({"batch_size": 0}, "SparseAutoencoder.train: batch_size=0 is out of range"),
        ({"learning_rate": -1.0}, r"hyperparameters\[\'learning_rate\'\]=-1.0 is out of range"),
        ({"update_rule": "adams"}, "SparseAutoencoder.train: update_rule='adams' is unknown; .*did you mean 'adam'"),
        ({"momentun": 0.9, "update_rule": "nesterov"}, r"hyperparameters\['momentun'\] is unknown; .*'momentum'"),
    ],
)
def test_training_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        small().train(X, **arguments)
    with pytest.raises(ValueError, match=r"SparseAutoencoder.fit_lbfgs: max_iterations=0 is out of range"):
        small().fit_lbfgs(X, 0)
