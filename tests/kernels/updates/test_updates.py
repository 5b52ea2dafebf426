"""Tests of `fastnn.kernels.updates`: every backend against the naive loops, these against known values and PyTorch."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.updates import (
    RECORDS,
    RULES,
    check_against_the_loops,
    check_the_figures_of_the_course,
    check_without_weight_decay,
    draw,
    each_rule,
    updated,
)

from fastnn import optim
from fastnn.kernels import updates
from fastnn.kernels.updates import rules
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
PENALISED = [
    rule for rule, record in RECORDS.items() if not record.decoupled
]  # rules whose weight decay is part of the gradient
anything = settings(max_examples=15)


@each_rule
def test_records_describe_the_contract(rule):
    record = RECORDS[rule]
    assert list(inspect.signature(rule).parameters) == ["w", "dw", *record.state, "out", *record.hyperparameters]
    assert set(record.not_negative) <= set(record.state)
    assert record.torch is None or set(record.torch.state) == set(record.state)


def test_there_is_a_record_for_every_rule():
    public = [name for name, _ in inspect.getmembers(updates, inspect.isfunction) if not name.startswith("_")]
    assert {rule.__name__ for rule in RULES} == set(public)
    assert list(optim.RULES) == list(rules.RULES)


@each_rule
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (), (1,), (7, 11, 13), (20_011,)], ids=str)
def test_every_backend_agrees_with_the_loops(backend, rule, dtype, shape):
    for decay in (0.0, 0.1):
        check_against_the_loops(rule, decay, shape, dtype)


@anything
@given(
    rule=st.sampled_from(list(RULES)),
    shape=array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
    decay=st.sampled_from([0.0, 1e-4, 2.0]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_backend_agrees_on_any_shape(backend, rule, shape, decay, dtype, seed):
    against_naive(updated(rule, weight_decay=decay), *draw(rule, shape, dtype, seed))


@pytest.mark.parametrize("rule", PENALISED, ids=lambda rule: rule.__name__)
def test_weight_decay_is_part_of_the_gradient(backend, rule):
    w, dw, *state = draw(rule, (9,), np.float64)
    expected = updated(rule, weight_decay=0)(w, dw + 0.3 * w, *state)
    assert_same(updated(rule, weight_decay=0.3)(w, dw, *state), expected)
    without = {name: value for name, value in RULES[rule][1].items() if name != "weight_decay"}
    rule(w, dw + 0.3 * w, *state, w, **without)  # the default is no weight decay
    assert_same((w, *state), expected)


@each_rule
def test_without_weight_decay_the_state_does_not_depend_on_the_weights(backend, rule):
    check_without_weight_decay(rule)


@each_rule
def test_gradients_in_any_layout_and_dtype(backend, rule):
    w, dw, *state = draw(rule, (4, 6), np.float32)
    expected = updated(rule)(w, dw, *state)
    wide = np.repeat(dw, 2, axis=1)[:, ::2]
    for seen in (np.asfortranarray(dw), wide, dw.astype(np.float64), dw.tolist()):
        assert_same(updated(rule)(w, seen, *state), expected)
    whole = np.ones((4, 6), np.int64)
    assert_same(updated(rule)(w, whole, *state), updated(rule)(w, whole.astype(np.float32), *state))
    fortran = np.asfortranarray(w)
    out = np.empty_like(w)
    rule(fortran, dw, *[array.copy() for array in state], out, **RULES[rule][1])
    assert_same(out, expected[0])


@each_rule
def test_nan_does_not_spread_to_other_elements(backend, rule):
    w, dw, *state = draw(rule, (5,), np.float64)
    dw[2] = np.nan
    for result in updated(rule)(w, dw, *state):
        assert np.isnan(result).tolist() == [False, False, True, False, False]


def test_memory_maps_are_updated(backend, tmp_path):
    w = np.memmap(tmp_path / "w", np.float32, "w+", shape=(3,))
    w[:] = 1
    updates.sgd_update(w, np.ones(3), w, 0.25)
    assert w.tolist() == [0.75] * 3
    del w


def test_integer_weights_are_computed_in_float64(backend):
    out = np.empty(2)
    updates.sgd_update([1, 2], [1, 1], out, 0.5)
    assert out.tolist() == [0.5, 1.5]


def test_the_figures_of_the_course(backend):
    check_the_figures_of_the_course()


def test_numbers_worked_by_hand(backend):
    w, dw, out = np.array([1.0, -2.0]), np.array([0.5, 3.0]), np.empty(2)
    updates.sgd_update(w, dw, out, 0.1)
    assert_same(out, np.array([0.95, -2.3]))
    updates.sgd_update(w, dw, out, 0.1, 0.5)  # gradients 1, 2
    assert_same(out, np.array([0.9, -2.2]))
    velocity = np.array([1.0, 0.0])
    updates.nesterov_update(w, dw, velocity, out, 0.1, 0.5)  # velocity 0.45, -0.3
    assert_same(velocity, np.array([0.45, -0.3]))
    assert_same(out, np.array([1 - 0.5 + 1.5 * 0.45, -2 - 1.5 * 0.3]))
    cache = np.array([0.0, 16.0])
    updates.adagrad_update(w, dw, cache, out, 0.1, 1.0)  # roots 0.5, 5
    assert_same(cache, np.array([0.25, 25.0]))
    assert_same(out, np.array([1 - 0.05 / 1.5, -2 - 0.3 / 6]))
    m, v = np.zeros(2), np.zeros(2)
    updates.adamw_update(w, dw, m, v, out, 1, 0.1, 0.9, 0.99, 1.0, 0.2)  # the corrected moments are dw and dw**2
    assert_same((m, v), (np.array([0.05, 0.3]), np.array([0.0025, 0.09])))
    assert_same(out, np.array([1 - 0.1 * (0.5 / 1.5 + 0.2), -2 - 0.1 * (3 / 4 - 0.4)]))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", [rule for rule in RULES if RECORDS[rule].torch], ids=lambda rule: rule.__name__)
def test_three_steps_agree_with_torch(backend, rule, decay):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    count, numbers = RULES[rule][0], RULES[rule][1] | {"weight_decay": decay}
    start, gradients = np.random.default_rng(0).standard_normal(7), np.random.default_rng(1).standard_normal((3, 7))
    w, state = start.copy(), [np.zeros(7) for _ in range(count)]
    tensor, peer = torch.tensor(start, requires_grad=True), RECORDS[rule].torch
    optimizer = getattr(torch.optim, peer.name)([tensor], **peer.arguments(numbers))
    for t, gradient in enumerate(gradients, 1):
        rule(w, gradient, *state, w, **(numbers | {"t": t} if "t" in numbers else numbers))
        tensor.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-12)
    scale = {"velocity": -numbers["learning_rate"]}  # PyTorch multiplies by the rate in the step
    for (name, theirs), actual in zip(peer.state.items(), state, strict=True):
        np.testing.assert_allclose(actual, scale.get(name, 1) * optimizer.state[tensor][theirs].numpy(), rtol=1e-12)


def test_nesterov_follows_the_look_ahead_form(backend):
    """w is the look-ahead point `position + momentum * velocity` of Nesterov's formula."""
    position, velocity = np.array([3.0, -1.0]), np.zeros(2)
    w, state = position.copy(), np.zeros(2)
    for _ in range(5):
        ahead = position + 0.9 * velocity
        np.testing.assert_allclose(w, ahead, rtol=1e-14)
        updates.nesterov_update(w, 2 * w, state, w, 0.1, 0.9)
        velocity = 0.9 * velocity - 0.1 * 2 * ahead
        position = position + velocity


