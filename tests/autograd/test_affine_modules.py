"""The affine layers at the end of a Module are trained in one step; everything else by the tape."""

import copy
import os

import numpy as np
import pytest

import fastnn.nn.functional as F
from fastnn import nn, use_backend
from fastnn.autograd import detect_anomaly, no_grad
from fastnn.layers import svm_loss
from fastnn.nn.affine_chain import AffineChain

pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="the chain is compiled code")
D, N = 12, 7
LABELS = np.array([0, 4, 3, 1, 2, 0, 1])


class Net(nn.Module):
    """Layers with which a function `run(net, x)` computes."""

    def __init__(self, run, *kept):
        super().__init__()
        self.run, self.relu = run, nn.ReLU()
        self.c = nn.Linear(6, 5, seed=2)  # not in the order of the calls
        self.a, self.b = nn.Linear(D, 8, seed=0), nn.Linear(8, 6, seed=1)
        for name in {"a", "b", "c"} - {*kept}:
            delattr(self, name)

    def forward(self, x):
        return self.run(self, x)


def images(dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal((N, D)).astype(dtype)


@pytest.fixture
def quick(monkeypatch):
    """Whether each step was made by a chain."""
    made, step = [], AffineChain.step

    def counted(*arguments):
        found = step(*arguments)
        made.append(found is not None)
        return found

    monkeypatch.setattr(AffineChain, "step", counted)
    with use_backend("njit"):
        yield made


def outcome(model, X, y=LABELS):
    try:
        loss, grads = model.loss(X, y)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return loss, [(name, value.dtype, value.shape, value.tobytes()) for name, value in grads.items()]


def by_the_tape(model, X, y=LABELS):
    with detect_anomaly():  # computes every layer at once
        return outcome(model, X, y)


def three(m, x):
    return m.c(F.relu(m.b(F.relu(m.a(x)))))


def unused(m, x):
    m.b(F.relu(m.a(x)))
    return three(m, x)


QUICK = {
    "three layers": three,
    "other functions": lambda m, x: m.c(m.b(m.relu(m.a(x)))),
    "an unused result": unused,
    "ReLU at the end": lambda m, x: m.relu(m.c(m.b(m.a(x)))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("name", QUICK)
def test_the_bits_of_the_tape(quick, name, dtype):
    model = Net(QUICK[name], "a", "b", "c")
    for seed in range(3):
        X = images(dtype, seed)
        assert outcome(model, X) == by_the_tape(model, X)
        for value in model.params.values():
            value *= 1.5
    assert quick == [True] * 3
    assert list(model.loss(images(), LABELS)[1]) == list(model.params)


def held(m, x):
    m.kept = [F.relu(m.a(x))]
    return m.c(m.b(m.kept[0]))


def held_inside(m, x):
    m.kept = [m.a(x)]
    return m.c(m.b(F.relu(m.kept[0])))


def held_at_the_end(m, x):
    m.kept = [three(m, x)]
    return m.kept[0]


@pytest.mark.parametrize("run", [held, held_inside, held_at_the_end])
def test_results_that_somebody_holds_are_those_of_their_step(quick, run):
    model, judge = Net(run, "a", "b", "c"), Net(run, "a", "b", "c")
    assert outcome(model, images()) == by_the_tape(judge, images())
    for value in model.params.values():
        value *= 2
    (found,), (expected,) = model.kept, judge.kept
    np.testing.assert_array_equal(found.data, expected.data)
    found.sum().backward()
    np.testing.assert_array_equal(model.a.bias.grad.data.shape, (8,))


def read(m, x):
    y = m.a(x)
    assert y.shape == (N, 8)
    return m.c(m.b(F.relu(y)))


def twice(m, x):
    return m.c(m.b(m.a(x))) + m.c(m.b(m.a(x)))


def partly_without_tape(m, x):
    with no_grad():
        y = m.a(x)
    return m.c(m.b(F.relu(y)))


def scaled(m, x):
    return 2 * three(m, x)


def flattened(m, x):
    return three(m, x.flatten(1))


def squared(m, x):
    return m.c(m.b(F.relu(m.a(x)) * 1))


def changed_on_the_way(m, x):
    y = m.a(x)
    with no_grad():
        m.b.weight *= 1
    return m.c(m.b(y))


OTHERS = [twice, scaled]


@pytest.mark.parametrize("run", OTHERS)
def test_other_networks_are_left_to_the_tape(quick, run):
    model = Net(run, "a", "b", "c")
    assert outcome(model, images()) == by_the_tape(model, images())
    assert True not in quick


def frozen_beginning(m, x):
    with no_grad():
        y = F.relu(m.a(x)) + 0
    return m.c(m.b(y))


def again(m, x):
    """A layer that computes both before the affine layers at the end and as one of them."""
    y = m.d(m.b(F.relu(m.a(x)))) * 0.5
    y = y + m.d(y).tanh()
    return m.c(F.relu(m.d(y)))


def beside(m, x):
    """The input of the affine layers at the end is kept, and used elsewhere."""
    m.kept = (m.a(x) * 0.5).exp()
    m.other = m.kept.sum()
    return m.c(F.relu(m.b(m.kept)))


def detached(m, x):
    return m.c(m.b((m.a(x) * 2).detach()))


def last(m, x):
    return m.c(m.b(m.a(x)).tanh())


def convolved(m, x):
    y = F.relu(m.conv(x.reshape(N, 3, 2, 2))) + m.conv(x.reshape(N, 3, 2, 2))
    return m.c(m.b(m.a(F.max_pool2d(F.relu(m.norm(m.conv(y))), 1).flatten(1))))


ENDS = [
    read,
    partly_without_tape,
    flattened,
    squared,
    changed_on_the_way,
    frozen_beginning,
    again,
    beside,
    detached,
    last,
    convolved,
]


def with_more(run):
    model = Net(run, "a", "b", "c")
    if run is again:
        model.d = nn.Linear(6, 6, seed=3)
    if run is convolved:
        model.conv, model.norm = nn.Conv2d(3, 3, 3, padding=1, seed=4), nn.BatchNorm2d(3)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("run", ENDS)
def test_affine_layers_at_the_end_of_other_modules(quick, run, dtype):
    model, judge = with_more(run), with_more(run)
    for seed in range(2):
        assert outcome(model, images(dtype, seed)) == by_the_tape(judge, images(dtype, seed))
        assert [*model.loss(images(dtype), LABELS)[1]] == [*model.params]
        by_the_tape(judge, images(dtype))
    assert quick == [True] * 4
    for name, value in model.buffers.items():
        np.testing.assert_array_equal(value, judge.buffers[name])
    for y in (LABELS + 1, LABELS[1:]):
        assert outcome(model, images(), y) == by_the_tape(judge, images(), y)


def test_parameters_that_get_no_gradient_are_left_to_the_tape(quick):
    model = Net(lambda m, x: m.b(m.a(x)), "a", "b", "c")
    assert outcome(model, images()) == by_the_tape(model, images())
    assert not model.loss(images(), LABELS)[1]["c.weight"].any()
    model = Net(three, "a", "b", "c")
    model.b.weight.requires_grad = False
    assert outcome(model, images()) == by_the_tape(model, images())
    assert not model.loss(images(), LABELS)[1]["b.weight"].any()
    assert True not in quick


@pytest.mark.parametrize("y", [LABELS + 1, LABELS - 1, LABELS[1:], LABELS.astype(float), LABELS.astype("int32")])
def test_labels_are_checked_as_by_the_loss(quick, y):
    model = Net(three, "a", "b", "c")
    assert outcome(model, images(), y) == by_the_tape(model, images(), y)
    assert outcome(model, images()) == by_the_tape(model, images())


def test_a_layer_that_does_not_fit_says_so(quick):
    model = Net(lambda m, x: m.c(m.a(x)), "a", "c")
    expected = r"Linear\(6, 5\): x.shape = \(7, 8\) does not fit"
    for _ in range(2):
        with pytest.raises(ValueError, match=expected):
            model.loss(images(), LABELS)


def test_other_losses_and_layers(quick):
    model = Net(three, "a", "b", "c")
    model.loss_function = svm_loss
    assert outcome(model, images()) == by_the_tape(model, images())
    model = Net(three, "a", "b", "c")
    model.a.params["weight"] = np.asfortranarray(model.a.params["weight"])
    assert outcome(model, images()) == by_the_tape(model, images())
    assert True not in quick
    other = copy.deepcopy(Net(three, "a", "b", "c"))
    assert outcome(other, images()) == by_the_tape(other, images())
    assert quick[-1] is True
