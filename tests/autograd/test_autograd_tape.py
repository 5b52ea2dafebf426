"""The tape: what is recorded, when it is freed, threads, changes in place."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from fastnn import autograd
from fastnn.autograd import Tensor, tape

X, W = np.arange(6.0).reshape(2, 3) + 1, np.linspace(-1, 1, 6).reshape(3, 2)


def leaf(array=X):
    return Tensor(np.array(array), requires_grad=True)


# ---- gradients add up ----


def test_a_multiplication_by_hand():
    a, b = Tensor(np.array(2.0), requires_grad=True), Tensor(np.array(3.0), requires_grad=True)
    c = a * b
    d = c * c + a
    assert d.item() == 38
    d.backward()
    assert (a.grad.item(), b.grad.item()) == (2 * 6 * 3 + 1, 2 * 6 * 2)


def test_gradients_add_up_until_they_are_forgotten():
    x = leaf()
    x.sum().backward()
    first = x.grad
    (x * 2).sum().backward()
    assert x.grad is first
    assert (x.grad.numpy() == 3).all()
    x.zero_grad()
    assert x.grad is None


def test_leaves_own_their_gradients():
    """x + y passes one array on to both; a change of one gradient in place leaves the other alone."""
    x, y, dout = leaf(), leaf(), np.ones((2, 3))
    (x + y).backward(dout)
    x.grad.zero_()
    assert (y.grad.numpy() == 1).all() and (dout == 1).all()
    z = leaf()
    z.backward(dout)
    z.grad.zero_()
    assert (dout == 1).all()


@pytest.mark.parametrize(
    "function", [lambda x: x.sum() * 2, lambda x: x.T.sum(dim=0).mean() + x.sum() * 0.5, lambda x: (x.T * x.T).mean()]
)
def test_gradients_can_be_changed_in_place(function):
    x = leaf()
    function(x).backward()
    assert x.grad.data.flags.carray
    function(x).backward()
    x.grad.zero_()
    assert x.grad.tolist() == [[0, 0, 0]] * 2


def test_a_gradient_stays_when_more_is_added_to_it():
    x, dout = leaf(), np.ones((2, 3))
    y = x.reshape(3, 2)
    (y + y).backward(dout.reshape(3, 2))
    (x + 0).backward(dout)
    assert (x.grad.numpy() == 3).all() and (dout == 1).all()


def test_retain_graph_gives_the_same_gradients_again():
    x = leaf()
    loss = (x.exp() * x).sum()
    loss.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    loss.backward()
    assert np.array_equal(x.grad.numpy(), 2 * once)


def test_backward_of_a_long_chain_needs_no_recursion():
    x = out = leaf()
    for _ in range(20_000):
        out = out + 1
    out.sum().backward()
    assert (x.grad.numpy() == 1).all()
    out = x
    for _ in range(20_000):
        out = out + 1
    del out  # freed without a backward


def test_grad_returns_gradients_and_adds_none():
    x, y, z = leaf(), leaf(), leaf()
    loss = (x * y * 2).sum()
    dx, dz = autograd.grad(loss, [x, z], retain_graph=True)
    assert np.array_equal(dx.numpy(), 2 * X) and dz is None
    assert x.grad is None and y.grad is None
    (dy,) = autograd.grad(x * y, y, np.full((2, 3), 5.0))
    assert np.array_equal(dy.numpy(), 5 * X)


# ---- what is recorded ----


def test_nothing_is_recorded_without_need():
    x = leaf()
    assert (Tensor(X) * 2).is_leaf
    assert not (x > 1).requires_grad and not x.argmax().requires_grad
    assert (x * 2).detach().grad_fn is None
    with autograd.no_grad():
        assert not autograd.is_grad_enabled()
        assert not (x * 2).requires_grad
        with autograd.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad and not (x * 2).is_leaf

    @autograd.no_grad()
    def score():
        return x * 2

    assert not score().requires_grad and not score().requires_grad


def test_no_grad_ends_with_an_error():
    with pytest.raises(KeyError), autograd.no_grad():
        raise KeyError
    assert autograd.is_grad_enabled()


def test_constants_get_no_gradient():
    x, constant = leaf(), Tensor(X)
    (x * constant).sum().backward()
    assert constant.grad is None
    assert np.array_equal(x.grad.numpy(), X)


# ---- threads ----


def test_threads_have_tapes_and_modes_of_their_own():
    recorded, barrier = {}, threading.Barrier(2)

    def work(name):
        x = leaf()
        if name == "silent":
            with autograd.no_grad():
                barrier.wait()
                recorded[name] = (x * 2).requires_grad
                barrier.wait()
            return
        barrier.wait()
        recorded[name] = (x * 2).requires_grad
        barrier.wait()
        for _ in range(50):
            (x @ Tensor(W)).exp().sum().backward()
        recorded["gradient"] = x.grad.numpy()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("silent", "recording")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    x = leaf()
    for _ in range(50):
        (x @ Tensor(W)).exp().sum().backward()
    assert (recorded["silent"], recorded["recording"]) == (False, True)
    assert np.array_equal(recorded["gradient"], x.grad.numpy())


# ---- memory ----


def step(x, w, rate=1e-3):
    loss = ((x @ w).tanh() + x[:, :1] * 0.1).exp().mean()
    loss.backward()
    with autograd.no_grad():
        w -= rate * w.grad
    w.zero_grad()


@pytest.fixture
def without_collector():
    """Only reference counts free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector", "one_backend")
