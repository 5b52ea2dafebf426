"""Modules that define nothing but `forward`: arrays by name, calls, errors."""

import numpy as np
import pytest
from small_modules import DOUBLE, NAMES, Block, Net, X, Y, normal

from fastnn import autograd, nn
from fastnn.autograd import Tensor, no_grad

pytestmark = pytest.mark.usefixtures("one_backend")


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
    layer, norm = nn.Linear(2, 3, init="normal"), nn.BatchNorm1d(3)
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

    seen, model, x = [], Probe(), normal(3, 2)
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
