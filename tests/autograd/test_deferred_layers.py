"""Layers that wait for the next one: results are those of computing each at once, and neighbours are one kernel.

`detect_anomaly` computes every layer at once, so it is the judge here.
"""

import contextlib
import gc
import pickle
import weakref

import numpy as np
import pytest
from small_modules import DOUBLE, X, Y, normal

import fastnn.nn.functional as F
from fastnn import nn
from fastnn.autograd import Tensor, detect_anomaly, no_grad, tape
from fastnn.nn import eval_mode

pytestmark = pytest.mark.usefixtures("one_backend")


class Layers(nn.Module):
    """Layers with which a function `run(layers, x)` computes."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.conv = nn.Conv2d(2, 3, 3, padding=1, seed=0, **DOUBLE)
        self.norm = nn.BatchNorm2d(3, **DOUBLE)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.fc = nn.Linear(27, 3, seed=1, **DOUBLE)
        self.wide = nn.Linear(108, 3, seed=2, **DOUBLE)
        self.row_norm = nn.LayerNorm(3, **DOUBLE)

    def forward(self, x):
        return self.run(self, x)


def results(run):
    """The output, the gradients, the buffers and the tape's names of a training step."""
    model = Layers(run)
    x = Tensor(X, requires_grad=True)
    out = model(x)
    names = [node.name for node in tape.nodes(out.grad_fn) if isinstance(node, tape.Node)] if out.grad_fn else []
    if out.grad_fn:
        (out * Tensor(normal(*out.shape))).sum().backward()
    gradients = {name: one.grad.data for name, one in model.named_parameters() if one.grad is not None}
    return out.data, x.grad, gradients, {key: np.copy(value) for key, value in model.buffers.items()}, names


def check(run, *expected):
    """Compare with computing at once, also in eval mode; expected: the names of nodes that must be on the tape."""
    found = results(run)
    with detect_anomaly():
        judged = results(run)
    for ours, theirs in zip(found[:4], judged[:4], strict=True):
        assert (ours is None) == (theirs is None)
        if isinstance(ours, dict):
            assert ours.keys() == theirs.keys()
            for key in ours:
                np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-10, atol=1e-12, err_msg=key)
        elif ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert not set(expected) - set(found[4]), found[4]
    model = Layers(run)
    with detect_anomaly():
        judged = model.eval()(X)
    np.testing.assert_allclose(model(X), judged, rtol=1e-10, atol=1e-12)
    return found[4]


