"""Optimizers: parity with torch.optim, groups, state, and errors."""

import numpy as np
import pytest

from fastnn import autograd, checkpoint, optim
from fastnn.autograd import Tensor

SHAPES = [(4, 5), (3,), (2, 3, 2), ()]
CASES = {
    "SGD": [
        {}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "weight_decay": 0.1, "nesterov": True},
    ],
    "RMSprop": [{}, {"alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}],
    "Adagrad": [{}, {"lr_decay": 0.3, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}],
    "Adam": [{}, {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}],
    "AdamW": [{}, {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}],
}  # fmt: skip
NAMES = [*CASES, "Lion"]
MOMENTUM = {"lr": 0.1, "momentum": 0.9}


def arrays(seed, dtype=np.float64):
    generator = np.random.default_rng(seed)
    return [np.array(generator.standard_normal(shape), dtype) for shape in SHAPES]


def parameters(dtype=np.float64):
    return [Tensor(value, requires_grad=True) for value in arrays(0, dtype)]


def give_gradients(params, step):
    for p, value in zip(params, arrays(100 + step, params[0].dtype), strict=True):
        p.grad = Tensor(value)


def take_steps(optimizer, params, count=3, first=0):
    for step in range(first, first + count):
        give_gradients(params, step)
        optimizer.step()


def torch_and_ours(name, options, dtype=np.float64):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    peers = [torch.tensor(value, requires_grad=True) for value in arrays(0, dtype)]
    ours = parameters(dtype)
    return torch, peers, ours, getattr(torch.optim, name)(peers, **options), getattr(optim, name)(ours, **options)


def compare_steps(torch, peers, ours, theirs, own, rates, tolerance):
    for step, rate in enumerate(rates):
        give_gradients(ours, step)
        for p, value in zip(peers, arrays(100 + step, ours[0].dtype), strict=True):
            p.grad = torch.tensor(value)
        if step == 2:  # parameters without a gradient are skipped
            ours[1].grad = peers[1].grad = None
        if rate is not None:
            theirs.param_groups[0]["lr"] = own.param_groups[0]["lr"] = rate
        theirs.step()
        own.step()
        for p, q in zip(ours, peers, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), [(name, options) for name in CASES for options in CASES[name]])
def test_steps_are_those_of_torch(backend, name, options, dtype):
    torch, peers, ours, theirs, own = torch_and_ours(name, {"lr": 0.05, **options}, dtype)
    compare_steps(torch, peers, ours, theirs, own, [None] * 6, 1e-13 if dtype == np.float64 else 3e-6)


@pytest.mark.parametrize(("name", "options"), [(name, options) for name in CASES for options in CASES[name]])
def test_steps_are_those_of_torch_while_the_rate_changes(one_backend, name, options):
    torch, peers, ours, theirs, own = torch_and_ours(name, {"lr": 0.05, **options})
    compare_steps(torch, peers, ours, theirs, own, [0.05, 0.2, 0.0, 0.0, 0.3, 1e-3, 1e-3, 0.1], 1e-12)


def test_defaults_are_those_of_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    for name in CASES:
        own = getattr(optim, name)(parameters()).defaults
        theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
        assert {option: theirs[option] for option in own} == own, name


def test_lion_is_the_rule(backend):
    params, expected, configs = parameters(), arrays(0), [{} for _ in SHAPES]
    optimizer = optim.Lion(params, lr=0.1, betas=(0.5, 0.75), weight_decay=0.5)
    for step in range(3):
        take_steps(optimizer, params, 1, step)
        for i, dw in enumerate(arrays(100 + step)):
            configs[i] |= {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "weight_decay": 0.5}
            expected[i], configs[i] = optim.lion(expected[i], dw, configs[i])
    for p, value in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p.data, value)


@pytest.mark.parametrize("name", NAMES)
def test_all_parameters_of_all_groups_are_updated_in_one_call(one_backend, monkeypatch, name):
    from fastnn.kernels import updates
    from fastnn.kernels.updates import rules

    kernel, calls = rules.RULES[name.lower()].kernel, []
    inner = getattr(updates, kernel)
    monkeypatch.setitem(
        optim.functions._KERNELS, name.lower(), lambda *args, **named: calls.append(args) or inner(*args, **named)
    )
    params = parameters()
    optimizer = getattr(optim, name)([{"params": params[:2], "lr": 0.5}, {"params": params[2:]}])
    take_steps(optimizer, params, 1)
    assert [len(w) for w, _ in calls] == [4]


