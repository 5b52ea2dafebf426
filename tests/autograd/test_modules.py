"""Modules that define nothing but `forward`: arrays by name, gradients, training, files, torch."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastnn.nn.functional as F
from fastnn import autograd, nn, optim
from fastnn.autograd import Tensor, no_grad
from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.layers import mse_loss, svm_loss
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")

RNG = np.random.default_rng(7)
X = RNG.standard_normal((4, 2, 6, 6))
Y = np.array([0, 2, 1, 2])
DATA = {
    "X_train": RNG.standard_normal((18, 2, 6, 6)),
    "y_train": RNG.integers(0, 3, 18),
    "X_val": RNG.standard_normal((6, 2, 6, 6)),
    "y_val": RNG.integers(0, 3, 6),
}
DOUBLE = {"dtype": np.float64}
RATE = {"learning_rate": 1e-2}


class Block(nn.Module):
    """A residual block."""

    def __init__(self, inputs, outputs, seed):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, seed=seed, **DOUBLE)
        self.norm = nn.BatchNorm2d(outputs, **DOUBLE)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, seed=seed + 1, **DOUBLE)
        self.scale = nn.Parameter(np.full((outputs, 1, 1), 0.5))

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)) * self.scale + self.shortcut(x))


class Net(nn.Module):
    """A residual network with blocks in a list, a fused Sequential and a dict of heads."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(2, 3, seed=1), Block(3, 3, seed=3)])
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, seed=5, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2))
        self.heads = nn.ModuleDict({"classes": nn.Linear(36, 3, seed=6, **DOUBLE)})

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.heads["classes"](self.body(x).flatten(1))


BLOCK = ("scale", "conv.weight", "conv.bias", "norm.weight", "norm.bias", "shortcut.weight", "shortcut.bias")
NAMES = [
    *(f"blocks.{block}.{name}" for block in (0, 1) for name in BLOCK),
    "body.0.weight", "body.0.bias", "heads.classes.weight", "heads.classes.bias",
]  # fmt: skip


