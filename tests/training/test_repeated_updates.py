"""Updates of the same parameters in every step: the bits of `optim.update`, and its checks if anything changes."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import optim, use_backend
from fastnn.kernels.updates import repeated
from fastnn.optim.repeated import Repeated

SHAPES = {"W": (70, 90), "b": (90,), "scalar": (1,)}


def numbers(seed, dtype="float32"):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def run(update, rule, dtype="float32", steps=5, change=None, config=None):
    params = numbers(0, dtype)
    configs = {name: {"learning_rate": 1e-2, **(config or {})} for name in params}
    for step in range(steps):
        if change is not None:
            change(step, params, configs)
        update(optim.RULES[rule], params, numbers(step + 1, dtype), configs)
    return params, configs


def assert_same_bits(first, second):
    (params, configs), (others, other_configs) = first, second
    for name in params:
        assert params[name].tobytes() == others[name].tobytes()
        assert configs[name].keys() == other_configs[name].keys()
        for key, value in configs[name].items():
            np.testing.assert_array_equal(value, other_configs[name][key])
            assert type(value) is type(other_configs[name][key])


@pytest.fixture
def planned(monkeypatch, backend):
    """The number of steps that were made by a plan, as a list of one number."""
    count, make = [0], repeated.repeated

    def counted(rule, w, state):
        step = make(rule, w, state)

        def called(dw, constants):
            count[0] += 1
            step(dw, constants)

        return None if step is None else called

    monkeypatch.setattr(repeated, "repeated", counted)
    return count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", optim.RULES)
def test_the_bits_of_update(planned, backend, rule, dtype):
    options = {"config": {"weight_decay": 1e-2}}
    assert_same_bits(run(Repeated(), rule, dtype, **options), run(optim.update, rule, dtype, **options))
    assert planned == [4 if backend == "njit" else 0]


def other_rate(step, params, configs):
    for config in configs.values():
        config["learning_rate"] = 1e-2 / (step + 1)


def one_rate(step, params, configs):
    configs["W"]["learning_rate"] = 1e-2 / (step + 1)


def other_array(step, params, configs):
    if step == 2:
        params["W"] = params["W"].copy()


def view(step, params, configs):
    if step == 2:
        params["W"] = np.concatenate([params["W"], params["W"]])[:70]


def fortran(step, params, configs):
    if step == 2:
        params["W"] = np.asfortranarray(params["W"])


def other_state(step, params, configs):
    if step == 2:
        configs["W"]["m"] = configs["W"]["m"] * 2


def other_count(step, params, configs):
    if step == 2:
        configs["b"]["t"] = 7


def other_config(step, params, configs):
    if step == 2:
        configs["b"] = dict(configs["b"])


CHANGES = [other_rate, one_rate, other_array, view, fortran, other_state, other_count, other_config]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_steps(planned, change):
    assert_same_bits(run(Repeated(), "adam", change=change), run(optim.update, "adam", change=change))


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("bad", [True, np.True_])
def test_a_rate_of_another_type_is_seen_though_it_is_equal(planned, rule, bad):
    def change(step, params, configs):
        for config in configs.values():
            config["learning_rate"] = 1 if step < 3 else bad

    with pytest.raises(TypeError) as expected:
        run(optim.update, rule, change=change)
    with pytest.raises(TypeError) as actual:
        run(Repeated(), rule, change=change)
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize("rate", [1e-42, 1e-300, 3e38, 1e300])
def test_rates_that_float32_does_not_have_give_no_warnings(planned, rate):
    with np.errstate(all="raise"):
        plans = run(Repeated(), "adam", config={"learning_rate": rate})
    assert_same_bits(plans, run(optim.update, "adam", config={"learning_rate": rate}))


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf, "fast", True, None])
def test_bad_hyperparameters_raise_as_in_update(planned, bad):
    def change(step, params, configs):
        if step == 3:
            for config in configs.values():
                config["learning_rate"] = bad

    with pytest.raises((ValueError, TypeError)) as expected:
        run(optim.update, "adam", change=change)
    with pytest.raises(expected.type) as actual:
        run(Repeated(), "adam", change=change)
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize("make", [lambda w: w, lambda w: w[:], lambda w: w.reshape(-1).reshape(w.shape)])
def test_gradients_that_share_memory_with_parameters_raise(planned, make):
    params, update = numbers(0), Repeated()
    configs = {name: {"learning_rate": 1e-2} for name in params}
    for seed in range(2):
        update(optim.RULES["sgd"], params, numbers(seed), configs)
    before = copy.deepcopy(params)
    with pytest.raises(ValueError, match="share memory"):
        update(optim.RULES["sgd"], params, {**numbers(3), "W": make(params["W"])}, configs)
    for name in params:
        np.testing.assert_array_equal(params[name], before[name])


@pytest.mark.parametrize(
    "gradient",
    [np.ones((70, 90)), np.ones((90, 70), np.float32).T, np.ones((140, 90), np.float32)[::2], [[1] * 90] * 70],
)
def test_other_gradients(planned, gradient):
    results = []
    for update in (Repeated(), optim.update):
        params = numbers(0)
        configs = {name: {"learning_rate": 1e-2} for name in params}
        for seed in range(3):
            update(optim.RULES["sgd_momentum"], params, numbers(seed), configs)
        update(optim.RULES["sgd_momentum"], params, {**numbers(4), "W": gradient}, configs)
        results.append((params, configs))
    assert_same_bits(*results)


def test_missing_gradients_and_read_only_parameters_raise(planned):
    params, update = numbers(0), Repeated()
    configs = {name: {"learning_rate": 1e-2} for name in params}
    for seed in range(2):
        update(optim.RULES["sgd"], params, numbers(seed), configs)
    with pytest.raises(ValueError, match="grads lacks 'b'"):
        update(optim.RULES["sgd"], params, {name: dw for name, dw in numbers(1).items() if name != "b"}, configs)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_updates_its_own_arrays(planned, copied):
    params, update = numbers(0), Repeated()
    configs = {name: {"learning_rate": 1e-2} for name in params}
    for seed in range(3):
        update(optim.RULES["adam"], params, numbers(seed), configs)
    others = copied((update, params, configs))
    before = copy.deepcopy(params)
    others[0](optim.RULES["adam"], others[1], numbers(5), others[2])
    for name in params:
        np.testing.assert_array_equal(params[name], before[name])
    update(optim.RULES["adam"], params, numbers(5), configs)
    assert_same_bits((params, configs), others[1:])


def test_another_backend_between_steps():
    params, update = numbers(0), Repeated()
    configs = {name: {"learning_rate": 1e-2} for name in params}
    for name in ("njit", "njit", "vectorized", "vectorized"):
        with use_backend(name):
            update(optim.RULES["sgd"], params, numbers(1), configs)
    expected = {name: value - 4e-2 * numbers(1)[name] for name, value in numbers(0).items()}
    for name in params:
        np.testing.assert_allclose(params[name], expected[name], rtol=1e-5, atol=1e-6)