CHAINS = {
    "functions": (lambda m, x: F.max_pool2d(F.relu(m.norm(m.conv(x))), 2), "Conv2d + BatchNorm2d + ReLU + MaxPool2d"),
    "layers": (lambda m, x: m.pool(m.relu(m.norm(m.conv(x)))), "Conv2d + BatchNorm2d + ReLU + MaxPool2d"),
    "without pooling": (lambda m, x: F.relu(m.norm(m.conv(x))), "Conv2d + BatchNorm2d + ReLU"),
    "without norm": (lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2), "Conv2d + ReLU + MaxPool2d"),
    "conv and relu": (lambda m, x: m.relu(m.conv(x)).mean((2, 3)), "Conv2d + ReLU"),
    "affine and relu": (lambda m, x: F.relu(m.wide(m.conv(x).flatten(1))), "Linear + ReLU"),
    "affine, norm, relu": (lambda m, x: F.relu(m.row_norm(m.wide(m.conv(x)))), "Linear + LayerNorm + ReLU"),
    "padded pooling": (lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 3, 2, 1), "Conv2d + ReLU"),
    "norm alone": (lambda m, x: m.norm(m.conv(x)) * 2, "Conv2d", "BatchNorm2d"),
    "pooling first": (lambda m, x: F.relu(F.max_pool2d(m.conv(x), 2)), "Conv2d"),
    "two chains": (lambda m, x: F.relu(m.fc(F.max_pool2d(F.relu(m.conv(x)), 2))), "Conv2d + ReLU + MaxPool2d"),
    "one layer": (lambda m, x: m.conv(x), "Conv2d"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_neighbours_are_one_node(name):
    check(*CHAINS[name])


def held(m, x):
    y = m.conv(x)
    z = F.relu(y)
    return z + y


def held_to_the_end(m, x):
    y = m.norm(m.conv(x))
    return F.relu(y)


def used_twice(m, x):
    y = F.relu(m.norm(m.conv(x)))
    return F.relu(y) + F.max_pool2d(y, 1)


def branches(m, x):
    y = m.conv(x)
    return F.relu(m.norm(y)) + m.norm(y) + F.max_pool2d(m.conv(x * 2), 1)


def read_on_the_way(m, x):
    y = m.conv(x)
    assert y.shape == (4, 3, 6, 6)
    return F.relu(m.norm(y))


def unused(m, x):
    m.norm(m.conv(x))
    return F.relu(m.conv(x))


def partly_without_tape(m, x):
    with no_grad():
        y = m.conv(x)
    z = F.relu(m.norm(y))
    with no_grad():
        w = F.relu(m.conv(x))
    return m.fc(F.max_pool2d(z + w, 2))


def partly_in_eval_mode(m, x):
    with eval_mode():
        y = m.norm(m.conv(x))
    return F.relu(y) + F.relu(m.norm(m.conv(x)))


def mode_changes(m, x):
    y = m.norm(m.conv(x))
    m.norm.eval()
    z = F.relu(m.norm(m.conv(x)))
    m.norm.train(m.training)
    return F.relu(y) + z


def other_module(m, x):
    return F.relu(nn.ModuleList([m.conv])[0](x))


@pytest.mark.parametrize(
    "run",
    [
        held, held_to_the_end, used_twice, branches, read_on_the_way, unused, partly_without_tape, partly_in_eval_mode,
        mode_changes, other_module,
    ],
)  # fmt: skip
def test_results_are_those_of_computing_at_once(run):
    check(run)


def test_a_result_that_is_held_is_computed_once():
    assert check(held).count("Conv2d") == 1


def test_changes_in_place_come_after_what_was_called_before():
    def scaled(m, x):
        with no_grad():
            z = x.detach().clone()
            y = m.conv(z)
            z *= 0
            return F.relu(y)

    def overwritten(m, x):
        with no_grad():
            z = x.detach().clone()
            y = m.conv(z)
            z[...] = 5
            return F.relu(y)

    def other_weights(m, x):
        with no_grad():
            y = m.conv(x)
            m.conv.weight *= 0
            return F.relu(y)

    def other_data(m, x):
        with no_grad():
            z = Tensor(x.data)
            y = m.conv(z)
            z.data = np.ones_like(X)
            return F.relu(y)

    for run in (scaled, overwritten, other_weights, other_data):
        expected = Layers(lambda m, x: F.relu(m.conv(x)))(X)
        np.testing.assert_array_equal(Layers(run)(X), expected, err_msg=run.__name__)


def test_errors_are_raised_where_the_layer_is_called():
    def run(m, x):
        with pytest.raises(ValueError, match=r"Conv2d\(2, 3.*x.shape = \(4, 1, 6, 6\) does not fit"):
            m.conv(x[:, :1])
        return F.relu(m.conv(x))

    check(run)


def test_an_error_later_in_a_chain_leaves_the_next_call_alone():
    model = Layers(lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 50))
    for _ in range(2):
        with pytest.raises(ValueError, match="pool"):
            model(X)
    assert tape.waiting() is None


def test_waiting_results_can_be_pickled_and_copied():
    def run(m, x):
        with no_grad():
            twin = pickle.loads(pickle.dumps(m.conv(x.detach())))
        return twin + m.conv(x)

    check(run)


def test_training_takes_the_steps_of_a_sequential_to_the_bit():
    layers = [nn.Conv2d(2, 3, 3, padding=1, seed=0), nn.BatchNorm2d(3), nn.Linear(27, 3, seed=1)]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = (pickle.loads(pickle.dumps(layer)) for layer in layers)

        def forward(self, x):
            return self.fc(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2).flatten(1))

    conv, norm, fc = layers
    expected = nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), fc)
    model = Net()
    for _ in range(2):
        (ours, gradients), (theirs, others) = model.loss(X, Y), expected.loss(X, Y)
        assert ours == theirs
        for found, wanted in zip(gradients.values(), others.values(), strict=True):
            np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(model.buffers.values(), expected.buffers.values(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_nothing_waits_outside_of_a_module():
    conv = nn.Conv2d(2, 3, 3, seed=0, **DOUBLE)
    out = conv(Tensor(X))
    assert type(out) is Tensor
    with contextlib.suppress(ZeroDivisionError):
        Layers(lambda m, x: (m.conv(x), 1 / 0))(X)
    assert type(conv(Tensor(X))) is Tensor
    assert type(Layers(lambda m, x: m.conv(x))(Tensor(X))) is Tensor


@pytest.mark.parametrize("fails", [False, True])
def test_memory_is_freed_at_once(fails):
    """Without the garbage collector, also after an error."""

    def run(m, x):
        z = x * 1
        kept.append(weakref.ref(z))
        y = m.conv(z)
        if fails:
            raise ValueError("stop")
        return F.relu(y)

    kept, model = [], Layers(run)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ValueError), no_grad():
            model(Tensor(X))
        assert kept[0]() is None
    finally:
        gc.enable()