def torchs():
    """The same network in torch."""
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    library = torch.nn

    class TorchBlock(library.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.conv = library.Conv2d(inputs, outputs, 3, padding=1)
            self.norm = library.BatchNorm2d(outputs)
            self.shortcut = library.Conv2d(inputs, outputs, 1)
            self.scale = library.Parameter(torch.full((outputs, 1, 1), 0.5))

        def forward(self, x):
            return torch.relu(self.norm(self.conv(x)) * self.scale + self.shortcut(x))

    class TorchNet(library.Module):
        def __init__(self):
            super().__init__()
            self.blocks = library.ModuleList([TorchBlock(2, 3), TorchBlock(3, 3)])
            self.body = library.Sequential(library.Conv2d(3, 4, 3, padding=1), library.ReLU(), library.MaxPool2d(2))
            self.heads = library.ModuleDict({"classes": library.Linear(36, 3)})

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["classes"](self.body(x).flatten(1))

    return torch, TorchNet().double()


# ---- names ----


def test_arrays_are_found_in_the_attributes():
    model = Net()
    assert list(model.params) == NAMES
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [one.shape for one in model.parameters()] == [value.shape for value in model.params.values()]
    assert list(model.buffers)[:2] == ["blocks.0.norm.running_mean", "blocks.0.norm.running_var"]
    assert [name for name, _ in model.named_modules()] == [
        "", "blocks", "blocks.0", "blocks.0.conv", "blocks.0.norm", "blocks.0.shortcut", "blocks.1", "blocks.1.conv",
        "blocks.1.norm", "blocks.1.shortcut", "body", "body.0", "body.1", "body.2", "heads", "heads.classes",
    ]  # fmt: skip
    assert list(model.named_children()) == ["blocks", "body", "heads"]
    assert model.children() == (model.blocks, model.body, model.heads)
    assert len(list(model.modules())) == 16


def test_parameters_are_the_arrays_of_params():
    model = Net()
    for name, one in model.named_parameters():
        assert one.data is model.params[name]
        assert isinstance(one, nn.Parameter)
        assert one.requires_grad
        assert one.is_leaf
    assert list(model.parameters())[1] is list(model.parameters())[1]
    model.params["blocks.0.conv.weight"] = np.ones((3, 2, 3, 3))
    assert (list(model.parameters())[1].data == 1).all()
    assert (model.blocks[0].conv.params["weight"] == 1).all()
    with no_grad():
        model.blocks[0].scale -= 0.5
    assert (model.params["blocks.0.scale"] == 0).all()
    model.params = Net().params
    assert (model.blocks[0].scale.data == 0.5).all()


def test_parameters_of_layers_are_attributes():
    layer, norm = nn.Linear(2, 3, seed=0), nn.BatchNorm1d(3)
    assert layer.weight is next(layer.parameters())
    assert layer.weight.data is layer.params["weight"]
    with no_grad():
        layer.bias += 1
        norm.running_mean += 2
    assert (layer.params["bias"] == 1).all()
    assert (norm.buffers["running_mean"] == 2).all()
    assert norm.running_mean.persistent
    assert not norm.running_mean.requires_grad
    assert not hasattr(nn.Linear(2, 3, bias=False), "bias")
    for module in (layer, Net(), nn.Sequential(layer), nn.ReLU()):
        with pytest.raises(AttributeError, match=f"'{type(module).__name__}' object has no attribute 'wieght'"):
            _ = module.wieght


def test_repr_is_a_table():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 3), nn.ReLU()])
            self.scale = nn.Parameter(np.ones(4))

        def forward(self, x):
            return x

    assert repr(Small()).splitlines() == [
        "Small(",
        "  (scale) Parameter     (4,)                         4",
        "  (layers) ModuleList(",
        "    (0) Linear(2, 3)    weight (2, 3), bias (3,)     9",
        "    (1) ReLU()",
        "  )",
        ")  13 parameters",
    ]


def test_attributes_can_change():
    model = Net()
    assert len(model.params) == 18
    model.heads["second"] = nn.Linear(36, 2, **DOUBLE)
    model.blocks.append(nn.ReLU())
    assert list(model.params)[-2:] == ["heads.second.weight", "heads.second.bias"]
    model.heads["classes"] = nn.Linear(36, 5, **DOUBLE)
    assert model.loss(X).shape == (4, 5)
    assert model.params["heads.classes.bias"].shape == (5,)
    del model.body
    assert not any(name.startswith("body") for name in model.params)
    model.blocks = None
    assert list(model.named_children()) == ["heads"]


def test_module_list_and_module_dict():
    first, second, third = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    listed = nn.ModuleList([first]).append(third)
    listed.insert(1, second)
    assert list(listed) == [first, second, third]
    assert listed[-1] is third
    assert list(listed[1:]) == [second, third]
    assert isinstance(listed[1:], nn.ModuleList)
    listed[0] = third
    del listed[1]
    assert [*listed, len(listed)] == [third, third, 2]
    named = nn.ModuleDict({"a": first})
    named.update({"b": second})
    assert list(named) == list(named.keys()) == ["a", "b"]
    assert "b" in named
    assert "c" not in named
    assert list(named.values()) == [first, second]
    assert list(named.items())[1] == ("b", second)
    del named["a"]
    assert len(named) == 1
    with pytest.raises(KeyError, match="a"):
        del named["a"]


# ---- calls ----


def test_calls_with_tensors_and_arrays(backend):
    model = Net().eval()
    out = model(Tensor(X))
    assert isinstance(out, Tensor)
    assert out.requires_grad
    array = model(X)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, out.data)
    np.testing.assert_array_equal(model(X.tolist()), array)
    with no_grad():
        assert not model(Tensor(X)).requires_grad
    assert model(X.astype(np.float32)).dtype == np.float64