def test_groups_have_options_of_their_own(one_backend):
    params, alone = parameters(), parameters()
    optimizer = optim.SGD([{"params": params[:2], "lr": 0.5, "momentum": 0.9}, {"params": params[2:]}], lr=0.1)
    take_steps(optimizer, params)
    take_steps(optim.SGD(alone[:2], lr=0.5, momentum=0.9), alone)
    take_steps(optim.SGD(alone[2:], lr=0.1), alone)
    for p, q in zip(params, alone, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_updates_are_in_place_and_counted(backend):
    for name in NAMES:
        params = parameters()
        data, versions = [p.data for p in params], [p._version for p in params]
        take_steps(getattr(optim, name)(params), params, 1)
        assert all(p.data is value for p, value in zip(params, data, strict=True))
        assert [p._version for p in params] == [version + 1 for version in versions]
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    x.grad = Tensor([1.0, 1.0])
    optim.SGD([x]).step()
    with pytest.raises(RuntimeError, match="overwritten"):
        loss.backward()


def test_arrays_of_other_layouts_are_updated_in_place(backend):
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    p = Tensor(values, requires_grad=True)
    p.data = values
    p.grad = Tensor(np.ones((2, 3)))
    optim.SGD([p], lr=1.0).step()
    assert p.data is values
    np.testing.assert_array_equal(values, np.arange(6.0).reshape(2, 3) - 1)


def test_training_decreases_the_loss(backend):
    generator = np.random.default_rng(0)
    x, y = Tensor(generator.standard_normal((20, 3))), Tensor(generator.standard_normal((20, 1)))
    for name in NAMES:
        w = Tensor(np.zeros((3, 1)), requires_grad=True)
        optimizer, losses = getattr(optim, name)([w], lr=0.01), []
        for _ in range(5):
            loss = ((x @ w - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < losses[0]


def test_zero_grad():
    params = parameters()
    optimizer = optim.SGD(params)
    give_gradients(params, 0)
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.data.any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.step()  # without a gradient nothing happens
    assert optimizer.state == {}


# ---- state ----


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in NAMES), ("SGD", {**MOMENTUM, "nesterov": True}), ("Adagrad", {"lr_decay": 0.5})],
)
def test_a_saved_optimizer_continues_to_the_same_bits(backend, tmp_path, name, options):
    params = parameters(np.float32)
    optimizer = getattr(optim, name)([{"params": params[:1], "lr": 0.3}, {"params": params[1:]}], **options)
    take_steps(optimizer, params)
    optimizer.param_groups[1]["lr"] = 0.07
    checkpoint.save(tmp_path / "optimizer.h5", optimizer.state_dict())
    copies = [Tensor(p.data.copy(), requires_grad=True) for p in params]
    resumed = getattr(optim, name)([{"params": copies[:1]}, {"params": copies[1:]}])
    resumed.load_state_dict(checkpoint.load(tmp_path / "optimizer.h5"))
    assert [group["lr"] for group in resumed.param_groups] == [0.3, 0.07]
    take_steps(optimizer, params, first=3)
    take_steps(resumed, copies, first=3)
    for p, q in zip(params, copies, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_the_state_is_a_copy(one_backend):
    params = parameters()
    optimizer = optim.Adam(params)
    take_steps(optimizer, params)
    saved = optimizer.state_dict()
    before = saved["state"]["0"]["m"].copy()
    take_steps(optimizer, params)
    np.testing.assert_array_equal(saved["state"]["0"]["m"], before)
    assert saved["state"]["0"]["t"] == 3
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3]
    other = optim.Adam(parameters())
    other.load_state_dict(saved)
    take_steps(other, list(other.state))
    np.testing.assert_array_equal(saved["state"]["0"]["m"], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.pop("state"), "state_dict lacks"),
        (lambda saved: saved["param_groups"].pop(), r"has \[\] parameters; expected \[4\]"),
        (lambda saved: saved["param_groups"][0]["params"].pop(), r"has \[3\] parameters; expected \[4\]"),
        (lambda saved: saved["param_groups"][0].update(lr=-1), "lr=-1"),
        (lambda saved: saved["param_groups"][0].pop("lr"), "lacks the key 'lr'"),
        (lambda saved: saved["state"]["1"].update(m=np.ones(7)), "shape"),
        (lambda saved: saved["state"]["1"].update(velocity=np.ones(3)), "velocity"),
        (lambda saved: saved["state"].update({"9": {"t": 1}}), "'9'"),
        (lambda saved: saved["state"]["0"].update(t=-1), "'t'"),
    ],
)
def test_a_state_that_does_not_fit_raises_and_changes_nothing(one_backend, change, message):
    params = parameters()
    optimizer = optim.Adam(params)
    take_steps(optimizer, params)
    saved, before = optimizer.state_dict(), optimizer.state_dict()
    change(saved)
    with pytest.raises((ValueError, TypeError), match=f"^Adam(.load_state_dict)?: .*{message}"):
        optimizer.load_state_dict(saved)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    np.testing.assert_equal(after["state"], before["state"])


