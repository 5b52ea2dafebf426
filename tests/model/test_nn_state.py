"""state_dict and load_state_dict: torch's names and layouts, in both directions; errors change nothing."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.testing import assert_same


def normal(*shape, dtype=np.float32, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def ours():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6, momentum=0.2),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.GroupNorm(2, 6),
            shortcut=nn.Conv2d(4, 6, 1),
        ),
        nn.PReLU(6),
        nn.DenseBlock(nn.Conv2d(6, 2, 1), nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1))),
        nn.Flatten(),
        nn.Linear(11 * 9, 7),
        nn.LayerNorm(7),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(7, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )


def theirs():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    library = torch.nn

    class Residual(library.Sequential):
        def __init__(self, *layers, shortcut):
            super().__init__(*layers)
            self.count = len(layers)
            self.shortcut = shortcut

        def forward(self, x):
            out = x
            for layer in list(self.children())[: self.count]:
                out = layer(out)
            return out + self.shortcut(x)

    class DenseBlock(library.Sequential):
        def forward(self, x):
            for layer in self:
                x = torch.cat((x, layer(x)), dim=1)
            return x

    return library.Sequential(
        library.Conv2d(3, 4, 3, padding=1, bias=False),
        library.BatchNorm2d(4),
        library.ReLU(),
        library.MaxPool2d(2),
        Residual(
            library.Conv2d(4, 6, 3, padding=1),
            library.BatchNorm2d(6, momentum=0.2),
            library.ReLU(),
            library.Conv2d(6, 6, 3, padding=1),
            library.GroupNorm(2, 6),
            shortcut=library.Conv2d(4, 6, 1),
        ),
        library.PReLU(6),
        DenseBlock(
            library.Conv2d(6, 2, 1), library.Sequential(library.BatchNorm2d(8), library.ReLU(), library.Conv2d(8, 3, 1))
        ),
        library.Flatten(),
        library.Linear(11 * 9, 7),
        library.LayerNorm(7),
        library.ReLU(),
        library.Dropout(0),
        library.Linear(7, 5),
        library.BatchNorm1d(5),
        library.ReLU(),
        library.Linear(5, 3),
    )


def settled(model):
    """Return a network with non-trivial batch-norm statistics and weights."""
    for seed, value in enumerate(model.params.values()):
        value += normal(*value.shape, seed=seed) / 8
    for seed in range(3):
        model(normal(6, 3, 6, 6, seed=seed) + 1)
    return model


def test_weights_move_to_torch_and_outputs_agree(backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    source, target = settled(ours()), theirs()
    assert list(source.state_dict()) == list(target.state_dict())
    target.load_state_dict({name: torch.from_numpy(value) for name, value in source.state_dict().items()})
    X = normal(4, 3, 6, 6, seed=8)
    expected = target.eval()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(source.loss(X), expected, rtol=0, atol=1e-5)


def test_weights_come_from_torch_and_outputs_agree(backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    source, target = theirs(), ours()
    for seed in range(3):
        source(torch.tensor(normal(6, 3, 6, 6, seed=seed) + 1))
    differences = target.load_state_dict(source.state_dict())
    assert differences == ([], [])
    X = normal(4, 3, 6, 6, seed=8)
    expected = source.eval()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(target.loss(X), expected, rtol=0, atol=1e-5)
    assert target.buffers["1.num_batches_tracked"] == 3
    for name, value in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name], value.numpy())


def test_gradients_in_training_mode_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    model, judge = settled(ours()), theirs()
    model.layers[11].p = 0.0
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    X, y = normal(8, 3, 6, 6, seed=8), np.arange(8) % 3
    loss, grads = model.loss(X, y)
    expected = torch.nn.functional.cross_entropy(judge(torch.tensor(X)), torch.tensor(y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for name, value in judge.named_parameters():
        expected_gradient = value.grad.numpy()
        linear = value.ndim == 2
        np.testing.assert_allclose(grads[name], expected_gradient.T if linear else expected_gradient, atol=2e-5)
    for name in model.buffers:
        if name.endswith("running_mean"):
            assert_same(model.buffers[name], judge.state_dict()[name].numpy(), terms=1000)


def test_state_is_a_copy_in_torchs_layout():
    layer = nn.Linear(2, 3)
    state = layer.state_dict()
    np.testing.assert_array_equal(state["weight"], layer.params["weight"].T)
    assert state["weight"].flags.c_contiguous
    state["weight"][...] = 7
    state["bias"][...] = 7
    assert not (layer.params["weight"] == 7).any()
    assert not (layer.params["bias"] == 7).any()
    layer.load_state_dict(state)
    state["bias"][...] = 8
    assert (layer.params["weight"] == 7).all() and (layer.params["bias"] == 7).all()
    assert layer.params["weight"].shape == (2, 3)
    assert layer.params["weight"].flags.c_contiguous


def test_names_are_positions_whatever_the_parameters_are_called():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.BatchNorm1d(3), names=("W1", "b1", "gamma1", "beta1"))
    assert list(model.state_dict()) == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
        "2.running_mean",
        "2.running_var",
        "2.num_batches_tracked",
    ]
    assert list(model.buffers)[:2] == ["1.key", "1.draws"]
    model.load_state_dict({**model.state_dict(), "0.bias": np.ones(3)})
    np.testing.assert_array_equal(model.params["b1"], 1)


def test_what_does_not_fit_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = model.state_dict()
    wanted = {name: value + 1 for name, value in before.items()}
    lacking = {name: value for name, value in wanted.items() if name != "1.running_var"}
    cases = (
        (lacking, KeyError, r"Sequential\.load_state_dict: values lack \['1\.running_var'\] and have unexpected \[\]"),
        ({**wanted, "2.weight": 1}, KeyError, r"values lack \[\] and have unexpected \['2\.weight'\]"),
        ({**wanted, "1.bias": np.zeros(2)}, ValueError, r"'1\.bias' has shape \(2,\); expected \(3,\)"),
        ({**wanted, "0.weight": np.zeros((2, 3))}, ValueError, r"'0\.weight' has shape \(2, 3\); expected \(3, 2\)"),
        ({**wanted, "1.num_batches_tracked": 1.5}, TypeError, "'1.num_batches_tracked' has dtype float64"),
        ({**wanted, "1.bias": ["a", "b", "c"]}, TypeError, r"'1\.bias' has dtype <U1; expected float32"),
        ({**wanted, "1.bias": [[1], [2, 3]]}, TypeError, r"'1\.bias'=.* is not an array"),
        ([1], TypeError, r"load_state_dict: values=\[1\] is not a dict"),
    )
    for values, error, message in cases:
        with pytest.raises(error, match=message):
            model.load_state_dict(values)
        for name, expected in before.items():
            np.testing.assert_array_equal(model.state_dict()[name], expected)
    with pytest.raises(ValueError, match="has shape"):
        model.load_state_dict({"1.bias": np.zeros(2)}, strict=False)


def test_what_fits_is_taken_where_not_strict():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    weight = model.params["2.weight"].copy()
    differences = model.load_state_dict({"0.bias": np.ones(3), "9.bias": np.ones(3)}, strict=False)
    assert differences.missing_keys == ["0.weight", "2.weight", "2.bias"]
    assert differences.unexpected_keys == ["9.bias"]
    np.testing.assert_array_equal(model.params["0.bias"], 1)
    np.testing.assert_array_equal(model.params["2.weight"], weight)