def test_layers_called_with_tensors(backend):
    for layer in (
        nn.Conv2d(2, 3, 3, seed=0, **DOUBLE),
        nn.Sequential(nn.Conv2d(2, 3, 3, seed=0, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2), names=["W", "b"]),
        nn.Residual(nn.Conv2d(2, 2, 3, padding=1, seed=0, **DOUBLE)),
        nn.DenseBlock(nn.Conv2d(2, 2, 3, padding=1, seed=0, **DOUBLE)),
    ):
        x = Tensor(X, requires_grad=True)
        out = layer(x)
        expected, cache = layer.forward(X)
        np.testing.assert_array_equal(out.data, expected)
        assert out.grad_fn.name == type(layer).__name__
        out.sum().backward()
        dx, grads = layer.backward(np.ones_like(expected), cache)
        np.testing.assert_array_equal(x.grad.data, dx)
        for one, expected in zip(layer.parameters(), grads.values(), strict=True):
            np.testing.assert_array_equal(one.grad.data, expected)
        layer.zero_grad()
        assert all(one.grad is None for one in layer.parameters())


def test_training_and_eval_mode():
    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2, **DOUBLE)

        def forward(self, x):
            seen.append(self.norm.training)
            return self.norm(x)

    seen, model, x = [], Probe(), RNG.standard_normal((3, 2))
    model(x)
    model.loss(x)
    model.loss(x, np.array([0, 1, 1]))
    assert model.eval() is model
    model(Tensor(x))
    model.train()(Tensor(x))
    with nn.eval_mode():
        model(x)
    assert seen == [True, False, True, False, True, False]
    assert model.buffers["norm.num_batches_tracked"] == 3


def test_several_inputs_and_results():
    class Two(nn.Module):
        def forward(self, x, y, scale=1):
            return {"sum": (x + y) * scale, "both": [x, (y,)]}

    x, y = np.ones(2), np.full(2, 2.0)
    out = Two()(x, y, scale=3)
    np.testing.assert_array_equal(out["sum"], 9)
    np.testing.assert_array_equal(out["both"][1][0], y)
    out = Two()(Tensor(x, requires_grad=True), Tensor(y))
    assert out["sum"].requires_grad
    with pytest.raises(TypeError, match="forward"):
        Two()(x)


def test_images_are_cast_and_integers_are_not():
    class Kind(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.ones(1, np.float32))

        def forward(self, x):
            seen.append(x.dtype)
            return self.w * 1

    seen = []
    for dtype in (np.float64, np.uint8, np.int64, bool):
        Kind()(np.ones(1, dtype))
    assert seen == [np.float32, np.float32, np.int64, bool]


# ---- gradients ----


def test_gradients_are_numeric_ones(backend):
    model = Net()
    model.reg = 0.1
    model.blocks[0].regularized = ("scale",)
    _, grads = model.loss(X, Y)
    assert list(grads) == NAMES
    for name in (
        "blocks.0.scale",
        "blocks.1.norm.bias",
        "body.0.bias",
        "heads.classes.bias",
        "blocks.0.shortcut.weight",
    ):
        value = model.params[name]
        expected = eval_numerical_gradient(lambda _: model.loss(X, Y)[0], value, verbose=False)
        assert rel_error(expected, grads[name]) < 1e-6, name


def test_the_penalty_is_that_of_the_weights():
    model = Net()
    before, _ = model.loss(X, Y)
    model.reg = 0.1
    weights = [value for name, value in model.params.items() if name.endswith("weight") and "norm" not in name]
    assert model.loss(X, Y)[0] - before == pytest.approx(0.05 * sum((w * w).sum() for w in weights))


