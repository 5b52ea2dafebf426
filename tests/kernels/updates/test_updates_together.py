"""Tests of updating many parameters in one call of `fastnn.kernels.updates` or `fastnn.optim.update`."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.updates import RULES, draw, each_rule

import fastnn
from fastnn import optim
from fastnn.kernels import updates

DTYPES = [np.float32, np.float64]
SHAPES = [(3, 4), (), (0, 2), (4096,), (5000, 2), (1,)]
anything = settings(max_examples=10)
each_name = pytest.mark.parametrize("name", optim.RULES)


def columns(rule, shapes, dtypes=(np.float32,), seed=0):
    """Return w, dw and the state of every parameter, as lists."""
    rows = [draw(rule, shape, dtypes[position % len(dtypes)], seed + position) for position, shape in enumerate(shapes)]
    return [list(column) for column in zip(*rows, strict=True)]


def varied(rule, count):
    """Return different hyperparameters for each parameter; the first one has no weight decay."""
    numbers = {}
    for name, value in RULES[rule][1].items():
        scale = range(1, count + 1) if name == "t" else np.linspace(0 if name == "weight_decay" else 0.5, 1, count)
        numbers[name] = [value * float(factor) if name != "t" else value * factor for factor in scale]
    return numbers


def update_one_by_one(rule, arrays, out, numbers):
    for position, row in enumerate(zip(*arrays, out, strict=True)):
        rule(*row, **{name: value[position] if isinstance(value, list) else value for name, value in numbers.items()})


def assert_same_bits(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@anything
@given(
    rule=st.sampled_from(list(RULES)),
    shapes=st.lists(st.one_of(array_shapes(min_dims=0, max_dims=3, min_side=0), st.sampled_from(SHAPES)), max_size=4),
    dtypes=st.sampled_from([DTYPES[:1], DTYPES[1:], DTYPES]),
    in_place=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_lists_give_bitwise_the_results_of_one_by_one(backend, rule, shapes, dtypes, in_place, seed):
    if backend == "naive":
        shapes = [shape for shape in shapes if np.prod(shape) < 100]
    for numbers in (RULES[rule][1], varied(rule, len(shapes))):
        arrays = columns(rule, shapes, dtypes, seed) if shapes else [[] for _ in range(2 + RULES[rule][0])]
        expected = copy.deepcopy(arrays)
        outs = [
            values[0] if in_place else [np.full_like(w, np.nan) for w in values[0]] for values in (arrays, expected)
        ]
        update_one_by_one(rule, expected, outs[1], numbers)
        assert rule(*arrays, outs[0], **numbers) is None
        for actual, wanted in zip((*arrays, outs[0]), (*expected, outs[1]), strict=True):
            assert_same_bits(actual, wanted)


@each_rule
def test_results_do_not_depend_on_the_number_of_threads(rule):
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    results = []
    for count in (1, 2, 4):
        arrays = columns(rule, [(100, 1000), (7,), (300, 301), (5,)])
        with threads.use_num_threads(count), fastnn.use_backend("njit"):
            rule(*arrays, arrays[0], **RULES[rule][1])
        results.append([array.tobytes() for column in arrays for array in column])
    assert results[0] == results[1] == results[2]


@each_rule
def test_parameters_that_share_memory_are_updated_in_their_order(backend, rule):
    def apply(together):
        (w,), (dw, other), *state = columns(rule, [(9,), (9,)])[0][:1], *columns(rule, [(9,), (9,)])[1:]
        shared, out = np.tile(w, 2), np.empty(9, np.float32)
        tied = [shared[:9], shared[3:12]], [dw, other], *state, [shared[:9], shared[3:12]]
        chained = [w, out], [dw, other], *copy.deepcopy(state), [out, shared[9:]]
        for arrays in (tied, chained):
            if together:
                rule(*arrays, **RULES[rule][1])
            else:
                update_one_by_one(rule, arrays[:-1], arrays[-1], RULES[rule][1])
        return shared, out

    assert_same_bits(apply(together=True), apply(together=False))


@each_rule
def test_an_error_in_one_parameter_changes_none(backend, rule):
    count = 2 + RULES[rule][0]
    arrays = columns(rule, [(3,), (2, 2), (4,)])
    before, numbers = copy.deepcopy(arrays), RULES[rule][1]
    wrong = [([*arrays[1][:2], np.ones(5)], ValueError, r"dw\[2\].shape = \(5,\) does not fit; expected \(4,\)")]
    wrong.append((arrays[1][:2], ValueError, r"len\(dw\) = 2 does not fit; expected 3, one for each parameter"))
    wrong.append((np.ones(3), TypeError, "dw is of type ndarray, but w is a list; expected a list of arrays"))
    wrong.append(([*arrays[1][:2], arrays[0][2]], ValueError, r"dw\[2\] and out\[2\] share memory"))
    for dw, error, message in wrong:
        with pytest.raises(error, match=f"^{rule.__name__}: {message}"):
            rule(arrays[0], dw, *arrays[2:], arrays[0], **numbers)
    for position in range(2, count):
        state = [list(column) for column in arrays[2:]]
        state[position - 2][2] = state[position - 2][2].astype(np.float64)
        with pytest.raises(TypeError, match=rf"^{rule.__name__}: \w+\[2\].dtype = float64 cannot be updated in place"):
            rule(*arrays[:2], *state, arrays[0], **numbers)
    for rates, message in (
        ([0.1] * 2, "len.learning_rate. = 2 does not fit"),
        ([0.1, 0.1, -1], r"learning_rate\[2\]=-1"),
    ):
        with pytest.raises(ValueError, match=f"^{rule.__name__}: {message}"):
            rule(*arrays, arrays[0], **(numbers | {"learning_rate": rates}))
    for actual, expected in zip(arrays, before, strict=True):
        assert_same_bits(actual, expected)


def test_lists_of_numbers_are_for_lists_of_arrays(backend):
    with pytest.raises(TypeError, match=r"^sgd_update: learning_rate=\[0.1\] is not a number"):
        updates.sgd_update(np.ones(2), np.ones(2), np.ones(2), [0.1])


# ---- fastnn.optim.update ----


def model(dtype=np.float64):
    generator = np.random.default_rng(2)
    shapes = {"W1": (5, 4), "b1": (4,), "W2": (4, 3), "b2": ()}
    params = {name: np.asarray(generator.standard_normal(shape), dtype) for name, shape in shapes.items()}
    params["W2"] = np.asfortranarray(params["W2"])
    return params, {name: np.asarray(generator.standard_normal(shape), dtype) for name, shape in shapes.items()}


@each_name
def test_update_is_the_rule_for_each_parameter(backend, name):
    rule, (params, grads) = optim.RULES[name], model()
    expected, same = copy.deepcopy(params), dict(params)
    configs = {key: {"learning_rate": 0.1 * position} for position, key in enumerate(params)}
    before, expected_configs = dict(configs), copy.deepcopy(configs)
    for _ in range(3):
        optim.update(rule, params, grads, configs)
        for key, w in expected.items():
            expected[key], expected_configs[key] = rule(w, grads[key], expected_configs[key])
    assert all(params[key] is same[key] for key in params if key != "W2")
    assert params["W2"] is not same["W2"]  # it cannot be updated in place
    for key in params:
        assert configs[key] is before[key]
        assert list(configs[key]) == list(expected_configs[key])
        np.testing.assert_array_equal(params[key], expected[key])
        for field, value in expected_configs[key].items():
            np.testing.assert_array_equal(configs[key][field], value)


def test_update_with_a_user_defined_rule(backend):
    params, grads = model()
    expected = {key: params[key] - 0.5 * grads[key] for key in params}
    configs = {key: {} for key in params}
    optim.update(lambda w, dw, config: (w - 0.5 * dw, {"calls": 1}), params, grads, configs)
    for key in params:
        np.testing.assert_array_equal(params[key], expected[key])
        assert configs[key] == {"calls": 1}
    optim.update(optim.sgd, params, grads, {})
    np.testing.assert_array_equal(params["W1"], expected["W1"])


@each_name
def test_update_changes_nothing_if_it_fails(backend, name):
    params, grads = model()
    configs = {key: {} for key in params}
    optim.update(optim.RULES[name], params, grads, configs)
    before, configs_before = copy.deepcopy(params), copy.deepcopy(configs)
    for wrong in ({"b2": np.ones(3)}, {"b1": np.ones(4, complex)}):
        with pytest.raises((ValueError, TypeError), match=r"dw\[\d\]"):
            optim.update(optim.RULES[name], params, grads | wrong, configs)
    configs["b2"]["learning_rate"] = -1
    with pytest.raises(ValueError, match=r"learning_rate\[3\]=-1 is out of range"):
        optim.update(optim.RULES[name], params, grads, configs)
    configs["b2"] |= {"learning_rate": configs_before["b2"]["learning_rate"], "momentun": 1}
    with pytest.raises(ValueError, match=r"config\['momentun'\] is unknown"):
        optim.update(optim.RULES[name], params, grads, configs)
    del configs["b2"]["momentun"]
    for key in params:
        np.testing.assert_array_equal(params[key], before[key])
        for field, value in configs_before[key].items():
            np.testing.assert_array_equal(configs[key][field], value)
