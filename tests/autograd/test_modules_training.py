"""Training, files and copies of modules that define nothing but `forward`; exchange with torch."""

import copy
import pickle
import re

import numpy as np
import pytest
from small_modules import DATA, DOUBLE, RATE, Block, Net, Shared, X, Y, normal, torchs

import fastnn.nn.functional as F
from fastnn import nn, optim
from fastnn.autograd import Tensor
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")


def test_optimizers_and_the_solver_take_the_same_steps():
    model, other = Net(), Net()
    optimizer = optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    configs = {name: {"learning_rate": 0.1, "momentum": 0.9} for name in model.params}
    for _ in range(3):
        optim.update(optim.sgd_momentum, model.params, model.loss(X, Y)[1], configs)
        optimizer.zero_grad()
        F.cross_entropy(other(Tensor(X)), Tensor(Y)).backward()
        optimizer.step()
    for name, value in other.params.items():
        np.testing.assert_allclose(value, model.params[name], rtol=1e-9, atol=1e-12)


def train(path, model, stop=None):
    """Return a Solver after its whole run, or after `stop` iterations."""

    class Stopped(Exception):
        pass

    def callback(solver):
        if solver.iteration == stop:
            raise Stopped

    options = {"update_rule": "adam", "batch_size": 4, "num_epochs": 3, "seed": 5, "sampling": "epoch"}
    files = {"checkpoint_name": path, "checkpoint_every": 3, "verbose": False}
    solver = Solver(model, DATA, **options, **files, callbacks=[] if stop is None else [callback])
    try:
        solver.train()
    except Stopped:
        return None
    return solver


@pytest.mark.parametrize("given", ["class", "model"])
def test_a_run_resumes_to_the_same_bits(tmp_path, given):
    expected = train(tmp_path / "whole.h5", Net())
    train(tmp_path / "cut.h5", Net(), stop=6)
    with pytest.raises(ValueError, match="model: an object of the class Net"):
        Solver.resume(tmp_path / "cut.h5", DATA, callbacks=[])
    solver = Solver.resume(tmp_path / "cut.h5", DATA, model=Net if given == "class" else Net(), callbacks=[])
    assert solver.iteration == 6
    solver.train()
    assert solver.loss_history == expected.loss_history
    assert solver.val_acc_history == expected.val_acc_history
    for kind in ("params", "buffers"):
        ours = getattr(solver.model, kind)
        for name, value in getattr(expected.model, kind).items():
            assert ours[name].tobytes() == value.tobytes(), name


def test_the_solver_trains_it():
    model = Net()
    before = model.loss(X, Y)[0]
    data = {"X_train": X, "y_train": Y, "X_val": X, "y_val": Y}
    solver = Solver(
        model, data, update_rule="adam", optim_config=RATE, batch_size=4, num_epochs=40, verbose=False, seed=0
    )
    solver.train()
    assert solver.loss_history[-1] < before / 4
    assert solver.check_accuracy(X, Y) == 1


def test_the_solver_names_what_is_not_finite():
    class Broken(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.what = what
            self.linear = nn.Linear(4, 3, **DOUBLE)

        def forward(self, x):
            return self.what(self.linear(x))

    def message(model):
        x = normal(4, 4)
        data = {"X_train": x, "y_train": Y, "X_val": x, "y_val": Y}
        with pytest.raises(FloatingPointError) as caught:
            Solver(model, data, verbose=False, seed=0, on_nonfinite="raise").train()
        return str(caught.value)

    said = message(Broken(lambda x: (x * 0 - 1).log()))
    assert re.search(r"log: the result contains NaN .* in test_modules_training\.py, line \d+", said)
    said = message(Broken(lambda x: x * float("nan")))
    assert "the first gradient that is not finite is that of 'linear.weight'" in said
    said = message(nn.Sequential(nn.Linear(4, 4, **DOUBLE), Broken(lambda x: (x * 0 - 1).log())))
    assert "layer 1 (Broken) is the first whose output is not finite" in said


def test_state_dict_to_and_from_torch():
    torch, judge = torchs()
    model, other = Net(), Net()
    model.loss(X, Y)
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    assert list(judge.state_dict()) == list(model.state_dict())
    model.eval(), judge.eval()
    np.testing.assert_allclose(judge(torch.from_numpy(X)).detach().numpy(), model(X), rtol=1e-9)
    assert other.load_state_dict(judge.state_dict()) == ([], [])
    np.testing.assert_array_equal(other.eval()(X), model(X))


def test_state_dict_of_another_network():
    model = Net()
    values = model.state_dict()
    values["more"] = values.pop("blocks.0.scale")
    with pytest.raises(KeyError, match=r"values lack \['blocks\.0\.scale'\] and have unexpected \['more'\]"):
        model.load_state_dict(values)
    assert model.load_state_dict(values, strict=False) == (["blocks.0.scale"], ["more"])


def test_buffers_of_ones_own():
    class Average(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Buffer(np.zeros(2))
            self.calls = nn.Buffer(np.zeros((), np.int64), persistent=False)

        def forward(self, x):
            self.mean = (self.mean + x.mean(0)).detach()
            self.calls += 1
            return x - self.mean

    model, x = Average(), np.ones((3, 2))
    np.testing.assert_array_equal(model(x), 0)
    np.testing.assert_array_equal(model(x), -1)
    assert list(model.buffers) == ["mean", "calls"]
    assert model.buffers["calls"] == 2
    assert list(model.state_dict()) == ["mean"]
    assert not list(model.parameters())
    model.load_state_dict({"mean": np.zeros(2)})
    np.testing.assert_array_equal(model.mean.data, 0)
    twin = copy.deepcopy(model)
    assert list(twin.state_dict()) == ["mean"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent(duplicate):
    nested = nn.Sequential(Block(2, 2, seed=1), nn.Flatten(), nn.Linear(72, 3, seed=2, **DOUBLE))
    for model, x in ((Net(), X), (nested, X), (Shared(), normal(4, 3))):
        list(model.parameters())
        model.loss(x, Y)
        other = duplicate(model)
        assert list(other.params) == list(model.params)
        np.testing.assert_array_equal(other.eval()(x), model.eval()(x))
        for (name, one), former in zip(other.named_parameters(), model.parameters(), strict=True):
            assert one.data is other.params[name]
            assert one.data is not former.data
            one.data[...] = 0
        assert not other(x).any()
        assert all(value.any() for name, value in model.params.items() if not name.endswith("bias"))


def test_frozen_parameters_have_no_gradient():
    model = Net()
    for one in model.blocks.parameters():
        one.requires_grad = False
    loss, grads = model.loss(X, Y)
    assert loss > 0
    assert not grads["blocks.0.conv.weight"].any()
    assert grads["body.0.weight"].any()


def test_an_update_between_forward_and_backward_is_noticed():
    model = Net()
    loss = F.cross_entropy(model(Tensor(X)), Tensor(Y))
    optim.update(optim.sgd, model.params, model.loss(X, Y)[1], {name: {} for name in model.params})
    with pytest.raises(RuntimeError, match="was overwritten 1 times"):
        loss.backward()