def test_gradients_are_torchs(backend):
    torch, judge = torchs()
    model = Net()
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    loss, grads = model.loss(X, Y)
    expected = torch.nn.functional.cross_entropy(judge(torch.from_numpy(X)), torch.from_numpy(Y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name, one in judge.named_parameters():
        theirs = one.grad.numpy()
        theirs = theirs.T if name == "heads.classes.weight" else theirs
        np.testing.assert_allclose(grads[name], theirs, rtol=1e-7, atol=1e-10, err_msg=name)


def test_loss_gives_the_gradients_of_backward():
    model, other = Net(), Net()
    _, grads = model.loss(X, Y)
    F.cross_entropy(other(Tensor(X)), Tensor(Y)).backward()
    for name, one in other.named_parameters():
        np.testing.assert_allclose(one.grad.data, grads[name], rtol=1e-12, atol=1e-15)
    assert all(one.grad is None for one in model.parameters())


def test_another_loss_function():
    class Named(nn.Module):
        loss_function = staticmethod(svm_loss)

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3, seed=0, **DOUBLE)

        def forward(self, x):
            return self.linear(x)

    x, y, model = RNG.standard_normal((2, 4)), np.array([0, 2]), Named()
    assert model.loss(x, y)[0] == svm_loss(model(x), y)[0]
    model.loss_function = mse_loss
    assert model.loss(x, np.ones((2, 3)))[0] == mse_loss(model(x), np.ones((2, 3)))[0]


class Shared(nn.Module):
    """One layer under two names, one Parameter in two modules, one Parameter that is not used."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, seed=0, **DOUBLE)
        self.second = self.first
        self.norm = nn.BatchNorm1d(3, **DOUBLE)
        self.same = self.norm
        self.scale = nn.Parameter(np.ones(3))
        self.inner = nn.ModuleDict()
        self.unused = nn.Parameter(np.ones(2))
        self.tied = self.scale

    def forward(self, x):
        return self.second(self.first(x).tanh()) * self.scale + self.tied


def test_shared_modules_and_parameters():
    model, x, y = Shared(), RNG.standard_normal((4, 3)), Y
    assert list(model.params) == ["scale", "unused", "first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert [name for name, _ in model.named_parameters()] == list(model.params)
    assert list(model.buffers) == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert {"second.weight", "first.weight", "tied", "scale", "same.running_var"} <= model.state_dict().keys()
    _, grads = model.loss(x, y)
    for name, value in model.params.items():
        expected = eval_numerical_gradient(lambda _: model.loss(x, y)[0], value, verbose=False)
        np.testing.assert_allclose(grads[name], expected, atol=1e-9)
    other = Shared()
    other.params["first.weight"] = np.zeros((3, 3))
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x), model(x))


def test_modules_with_a_forward_inside_containers(backend):
    def block(seed):
        return Block(2, 2, seed=seed)

    model = nn.Sequential(
        block(1), nn.Residual(block(3), shortcut=block(5)), nn.DenseBlock(nn.Sequential(block(7))), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(36, 3, seed=9, **DOUBLE), reg=0.1,
    )  # fmt: skip
    _, grads = model.loss(X, Y)
    assert list(grads) == list(model.params)
    assert "1.shortcut.conv.weight" in grads
    for name in ("0.scale", "1.0.scale", "1.shortcut.scale", "2.0.0.scale", "2.0.0.norm.bias", "0.shortcut.weight"):
        expected = eval_numerical_gradient(lambda _: model.loss(X, Y)[0], model.params[name], verbose=False)
        assert rel_error(expected, grads[name]) < 1e-6, name
    dx, _ = model.backward(np.ones((4, 3)), model.forward(X)[1])
    x = Tensor(X, requires_grad=True)
    model(x).sum().backward()
    np.testing.assert_allclose(x.grad.data, dx, rtol=1e-12)
    assert model.eval()(X).shape == (4, 3)
    assert [name for name, _ in model.named_parameters()] == list(model.params)


# ---- training and files ----


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
        x = RNG.standard_normal((4, 4))
        data = {"X_train": x, "y_train": Y, "X_val": x, "y_val": Y}
        with pytest.raises(FloatingPointError) as caught:
            Solver(model, data, verbose=False, seed=0, on_nonfinite="raise").train()
        return str(caught.value)

    said = message(Broken(lambda x: (x * 0 - 1).log()))
    assert re.search(r"log: the result contains NaN .* of shape \(100, 3\) in test_modules\.py, line \d+", said)
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
    for model, x in ((Net(), X), (nested, X), (Shared(), RNG.standard_normal((4, 3)))):
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


# ---- errors ----


def test_a_forward_that_returns_no_tensor():
    class Wrong(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.what = what

        def forward(self, x):
            return self.what(x)

    x = np.ones((4, 3))
    for what, said in ((lambda x: None, "None"), (lambda x: x.data, "array"), (lambda x: (x, None), "None inside")):
        for call in (lambda m: m(x), lambda m: m(Tensor(x)), lambda m: m.loss(x, Y), lambda m: m.loss(x)):
            with pytest.raises(TypeError, match=f"Wrong: forward returned .*{said}.*; expected a Tensor"):
                call(Wrong(what))
    with pytest.raises(TypeError, match="Wrong: forward returned a tuple of Tensors; expected one Tensor"):
        Wrong(lambda x: (x, x)).loss(x, Y)


def test_attributes_before_the_constructor_of_module():
    class Early(nn.Module):
        def __init__(self, value):
            self.number = 3
            self.layer = value
            super().__init__()

        def forward(self, x):
            return x

    for value in (nn.Linear(2, 3), nn.Parameter(np.ones(2)), nn.Buffer(np.ones(2))):
        with pytest.raises(AttributeError, match=r"Early: layer=\w+ is assigned before Module.__init__ was called"):
            Early(value)
    assert Early(None).layer is None


def test_names_that_clash():
    model = Net()
    for name in ("params", "forward", "loss", "train", "named_children"):
        with pytest.raises(ValueError, match=f"Net: {name}=ReLU would hide Net.{name}; expected a name"):
            setattr(model, name, nn.ReLU())
    with pytest.raises(
        ValueError, match=r"ModuleDict: the name 'a\.b' in modules does not fit; expected a string without a dot"
    ):
        nn.ModuleDict({"a.b": nn.ReLU()})
    with pytest.raises(TypeError, match="ModuleList: module '1' of modules is 3; expected a Module"):
        nn.ModuleList([nn.ReLU(), 3])
    with pytest.raises(
        TypeError, match=r"Block: scale is a Parameter, and would be replaced by a Tensor of shape \(2,\)"
    ):
        model.blocks[0].scale = autograd.ones(2)
    with pytest.raises(NotImplementedError, match="ModuleList: forward is missing"):
        model.blocks(X)


def test_containers_of_modules_that_share_or_change():
    first, second = Block(2, 2, seed=1), Block(2, 2, seed=3)
    model = nn.Sequential(first, second)
    second.shortcut = first.shortcut
    with pytest.raises(
        ValueError, match=r"Sequential: 1\.shortcut\.weight is 0\.shortcut\.weight again; expected each"
    ):
        nn.Sequential(first, second)
    assert model(X).shape == X.shape
    with pytest.raises(ValueError, match=r"x\.shape") as caught:
        model(X[:, :1])
    assert "raised by layer 0, Block, given x of shape (4, 1, 6, 6)" in caught.value.__notes__
    second.more = nn.Parameter(np.ones(2))
    with pytest.raises(
        RuntimeError, match=r"Block: its parameters are .*'more'.*; make the container after the change"
    ):
        model.forward(X)


def test_parameters_are_floats():
    with pytest.raises(TypeError, match="requires_grad"):
        nn.Parameter(np.ones(2, np.int64))
    assert nn.Parameter(autograd.ones(2)).requires_grad


def test_params_of_a_constructor_become_parameters():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__(factor=np.full(2, 2.0))

        def forward(self, x):
            return x * self.factor

    model = Scale()
    assert list(model.params) == ["factor"]
    np.testing.assert_array_equal(model(np.ones((1, 2))), 2)