def arguments(rule):
    w, dw, *state = draw(rule, (3,), np.float64)
    return w, dw, state, np.empty(3), dict(RULES[rule][1])


WRITTEN_ERRORS = [
    (lambda w: w.tolist(), TypeError, r"=\[.*\] cannot be updated in place; expected a NumPy array of float64"),
    (lambda w: w.astype(np.float32), TypeError, ".dtype = float32 cannot be updated in place"),
    (lambda w: w.astype(">f8"), TypeError, ".dtype = >f8 cannot be updated in place"),
    (lambda w: w[:2].copy(), ValueError, r".shape = \(2,\) does not fit; expected \(3,\)"),
    (lambda w: np.repeat(w, 2)[::2], ValueError, " cannot be updated in place: c_contiguous=False"),
    (lambda w: np.frombuffer(w.tobytes()), ValueError, " cannot be updated in place: .*writeable=False"),
    (lambda w: np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float64), ValueError, " .*aligned=False"),
]


@each_rule
@pytest.mark.parametrize(("wrong", "error", "message"), WRITTEN_ERRORS)
def test_arrays_that_cannot_be_written_are_rejected(backend, rule, wrong, error, message):
    for position, name in enumerate((*RECORDS[rule].state, "out")):
        w, dw, state, out, numbers = arguments(rule)
        written = [*state, out]
        written[position] = wrong(w)
        before = w.copy()
        with pytest.raises(error, match=f"^{rule.__name__}: {name}{message}"):
            rule(w, dw, *written, **numbers)
        np.testing.assert_array_equal(w, before)


