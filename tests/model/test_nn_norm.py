"""Normalization layers: torch parity in both modes, running statistics by hand, invalid inputs."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.testing import assert_same

CASES = {
    "BatchNorm1d": ((4,), {}, (5, 4)),
    "BatchNorm1d of sequences": ((4,), {"eps": 1e-3}, (5, 4, 3)),
    "BatchNorm2d": ((4,), {"momentum": 0.3}, (3, 4, 2, 5)),
    "BatchNorm2d cumulative": ((4,), {"momentum": None}, (3, 4, 2, 5)),
    "BatchNorm2d without weights": ((4,), {"affine": False}, (3, 4, 2, 5)),
    "LayerNorm": ((4,), {}, (5, 4)),
    "LayerNorm of sequences": ((4,), {"eps": 1e-2}, (5, 3, 4)),
    "LayerNorm of images": (((4, 2, 5),), {}, (3, 4, 2, 5)),
    "LayerNorm without bias": (((2, 5),), {"bias": False}, (3, 4, 2, 5)),
    "LayerNorm without weights": ((4,), {"elementwise_affine": False}, (5, 4)),
    "GroupNorm": ((2, 4), {}, (3, 4, 2, 5)),
    "GroupNorm of rows": ((1, 4), {"eps": 1e-3}, (3, 4)),
    "GroupNorm of sequences": ((2, 4), {"affine": False}, (3, 4, 7)),
    "InstanceNorm2d": ((4,), {"affine": True}, (3, 4, 2, 5)),
    "InstanceNorm2d without weights": ((4,), {"eps": 1e-3}, (3, 4, 4, 5)),
}


def normal(*shape, dtype=np.float32, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("name", CASES)
def test_layers_agree_with_their_torch_namesakes(backend, name):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    arguments, options, shape = CASES[name]
    kind = name.split()[0]
    ours, theirs = getattr(nn, kind)(*arguments, **options), getattr(torch.nn, kind)(*arguments, **options)
    for seed, key in enumerate(ours.params):
        ours.params[key] += normal(*ours.params[key].shape, seed=seed) / 4
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    for step, training in enumerate((True, True, False)):
        x = 2 * normal(*shape, seed=step) + 3
        tensor = torch.tensor(x, requires_grad=True)
        expected = theirs.train(training)(tensor)
        actual, cache = ours.train(training).forward(x)
        assert_same(actual, expected.detach().numpy(), terms=1000)
        dout = normal(*shape, seed=9)
        theirs.zero_grad()
        expected.backward(torch.tensor(dout))
        dx, grads = ours.backward(dout, cache)
        assert_same(dx, tensor.grad.numpy(), terms=1000)
        assert_same(grads, {key: value.grad.numpy() for key, value in theirs.named_parameters()}, terms=1000)
        assert ours.backward(dout, cache, need_dx=False)[0] is None
        if training and "running_var" in ours.buffers:  # torch uses the unbiased variance
            assert_same(ours.buffers["running_mean"], theirs.running_mean.numpy(), terms=1000)
            elements = x.size // 4
            share = 1 / (step + 1) if options.get("momentum", 0.1) is None else options.get("momentum", 0.1)
            batch = x.swapaxes(0, 1).reshape(4, -1).astype(np.float64).var(axis=1)
            before = theirs.running_var.numpy() - share * batch * elements / (elements - 1)
            assert_same(ours.buffers["running_var"], before + share * batch, terms=1000)
            theirs.running_var.copy_(torch.tensor(ours.buffers["running_var"]))
            assert int(theirs.num_batches_tracked) == ours.buffers["num_batches_tracked"]


def test_running_statistics_by_hand(backend):
    layer = nn.BatchNorm1d(1, momentum=0.25, dtype=np.float64)
    layer.forward(np.array([[1.0], [3.0]]))  # mean 2, biased variance 1
    assert layer.buffers == {"running_mean": [0.5], "running_var": [1.0], "num_batches_tracked": 1}
    layer.forward(np.array([[4.0], [10.0]]))  # mean 7, biased variance 9
    assert layer.buffers == {"running_mean": [2.125], "running_var": [3.0], "num_batches_tracked": 2}
    layer.eval()
    np.testing.assert_allclose(layer(np.array([[2.125], [5.125]])), [[0], [3 / np.sqrt(3 + 1e-5)]])
    assert layer.buffers == {"running_mean": [2.125], "running_var": [3.0], "num_batches_tracked": 2}


def test_cumulative_statistics_are_means_of_all_batches(backend):
    layer = nn.BatchNorm1d(2, momentum=None, dtype=np.float64)
    batches = [normal(4, 2, dtype=np.float64, seed=seed) for seed in range(5)]
    for x in batches:
        layer(x)
    np.testing.assert_allclose(layer.buffers["running_mean"], np.mean([x.mean(axis=0) for x in batches], axis=0))
    np.testing.assert_allclose(layer.buffers["running_var"], np.mean([x.var(axis=0) for x in batches], axis=0))


def test_buffers_that_somebody_holds_do_not_change(backend):
    layer = nn.BatchNorm1d(2)
    before = dict(layer.buffers)
    layer(normal(4, 2))
    assert before["num_batches_tracked"] == 0
    assert not before["running_mean"].any()


def test_layers_without_weights_have_no_gradients(backend):
    for layer in (nn.BatchNorm1d(3, affine=False), nn.LayerNorm(3, elementwise_affine=False)):
        out, cache = layer.forward(normal(4, 3))
        assert layer.backward(out, cache)[1] == layer.params == {}
        np.testing.assert_array_equal(layer.weight_and_bias()[0], 1)


def test_an_empty_batch(backend):
    for layer in (nn.BatchNorm1d(3).eval(), nn.LayerNorm(3), nn.GroupNorm(3, 3)):
        x = np.zeros((0, 3), np.float32)
        out, cache = layer.forward(x)
        dx, grads = layer.backward(out, cache)
        assert out.shape == dx.shape == (0, 3)
        assert not grads["weight"].any()
    with pytest.raises(ValueError, match=r"batchnorm_forward: x\.shape = \(0, 3\)"):
        nn.BatchNorm1d(3)(np.zeros((0, 3), np.float32))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm1d(3), (4, 2), r"BatchNorm1d\(3\): x\.shape = \(4, 2\) does not fit; expected \(N, 3\)"),
        (nn.BatchNorm1d(3), (4, 2, 3), r"BatchNorm1d\(3\): x\.shape = .*expected \(N, 3, L\)"),
        (nn.BatchNorm1d(3), (4, 3, 2, 2), r"BatchNorm1d\(3\): x\.shape = .*expected \(N, 3\)"),
        (nn.BatchNorm2d(3), (4, 3), r"BatchNorm2d\(3\): x\.shape = \(4, 3\) .*expected \(N, 3, H, W\)"),
        (nn.LayerNorm(3), (4, 2), r"LayerNorm\(3\): x\.shape = \(4, 2\) .*expected \(N, \.\.\., 3\)"),
        (nn.LayerNorm(3), (3,), r"LayerNorm\(3\): x\.shape = \(3,\)"),
        (nn.LayerNorm((2, 3)), (4, 3, 2), r"LayerNorm\(\(2, 3\)\): x\.shape = .*expected \(N, \.\.\., 2, 3\)"),
        (nn.LayerNorm((2, 3)), (3,), r"LayerNorm\(\(2, 3\)\): x\.shape = \(3,\)"),
        (nn.GroupNorm(2, 4), (3, 2, 5), r"GroupNorm\(2, 4\): x\.shape = .*expected \(N, 4, \.\.\.\)"),
        (nn.InstanceNorm2d(4), (3, 4, 5), r"InstanceNorm2d\(4\): x\.shape = \(3, 4, 5\)"),
        (nn.GroupNorm(2, 4), (4,), r"GroupNorm\(2, 4\): x\.shape = \(4,\)"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features=0 is out of range"),
        (lambda: nn.BatchNorm2d(3, eps=0), ValueError, "BatchNorm2d: eps=0 is out of range"),
        (lambda: nn.BatchNorm2d(3, momentum=1.5), ValueError, r"BatchNorm2d: momentum=1\.5 is out of range"),
        (lambda: nn.BatchNorm2d(3, dtype=int), TypeError, "BatchNorm2d: dtype=.*is not supported here"),
        (lambda: nn.LayerNorm(()), ValueError, r"LayerNorm: normalized_shape=\(\) has no axes"),
        (lambda: nn.LayerNorm((3, 0)), ValueError, "LayerNorm: normalized_shape=0 is out of range"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "GroupNorm: num_channels=3 is not a multiple of num_groups=2"),
        (lambda: nn.GroupNorm(0, 3), ValueError, "GroupNorm: num_groups=0 is out of range"),
    ],
)
def test_faulty_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.BatchNorm1d(3), "BatchNorm1d(3)"),
        (nn.BatchNorm2d(3, 1e-3, None, False), "BatchNorm2d(3, eps=0.001, momentum=None, affine=False)"),
        (nn.LayerNorm([3]), "LayerNorm(3)"),
        (nn.LayerNorm((3, 2), bias=False), "LayerNorm((3, 2), bias=False)"),
        (nn.GroupNorm(2, 4, affine=False), "GroupNorm(2, 4, affine=False)"),
        (nn.InstanceNorm2d(4), "InstanceNorm2d(4)"),
        (nn.InstanceNorm2d(4, affine=True), "InstanceNorm2d(4, affine=True)"),
    ],
)
def test_repr(layer, expected):
    assert repr(layer) == expected