def test_memory_stays_flat_for_10000_steps():
    x, w = Tensor(X), leaf(W)
    step(x, w)
    gc.collect()
    for _ in range(3000):  # until Python keeps as many small objects for later use as it wants to
        step(x, w)
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        step(x, w)
    assert sys.getallocatedblocks() - before < 1000  # a tenth of a block for each step
    assert gc.collect() < 100


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("finish", [lambda loss: loss.backward(), lambda loss: None], ids=["backward", "abandoned"])
def test_a_tape_is_freed_by_reference_counts(finish, monkeypatch):
    nodes = weakref.WeakSet()

    class Node(tape.Node):
        """Can be referred to weakly."""

        __slots__ = ("__weakref__",)

        def __init__(self, *arguments):
            super().__init__(*arguments)
            nodes.add(self)

    monkeypatch.setattr(tape, "Node", Node)
    x = leaf()
    hidden = x * 2
    reference = weakref.ref(hidden)
    loss = hidden.exp().sum()
    del hidden
    assert reference() is None, "a node keeps the arrays that it needs, and no Tensor"
    assert len(nodes) == 3
    finish(loss)
    assert len(nodes) == (1 if loss.grad_fn.gradients is None else 3)
    del loss
    assert len(nodes) == 0


def test_backward_frees_arrays_on_its_way():
    """When the first operation is reached, what later ones kept is gone."""
    alive = []

    class Array(np.ndarray):
        """Can be referred to weakly."""

    kept = np.ones(1000).view(Array)
    reference = weakref.ref(kept)
    x = leaf()

    def first(dout):
        alive.append(reference() is not None)
        return dout

    y = autograd.record("first", (x,), x.data.copy(), (first,), keeps="")
    z = autograd.record("second", (y,), y.data.copy(), (lambda dout, kept=kept: dout,), keeps="")
    del kept
    loss = z.sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert alive == [True, False]


# ---- arrays that change ----


def test_an_array_overwritten_after_its_use_raises():
    x, y = leaf(), Tensor(np.ones((2, 3)))
    out = (x * y).sum()
    y += 1
    with pytest.raises(RuntimeError, match=r"backward: an array that multiply needs was overwritten 1 times after"):
        out.backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.zero_(),
        lambda y: y.copy_(np.zeros((2, 3))),
        lambda y: y.__setitem__((0, 0), 5.0),
        lambda y: y.__imul__(2),
        lambda y: y.__itruediv__(2),
        lambda y: y.detach().zero_(),
        lambda y: y[0].zero_(),
        lambda y: y.T.__isub__(1),
        lambda y: y.mark_changed(),
    ],
)
def test_every_change_in_place_is_counted(change):
    x, y = leaf(), Tensor(np.ones((2, 3)))
    out = (x * y).sum()
    change(y)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="overwritten"):
        out.backward()


def test_a_result_that_its_operation_needs_is_watched_too():
    x = leaf()
    out = x.exp()
    with autograd.no_grad():
        out *= 2
    with pytest.raises(RuntimeError, match="an array that exp needs was overwritten"):
        out.sum().backward()


def test_arrays_that_no_derivative_needs_may_change():
    x, y = leaf(), Tensor(np.ones((2, 3)))
    out = (x + y).sum()
    y += 1
    out.backward()
    assert (x.grad.numpy() == 1).all()


def test_an_index_may_change_after_its_use():
    x, index = leaf(), np.array([0, 0])
    out = x[index].sum()
    index[...] = 1
    out.backward()
    assert x.grad.tolist() == [[2, 2, 2], [0, 0, 0]]


def test_parameters_change_in_place_where_nothing_is_recorded():
    w = leaf(W)
    data, alias = w.data, w
    with autograd.no_grad():
        w -= 0.5
        w[0] = 7.0
    assert w is alias and w.data is data
    assert w.requires_grad and w.is_leaf
    assert w.tolist()[0] == [7, 7]


def test_recorded_results_are_not_changed_in_place():
    """As in `out += shortcut` of a residual network: a new Tensor."""
    x = leaf()
    out = before = x * 2
    out += x
    assert out is not before and np.array_equal(before.detach().numpy(), 2 * X)
    out.sum().backward()
    assert (x.grad.numpy() == 3).all()
    total = Tensor(np.zeros(()))
    total += leaf().sum()
    assert total.requires_grad