# ---- errors ----


def leaf():
    return Tensor(np.ones(2), requires_grad=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(leaf()), r"SGD: params is a single array of shape \(2,\); expected an iterable"),
        (lambda: optim.SGD([]), r"SGD: params=\[\] is empty"),
        (lambda: optim.SGD([np.ones(2)]), r"SGD: params contains array\(\[1., 1.\]\); expected Tensors"),
        (lambda: optim.SGD([leaf() * 2]), "SGD: params contains .*; expected Tensors of floats that no operation"),
        (lambda: optim.SGD([Tensor(np.ones(2))]), "SGD: params contains no Tensor that requires a gradient"),
        (lambda: optim.SGD([leaf()] * 2), "SGD: params contains .* twice"),
        (lambda: optim.SGD([leaf()], lr=-1), "SGD: lr=-1"),
        (lambda: optim.SGD([leaf()], dampening=0.1), "SGD: dampening=0.1 is not supported; expected 0"),
        (lambda: optim.SGD([leaf()], nesterov=True), "SGD: nesterov=True does not fit momentum=0"),
        (lambda: optim.Adam([leaf()], betas=(0.9,)), r"Adam: betas=\(0.9,\) is not a pair"),
        (lambda: optim.Adam([leaf()], betas=(0.9, 1)), r"Adam: betas\[1\]=1"),
        (lambda: optim.Adam([leaf()], amsgrad=True), "Adam: amsgrad=True is not supported"),
        (lambda: optim.RMSprop([leaf()], centered=True), "RMSprop: centered=True is not supported"),
        (lambda: optim.Adam([{"params": [leaf()], "momentum": 1}]), "Adam.add_param_group: .*'momentum'"),
        (lambda: optim.Adam([leaf()], learning_rate=1), "Adam: the keyword learning_rate=1 is unknown"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        make()


def test_a_bad_rate_raises_at_the_next_step_and_changes_nothing(one_backend):
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match=r"^Adam: lr=nan is not finite"):
        optimizer.step()
    np.testing.assert_equal([p.data for p in params], arrays(0))


def test_read_only_data_raise(one_backend):
    p = leaf()
    p.data.flags.writeable = False
    p.grad = Tensor(np.ones(2))
    with pytest.raises(ValueError, match=r"^SGD: the data of a parameter of shape .* are read-only"):
        optim.SGD([p]).step()


def test_frozen_parameters_stay(one_backend):
    frozen, free = Tensor(np.ones(2)), autograd.ones(2, requires_grad=True)
    optimizer = optim.SGD([frozen, free], lr=1.0)
    (frozen * free).sum().backward()
    optimizer.step()
    assert frozen.tolist() == [1, 1]
    assert free.tolist() == [0, 0]


def test_repr():
    assert repr(optim.Lion([leaf()])) == "Lion(1 parameters: lr=0.0001, betas=(0.9, 0.99), weight_decay=0.0)"
