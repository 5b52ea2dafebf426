"""Optimizers of parameters on the device, and batches of a DataLoader there."""

import numpy as np
import pytest

import fastnn
from fastnn import optim
from fastnn.autograd import Tensor
from fastnn.data_utils import DataLoader
from fastnn.kernels.dispatch import arrays

SHAPES = [(2, 3), (3,)]
RATES = [0.1, 0.0, 0.3]


def values(seed):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape) for shape in SHAPES]


def trained(name, backends, **options):
    """Return the parameters and the state after steps on these backends, one after the other."""
    params = [Tensor(value, requires_grad=True) for value in values(0)]
    optimizer = getattr(optim, name)(params, **options)
    for step, (backend, rate) in enumerate(zip(backends, RATES, strict=True)):
        with fastnn.use_backend(backend):
            optimizer.param_groups[0]["lr"] = rate
            for p, dw in zip(params, values(1 + step), strict=True):
                p.data, p.grad = arrays.to_device(arrays.to_numpy(p.data)), Tensor(dw)
            optimizer.step()
            on_device = [arrays.is_on_device(p.data) for p in params]
            assert on_device == [backend == "cuda"] * len(params)
    return [arrays.to_numpy(p.data) for p in params], optimizer.state_dict()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}), ("SGD", {"momentum": 0.9, "nesterov": True}), ("RMSprop", {}),
        ("Adagrad", {"initial_accumulator_value": 0.5, "lr_decay": 0.1}), ("Adam", {}), ("AdamW", {}), ("Lion", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backends", [("cuda",) * 3, ("vectorized", "cuda", "cuda")], ids=["there", "moved there"])
def test_steps_are_those_of_numpy(name, options, backends):
    expected, expected_state = trained(name, ("vectorized",) * 3, **options)
    actual, state = trained(name, backends, **options)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    for i, kept in expected_state["state"].items():
        for key, value in kept.items():
            assert isinstance(state["state"][i][key], type(value))
            np.testing.assert_allclose(state["state"][i][key], value, rtol=1e-12)


def test_a_state_is_loaded_to_the_device():
    _, state = trained("Adam", ("vectorized",) * 3)
    with fastnn.use_backend("cuda"):
        params = [Tensor(value, requires_grad=True) for value in values(0)]
        optimizer = optim.Adam(params)
        optimizer.load_state_dict(state)
        assert all(arrays.is_on_device(optimizer.state[p]["m"]) for p in params)


def test_batches_are_on_the_device():
    with fastnn.use_backend("cuda"):
        for x, y in DataLoader((np.ones((4, 2)), np.zeros(4, int)), batch_size=2):
            assert arrays.is_on_device(x.data)
            assert arrays.is_on_device(y.data)
        on_device = fastnn.to_device(np.arange(8.0).reshape(4, 2))
        (batch,) = DataLoader(on_device, batch_size=4)
        np.testing.assert_array_equal(arrays.to_numpy(batch.data), np.arange(8.0).reshape(4, 2))
