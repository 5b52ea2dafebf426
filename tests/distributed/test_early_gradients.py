"""Gradients travel while the backward pass goes on, and the bits are those of sending them afterwards."""

import numpy as np
import pytest
from sharded_runs import DATA, make, network
from thread_ranks import bits, on_ranks, trained

import fastnn.nn.functional as F
from fastnn import nn
from fastnn.distributed import flat, tree
from fastnn.distributed.ranks import RankError
from fastnn.nn import early


@pytest.fixture
def begun(monkeypatch):
    """Cut gradients into many buffers; note whether each transfer began during a backward pass."""
    monkeypatch.setattr(flat, "_LARGE", 64)
    noted = []
    exchange = tree.Tree._exchange

    finish = early.Receiver.finish

    def noting(self, sent, received, partner):
        receiver = early._receiver.get()
        noted.append(receiver is not None and receiver.early)
        return exchange(self, sent, received, partner)

    def finishing(self, grads):
        self.early = False
        return finish(self, grads)

    monkeypatch.setattr(early.Receiver, "finish", finishing)
    monkeypatch.setattr(tree.Tree, "_exchange", noting)
    return noted


def afterwards(monkeypatch):
    monkeypatch.setattr(tree.Tree, "hides", property(lambda self: False, lambda self, value: None), raising=False)


class Twice(nn.Module):
    """A Module whose forward uses a weight twice, another one never, and passes dout itself on to a third."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(72, 20, seed=1)
        self.square = nn.Linear(20, 20, seed=2)
        self.unused = nn.Parameter(np.ones((5, 7), np.float32))
        self.last = nn.Linear(20, 3, seed=3)
        self.shift = nn.Parameter(np.zeros((1, 20), np.float32))
        self.reg = 0.1

    def forward(self, x):
        x = F.relu(self.first(x.reshape(len(x), -1)))
        return self.last(F.relu(self.square(F.relu(self.square(x)) + self.shift)) + x)


class Passing(nn.Module):
    """A layer, for two images, whose gradient of its parameter is that of its input, too."""

    def __init__(self):
        super().__init__(shift=np.zeros((2, 72), np.float32))

    def forward(self, x):
        return x + self.params["shift"] if len(x) == 2 else x, None  # evaluations have more

    def backward(self, dout, cache, need_dx=True):
        return dout, {"shift": dout}


class Doubling(nn.Sequential):
    """A network whose backward pass doubles the gradients of another one."""

    def backward(self, dout, cache, need_dx=True):
        dx, grads = super().backward(dout, cache, need_dx)
        return dx, {name: 2 * gradient for name, gradient in grads.items()}


class Halving(nn.Sequential):
    """A network with a loss of its own."""

    def loss(self, X, y=None):
        found = super().loss(X, y)
        return found if y is None else (found[0], {name: gradient / 2 for name, gradient in found[1].items()})


LAYERS = {
    "layers": lambda: (nn.Flatten(), nn.Linear(72, 30, seed=1), nn.Tanh(), nn.Linear(30, 3, seed=2)),
    "affine": lambda: (nn.Linear(72, 30, seed=1), nn.ReLU(), nn.Linear(30, 3, seed=2)),
    "passing": lambda: (nn.Flatten(), nn.Linear(72, 72, seed=3), Passing(), nn.Tanh(), nn.Linear(72, 3, seed=2)),
}
MODELS = {
    "everything": (network, True),
    "layers": (lambda: nn.Sequential(*LAYERS["layers"](), reg=0.1), True),
    "affine layers": (lambda: nn.Sequential(*LAYERS["affine"](), reg=0.1), True),
    "a gradient that is used on": (lambda: nn.Sequential(*LAYERS["passing"]()), True),
    "a Module": (Twice, True),
    "its own backward": (lambda: Doubling(*LAYERS["layers"](), reg=0.1), False),
    "its own loss": (lambda: Halving(*LAYERS["layers"](), reg=0.1), False),
}


@pytest.mark.parametrize("name", MODELS)
def test_bits_are_those_of_sending_afterwards(begun, monkeypatch, name):
    build, is_early = MODELS[name]
    (expected,) = trained(1, lambda comm: make(None, model=build()))
    assert not begun
    for size in (2, 4, 8):
        for solver in trained(size, lambda comm: make(comm, model=build())):
            assert bits(solver) == bits(expected), size
    assert (any(begun), all(begun)) == (is_early, False)
    afterwards(monkeypatch)
    begun.clear()
    for solver in trained(2, lambda comm: make(comm, model=build())):
        assert bits(solver) == bits(expected)
    assert begun
    assert not any(begun)


def test_only_the_loss_knows_in_how_many_buffers_gradients_travel(monkeypatch):
    """The penalty is a sum over arrays then, in which rounding may differ; the parameters are the same."""
    (whole,) = trained(1, lambda comm: make())
    monkeypatch.setattr(flat, "_LARGE", 64)
    for solver in trained(2, make):
        np.testing.assert_allclose(solver.loss_history, whole.loss_history, rtol=1e-14)
        found, expected = bits(solver), bits(whole)
        assert {key for key in expected if found[key] != expected[key]} <= {"/loss_history"}


def test_gradients_without_ranks_are_those_of_today():
    model = network()
    images, labels = DATA["X_train"][:8], DATA["y_train"][:8]
    placed = {}
    receiver = early.Receiver(
        model, lambda name, gradient: placed.setdefault(name, gradient.copy()), lambda _: None, True
    )
    state = {name: value.copy() for name, value in model.buffers.items()}
    loss, grads = model.loss(images, labels)
    model.buffers = state
    with early.sent_to(receiver):
        received, _ = model.loss(images, labels)
    assert received == pytest.approx(loss, rel=1e-14)
    assert list(placed) != list(grads)  # the last layers first
    assert {name: value.tobytes() for name, value in placed.items()} == {
        name: value.tobytes() for name, value in grads.items()
    }


def test_a_rank_that_raises_in_its_backward_pass_ends_all(begun):
    class Failing(nn.Module):
        def __init__(self, rank):
            super().__init__()
            self.rank, self.passes = rank, 0

        def forward(self, x):
            return x, None

        def backward(self, dout, cache, need_dx=True):
            self.passes += 1
            if self.rank == 3 and self.passes == 4:
                raise OSError("the disk of this rank is full")
            return dout, {}

    def work(comm):
        layers = nn.Linear(72, 30, seed=1), Failing(comm.rank), nn.Tanh(), nn.Linear(30, 3, seed=2)
        make(comm, model=nn.Sequential(*layers, reg=0.1)).train()

    *others, failed = on_ranks(4, work)
    assert any(begun)
    assert isinstance(failed, OSError)
    for error in others:
        assert isinstance(error, RankError)
        assert "Solver: rank 3 of 4 failed (OSError: the disk of this rank is full); expected" in str(error)


def test_short_arrays_wait_until_a_buffer_is_full():
    shapes = {name: ((size,), np.dtype(np.float32)) for name, size in (("a", 150_000), ("b", 300_000), ("c", 150_000))}
    shapes |= {"loss": ((), np.dtype(np.float64)), "d": ((10,), np.dtype(np.float32)), "e": ((), np.dtype(np.float32))}
    found = flat.Flat(shapes, early=["d", "c", "b", "a"])
    assert found.members == [["b"], ["d", "c", "a"], ["loss"], ["e"]]
    assert [segment.size for segment in found.segments] == [300_000, 300_010, 1, 1]
    assert flat.Flat(shapes, early=["d", "c"]).members == [["loss"], ["a", "c", "d", "e"], ["b"]]
