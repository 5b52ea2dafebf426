"""Fused layers are found, and give the same results as their layers one by one."""

import numpy as np
import pytest
from operation_checks.nn import DOUBLE, convnet, normal

from fastnn import nn
from fastnn.layers import mse_loss
from fastnn.nn.fused import FUSED
from fastnn.testing import assert_same

IMAGES = (2, 3, 6, 5)


def test_fused_layers_are_found_and_change_nothing(backend, monkeypatch):
    def steps(model):
        return [type(step.module).__name__ for step in model._steps]

    model, X, y = convnet(reg=0.1), normal(2, 3, 6, 6), np.array([0, 2])
    assert steps(model) == ["Fused", "Fused", "Flatten", "Fused", "Linear"]
    loss, grads = model.loss(X, y)
    monkeypatch.setattr("fastnn.nn.fused.FUSED", {})
    plain = convnet(reg=0.1)
    assert steps(plain) == [type(layer).__name__ for layer in plain.layers]
    expected_loss, expected_grads = plain.loss(X, y)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    assert_same(grads, expected_grads, terms=1000)
    assert_same(model.loss(X), plain.loss(X), terms=100)


class Shifted(nn.ReLU):
    def forward(self, x):
        return super().forward(x - 1)


def test_layers_that_cannot_be_fused_are_computed_one_by_one():
    for layers in ((nn.Conv2d(1, 1, 1), Shifted()), (nn.Conv2d(1, 1, 1), nn.Tanh()), (nn.ReLU(), nn.MaxPool2d(2))):
        assert len(nn.Sequential(*layers)._steps) == 2
    padded = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2, padding=1))
    assert [step.position for step in padded._steps] == [0, 2]
    layers = (nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU(), nn.MaxPool2d(2, padding=1))
    assert [step.position for step in nn.Sequential(*layers)._steps] == [0, 3]


def test_fused_layer_without_bias(backend):
    model = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2), loss=mse_loss)
    X = normal(*IMAGES)
    _, grads = model.loss(X, np.zeros((2, 2, 2, 1)))
    assert list(grads) == ["0.weight"]


PARTS = {
    nn.Linear: lambda: nn.Linear(90, 4, **DOUBLE),
    nn.Conv2d: lambda: nn.Conv2d(3, 4, 3, padding=1, stride=(1, 2), **DOUBLE),
    nn.BatchNorm1d: lambda: nn.BatchNorm1d(4, eps=1e-3, momentum=0.3, dtype=np.float64),
    nn.BatchNorm2d: lambda: nn.BatchNorm2d(4, momentum=None, dtype=np.float64),
    nn.LayerNorm: lambda: nn.LayerNorm(4, eps=1e-3, dtype=np.float64),
    nn.ReLU: nn.ReLU,
    nn.MaxPool2d: lambda: nn.MaxPool2d(2),
}


def both(kinds, monkeypatch):
    """Return the same layers fused and one by one, with equal weights."""
    fused = nn.Sequential(*(PARTS[kind]() for kind in kinds))
    with monkeypatch.context() as patch:
        patch.setattr("fastnn.nn.fused.FUSED", {})
        plain = nn.Sequential(*(PARTS[kind]() for kind in kinds))
    assert [len(model._steps) for model in (fused, plain)] == [1, len(kinds)]
    for seed, (name, value) in enumerate(fused.params.items()):
        value += normal(*value.shape, seed=seed) / 8
        plain.params[name] = value
    return fused, plain


@pytest.mark.parametrize("kinds", FUSED, ids=lambda kinds: "-".join(kind.__name__ for kind in kinds))
def test_every_fused_layer_equals_its_layers(backend, monkeypatch, kinds):
    fused, plain = both(kinds, monkeypatch)
    for seed, training in enumerate((True, True, False)):
        x = normal(*IMAGES, seed=seed)
        out, cache = fused.train(training).forward(x)
        expected_out, expected_cache = plain.train(training).forward(x)
        assert_same(out, expected_out, terms=1000)
        assert_same(fused.buffers, plain.buffers, terms=1000)
        dout = normal(*out.shape, seed=9)
        for need_dx in (True, False):
            dx, grads = fused.backward(dout, cache, need_dx)
            expected_dx, expected_grads = plain.backward(dout, expected_cache, need_dx)
            assert_same(dx, expected_dx, terms=1000)
            assert_same(grads, expected_grads, terms=1000)
            assert list(grads) == list(fused.params)
    assert len(fused.buffers) == 0 or fused.buffers["1.num_batches_tracked"] == 2


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(90, 4), nn.BatchNorm1d(4, affine=False), nn.ReLU()),
        (nn.Linear(90, 4), nn.LayerNorm(4, bias=False), nn.ReLU()),
        (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU()),
        (nn.Conv2d(3, 4, 3), nn.LayerNorm((4, 4, 3)), nn.ReLU()),
        (nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()),
    ],
)
def test_normalizations_that_cannot_be_fused(layers):
    model = nn.Sequential(*layers)
    assert len(model._steps) == 3
    assert model(normal(*IMAGES)).shape[1] == 4


def test_a_normalization_of_another_size_is_named_in_the_error():
    model = nn.Sequential(nn.Linear(90, 4), nn.BatchNorm1d(3), nn.ReLU())
    with pytest.raises(ValueError, match=r"BatchNorm1d\(3\): x\.shape = \(2, 4\) does not fit; expected \(N, 3\)"):
        model(normal(*IMAGES))


def test_a_convolution_without_bias_before_a_normalization(backend):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), loss=mse_loss)
    _, grads = model.loss(normal(*IMAGES), np.zeros((2, 4, 4, 3)))
    assert list(grads) == ["0.weight", "1.weight", "1.bias"]