@each_rule
def test_arrays_that_share_memory_are_rejected(backend, rule):
    w, dw, state, out, numbers = arguments(rule)
    with pytest.raises(ValueError, match=f"^{rule.__name__}: dw and out share memory"):
        rule(w, dw, *state, dw, **numbers)
    long = np.zeros(4)
    with pytest.raises(ValueError, match=f"^{rule.__name__}: w and out share memory"):
        rule(long[1:], dw, *state, long[:3], **numbers)
    rule(long[1:], dw, *state, long[1:], **numbers)  # out may be w itself
    rule(w, w, *state, out, **numbers)  # neither is written
    for position in range(len(state)):
        for other in (w, dw, out, *state[:position]):
            sharing = list(state)
            sharing[position] = other
            with pytest.raises(ValueError, match=f"^{rule.__name__}: .* share memory"):
                rule(w, dw, *sharing, out, **numbers)


NUMBER_ERRORS = [
    ({"learning_rate": -1}, ValueError, "learning_rate=-1 is out of range; expected at least 0"),
    ({"learning_rate": np.nan}, ValueError, "learning_rate=nan is not finite"),
    ({"learning_rate": None}, TypeError, "learning_rate=None is not a number"),
    ({"momentum": 1}, ValueError, "momentum=1 is out of range; expected at least 0 and less than 1"),
    ({"decay_rate": -0.1}, ValueError, "decay_rate=-0.1 is out of range"),
    ({"epsilon": 0}, ValueError, "epsilon=0 is out of range; expected more than 0"),
    ({"t": 0}, ValueError, "t=0 is out of range; expected at least 1"),
    ({"t": 1.5}, ValueError, "t=1.5 is not an integer"),
    ({"beta1": 1.0}, ValueError, "beta1=1.0 is out of range"),
    ({"beta2": "0.9"}, TypeError, "beta2='0.9' is not a number"),
    ({"weight_decay": -1e-4}, ValueError, "weight_decay=-0.0001 is out of range; expected at least 0"),
    ({"weight_decay": None}, TypeError, "weight_decay=None is not a number"),
]


@pytest.mark.parametrize(
    ("rule", "wrong", "error", "message"),
    [(rule, *case) for rule in RULES for case in NUMBER_ERRORS if case[0].keys() <= RULES[rule][1].keys()],
)
def test_numbers_out_of_range_are_rejected(backend, rule, wrong, error, message):
    w, dw, state, out, numbers = arguments(rule)
    with pytest.raises(error, match=f"^{rule.__name__}: {message}"):
        rule(w, dw, *state, out, **(numbers | wrong))


@each_rule
def test_shapes_and_dtypes_of_the_inputs(backend, rule):
    w, dw, state, out, numbers = arguments(rule)
    with pytest.raises(ValueError, match=rf"^{rule.__name__}: dw.shape = \(2,\) does not fit; expected \(3,\)"):
        rule(w, dw[:2], *state, out, **numbers)
    with pytest.raises(TypeError, match=f"^{rule.__name__}: w.dtype = complex128"):
        rule(w.astype(complex), dw, *state, out, **numbers)
    with pytest.raises(TypeError, match=f"^{rule.__name__}: dw.dtype = object"):
        rule(w, np.array([None] * 3), *state, out, **numbers)
