"""Update rules: figures of the notebooks, parity with PyTorch's optimizers, config, out and inputs."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import optim
from fastnn.gradient_check import rel_error
from fastnn.kernels.updates import rules

RULES = sorted(optim.RULES)


def course_arrays():
    w = np.linspace(-0.4, 0.6, 20).reshape(4, 5)
    dw = np.linspace(-0.6, 0.4, 20).reshape(4, 5)
    return w, dw


def spread(start, stop):
    return np.linspace(start, stop, 20).reshape(4, 5)


def test_sgd_momentum_figure(backend):
    config = {"learning_rate": 1e-3, "velocity": spread(0.6, 0.9)}
    next_w, returned = optim.sgd_momentum(*course_arrays(), config=config)
    assert returned is config
    assert rel_error(next_w[0, 0], 0.1406) < 1e-8
    assert rel_error(config["velocity"][0, 0], 0.5406) < 1e-8


def test_rmsprop_figure(backend):
    config = {"learning_rate": 1e-2, "cache": spread(0.6, 0.9)}
    next_w, _ = optim.rmsprop(*course_arrays(), config=config)
    assert rel_error(next_w[0, 0], -0.39223849) < 5e-8
    assert rel_error(config["cache"][0, 0], 0.5976) < 1e-8


def test_adam_figure(backend):
    config = {"learning_rate": 1e-2, "m": spread(0.6, 0.9), "v": spread(0.7, 0.5), "t": 5}
    next_w, _ = optim.adam(*course_arrays(), config=config)
    assert rel_error(next_w[0, 0], -0.40094747) < 5e-8
    assert rel_error(config["m"][0, 0], 0.48) < 1e-8
    assert rel_error(config["v"][0, 0], 0.69966) < 1e-8
    assert config["t"] == 6


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("sgd", {"learning_rate": 1e-2}),
        ("sgd_momentum", {"learning_rate": 1e-2, "momentum": 0.9}),
        ("nesterov", {"learning_rate": 1e-2, "momentum": 0.9}),
        ("rmsprop", {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}),
        ("adagrad", {"learning_rate": 1e-2, "epsilon": 1e-8}),
        ("adam", {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 1}),
        ("adamw", {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 1, "weight_decay": 1e-2}),
    ],
)
def test_missing_keys_get_the_defaults(backend, rule, expected):
    w, dw = course_arrays()
    _, config = optim.RULES[rule](w, dw)
    actual = {key: value for key, value in config.items() if not isinstance(value, np.ndarray)}
    assert actual == {"weight_decay": 0.0} | expected
    assert all(config[key].shape == w.shape and config[key].dtype == w.dtype for key in optim.STATE[rule])


NUMBERS = {"learning_rate": 0.1, "momentum": 0.8, "decay_rate": 0.9, "epsilon": 1e-6, "beta1": 0.8, "beta2": 0.9}


@pytest.mark.parametrize("decay", [0, 0.2])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rules.RULES[rule].torch])
def test_five_steps_agree_with_torch(backend, rule, decay):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    peer = rules.RULES[rule].torch
    config = {name: value for name, value in NUMBERS.items() if name in optim.DEFAULTS[rule]} | {"weight_decay": decay}
    generator = np.random.default_rng(3)
    w = generator.standard_normal((3, 4))
    parameter = torch.tensor(w, requires_grad=True)
    optimiser = getattr(torch.optim, peer.name)([parameter], **peer.arguments(config))
    for _ in range(5):
        dw = generator.standard_normal((3, 4))
        w, config = optim.RULES[rule](w, dw, config)
        parameter.grad = torch.tensor(dw)
        optimiser.step()
    np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_in_place_is_the_same_update(backend, rule, dtype):
    w, dw = (array.astype(dtype) for array in course_arrays())
    before, gradient = w.copy(), dw.copy()
    expected, config = optim.RULES[rule](w, dw)
    assert expected.dtype == dtype
    assert expected is not w
    np.testing.assert_array_equal(w, before)
    expected, _ = optim.RULES[rule](expected, dw, config)

    actual, config = optim.RULES[rule](w, dw, out=w)
    assert actual is w
    optim.RULES[rule](w, dw, config, out=w)
    np.testing.assert_array_equal(w, expected)
    np.testing.assert_array_equal(dw, gradient)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not optim.DEFAULTS[rule]["weight_decay"]])
def test_a_config_from_before_weight_decay_goes_on(backend, rule):
    w, dw = course_arrays()
    _, config = optim.RULES[rule](w, dw)
    old = {key: copy.deepcopy(value) for key, value in config.items() if key != "weight_decay"}
    expected, _ = optim.RULES[rule](w, dw, config)
    actual, old = optim.RULES[rule](w, dw, old)
    np.testing.assert_array_equal(actual, expected)
    assert old["weight_decay"] == 0


@pytest.mark.parametrize("rule", RULES)
def test_unknown_keys_raise(backend, rule):
    w, dw = course_arrays()
    with pytest.raises(ValueError, match=rf"{rule}: config\['learningrate'\] is unknown.*did you mean 'learning_rate'"):
        optim.RULES[rule](w, dw, {"learningrate": 1e-3})


@pytest.mark.parametrize("rule", RULES)
def test_an_update_that_fails_changes_nothing(backend, rule):
    w, dw = course_arrays()
    _, config = optim.RULES[rule](w, dw)
    before, config_before = w.copy(), copy.deepcopy(config)
    with pytest.raises(ValueError, match=r"shape"):
        optim.RULES[rule](w, dw[:2], config, out=w)
    np.testing.assert_array_equal(w, before)
    for key, value in config_before.items():
        np.testing.assert_array_equal(config[key], value)


def test_clipping_scales_all_gradients_alike():
    gradients = {"w": np.array([[3.0, 0.0]], np.float32), "b": np.array([4.0], np.float32)}
    actual, norm = optim.clip_by_norm(gradients, 2.5)
    assert norm == pytest.approx(5)
    np.testing.assert_allclose(actual["w"], [[1.5, 0]])
    np.testing.assert_allclose(actual["b"], [2])
    assert actual["w"].dtype == np.float32
    np.testing.assert_array_equal(gradients["w"], [[3, 0]])
    assert optim.clip_by_norm(gradients, 5.0)[0] is gradients


def test_find_names_the_nearest_rule():
    assert optim.find("Solver", "adam") is optim.adam
    assert optim.find("Solver", abs) is abs
    with pytest.raises(ValueError, match=r"Solver: update_rule='adma' is unknown.*did you mean 'adam'"):
        optim.find("Solver", "adma")


def test_config_is_checked_and_copied():
    config = {"learning_rate": 1.0}
    actual = optim.checked_config("Solver", optim.sgd, config)
    assert actual == config
    assert actual is not config
    assert optim.checked_config("Solver", abs, {"anything": 1}) == {"anything": 1}
    with pytest.raises(ValueError, match=r"Solver: optim_config\['momentun'\] is unknown.*did you mean 'momentum'"):
        optim.checked_config("Solver", optim.nesterov, {"momentun": 0.9})


def test_rules_are_pickled_by_name():
    assert pickle.loads(b"cfastnn.optim\nsgd\n.") is optim.sgd  # as written while fastnn.optim was one file
    for rule in optim.RULES.values():
        assert pickle.loads(pickle.dumps(rule)) is rule
