"""The course's normalization layers: checks of the notebooks, modes, running averages and caches."""

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.testing import assert_same

FORWARD = {"batchnorm": layers.batchnorm_forward, "spatial_batchnorm": layers.spatial_batchnorm_forward}


@pytest.fixture(autouse=True)
def _the_seed_of_the_course():
    state = np.random.get_state()
    np.random.seed(231)
    yield
    np.random.set_state(state)


def network(weights=None):
    """Return features of a random two-layer network, as in the notebook."""
    X = np.random.randn(200, 50)
    W1, W2 = weights or (np.random.randn(50, 60), np.random.randn(60, 3))
    return np.maximum(0, X @ W1) @ W2


def moments(a, axis):
    return a.mean(axis=axis), a.std(axis=axis)


def test_batchnorm_in_training(backend):
    a = network()
    for gamma, beta in ((np.ones(3), np.zeros(3)), (np.array([1.0, 2, 3]), np.array([11.0, 12, 13]))):
        out, _ = layers.batchnorm_forward(a, gamma, beta, {"mode": "train"})
        mean, std = moments(out, 0)
        np.testing.assert_allclose(mean, beta, atol=1e-13)
        np.testing.assert_allclose(std, gamma, rtol=1e-6)


@pytest.mark.parametrize("name", FORWARD)
def test_batchnorm_at_test_time_uses_the_running_averages(backend, name):
    bn_param, weights = {"mode": "train"}, (np.random.randn(50, 60), np.random.randn(60, 3))
    for _ in range(50):
        a = network(weights)
        a = a.reshape(20, 3, 2, 5) if name == "spatial_batchnorm" else a
        FORWARD[name](a, np.ones(3), np.zeros(3), bn_param)
    bn_param["mode"] = "test"
    before = {key: np.copy(value) for key, value in bn_param.items()}
    out, _ = FORWARD[name](a, np.ones(3), np.zeros(3), bn_param)
    mean, std = moments(out, (0, 2, 3) if name == "spatial_batchnorm" else 0)
    np.testing.assert_allclose(mean, 0, atol=0.2)
    np.testing.assert_allclose(std, 1, atol=0.15)
    for key, value in before.items():
        np.testing.assert_array_equal(bn_param[key], value)


def test_running_averages(backend):
    x = np.array([[1.0, 2], [3, 2]])
    bn_param = {"mode": "train", "momentum": np.float64(0.75)}
    layers.batchnorm_forward(x.astype(np.float32), np.ones(2, np.float32), np.zeros(2, np.float32), bn_param)
    assert bn_param["running_mean"].tolist() == [0.5, 0.5]
    assert bn_param["running_var"].tolist() == [0.25, 0]
    assert bn_param["running_mean"].dtype == np.float32
    given = bn_param["running_mean"]
    layers.batchnorm_forward(x, np.ones(2), np.zeros(2), bn_param)
    assert bn_param["running_mean"].tolist() == [0.875, 0.875]
    assert given.tolist() == [0.5, 0.5], "an array of the caller was modified"
    fresh = {"mode": "test"}
    out, _ = layers.batchnorm_forward(x, np.ones(2), np.zeros(2), fresh)
    np.testing.assert_allclose(out, x / np.sqrt(1e-5))
    assert fresh["running_mean"].tolist() == fresh["running_var"].tolist() == [0, 0]


def check_gradients(forward, backward, arrays, dout, error):
    """The notebook's gradient check, for x, gamma and beta."""
    _, cache = forward(*arrays)
    for array, actual in zip(arrays, backward(dout, cache), strict=True):
        expected = eval_numerical_gradient_array(lambda _: forward(*arrays)[0], array, dout)
        assert actual.shape == array.shape
        assert rel_error(expected, actual) < error


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("backward", [layers.batchnorm_backward, layers.batchnorm_backward_alt])
def test_gradients_of_batchnorm(backend, backward, mode):
    x, gamma, beta, dout = 5 * np.random.randn(4, 5) + 12, np.random.randn(5), np.random.randn(5), np.random.randn(4, 5)
    bn_param = {"mode": mode, "running_mean": np.full(5, 11.0), "running_var": np.full(5, 20.0)}

    def forward(x, gamma, beta):
        return layers.batchnorm_forward(x, gamma, beta, dict(bn_param))

    check_gradients(forward, backward, [x, gamma, beta], dout, 1e-8)


def test_the_two_backward_forms_agree(backend):
    x, gamma, beta = 5 * np.random.randn(100, 500) + 12, np.random.randn(500), np.random.randn(500)
    dout = np.random.randn(100, 500)
    _, cache = layers.batchnorm_forward(x, gamma, beta, {"mode": "train"})
    for one, other in zip(
        layers.batchnorm_backward(dout, cache), layers.batchnorm_backward_alt(dout, cache), strict=True
    ):
        assert rel_error(one, other) < 1e-11
        np.testing.assert_allclose(one, other, atol=1e-12, rtol=1e-12)


def test_layernorm(backend):
    a = network()
    out, _ = layers.layernorm_forward(a, 3 * np.ones(3), 5 * np.ones(3), {})
    mean, std = moments(out, 1)
    np.testing.assert_allclose(mean, 5, atol=1e-12)
    np.testing.assert_allclose(std, 3, rtol=1e-4)
    x, gamma, beta, dout = 5 * np.random.randn(4, 5) + 12, np.random.randn(5), np.random.randn(5), np.random.randn(4, 5)

    def forward(x, gamma, beta):
        return layers.layernorm_forward(x, gamma, beta, {"eps": 1e-4})

    check_gradients(forward, layers.layernorm_backward, [x, gamma, beta], dout, 1e-8)


def test_spatial_batchnorm(backend):
    x = 4 * np.random.randn(2, 3, 4, 5) + 10
    for gamma, beta in ((np.ones(3), np.zeros(3)), (np.array([3.0, 4, 5]), np.array([6.0, 7, 8]))):
        out, _ = layers.spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})
        mean, std = moments(out, (0, 2, 3))
        assert out.shape == x.shape
        np.testing.assert_allclose(mean, beta, atol=1e-13)
        np.testing.assert_allclose(std, gamma, rtol=1e-5)
    x, dout = 5 * np.random.randn(2, 3, 4, 5) + 12, np.random.randn(2, 3, 4, 5)

    def forward(x, gamma, beta):
        return layers.spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})

    arrays = [x, np.random.randn(3), np.random.randn(3)]
    check_gradients(forward, layers.spatial_batchnorm_backward, arrays, dout, 1e-7)


def test_spatial_groupnorm(backend):
    x, G = 4 * np.random.randn(2, 6, 4, 5) + 10, 2
    out, _ = layers.spatial_groupnorm_forward(x, np.ones((1, 6, 1, 1)), np.zeros((1, 6, 1, 1)), G, {})
    mean, std = moments(out.reshape(4, -1), 1)
    np.testing.assert_allclose(mean, 0, atol=1e-13)
    np.testing.assert_allclose(std, 1, rtol=1e-6)
    x, dout = 5 * np.random.randn(2, 6, 4, 5) + 12, np.random.randn(2, 6, 4, 5)

    def forward(x, gamma, beta):
        return layers.spatial_groupnorm_forward(x, gamma, beta, G, {"eps": 1e-5})

    arrays = [x, np.random.randn(1, 6, 1, 1), np.random.randn(1, 6, 1, 1)]
    check_gradients(forward, layers.spatial_groupnorm_backward, arrays, dout, 1e-6)


def test_spatial_instancenorm(backend):
    x, dout = 4 * np.random.randn(2, 3, 4, 5) + 10, np.random.randn(2, 3, 4, 5)
    out, _ = layers.spatial_instancenorm_forward(x, np.ones(3), np.zeros(3), {})
    np.testing.assert_allclose(out.mean(axis=(2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=(2, 3)), 1, atol=1e-4)

    def forward(x, gamma, beta):
        return layers.spatial_instancenorm_forward(x, gamma, beta, {"eps": 1e-5})

    check_gradients(forward, layers.spatial_instancenorm_backward, [x, *np.random.randn(2, 3)], dout, 1e-6)


def cases():
    """Every layer with its arguments."""
    normal = np.random.randn
    rows, images, per_feature, per_channel = normal(6, 4), normal(3, 4, 5, 2), normal(2, 4), normal(2, 1, 4, 1, 1)
    averages = {"running_mean": normal(4), "running_var": np.random.rand(4) + 0.5}
    for mode in ("train", "test"):
        yield "batchnorm", (rows, *per_feature, {"mode": mode, **averages})
        yield "spatial_batchnorm", (images, *per_feature, {"mode": mode, **averages})
    yield "layernorm", (rows, *per_feature, {})
    yield "spatial_groupnorm", (images, *per_channel, 2, {})
    yield "spatial_instancenorm", (images, *per_feature, {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_caches_work_on_any_backend(backend, dtype):
    for name, arguments in cases():
        x, gamma, beta, *others = (a.astype(dtype) if isinstance(a, np.ndarray) else a for a in arguments)
        params = [dict(other) if isinstance(other, dict) else other for other in others]
        for key in ("running_mean", "running_var"):
            if key in params[-1]:
                params[-1][key] = params[-1][key].astype(dtype)
        forward, backward = getattr(layers, f"{name}_forward"), getattr(layers, f"{name}_backward")
        out, cache = forward(x, gamma, beta, *params)
        dout = np.random.randn(*out.shape).astype(dtype)
        actual = backward(dout, cache)
        assert all(result.dtype == dtype for result in (out, *actual))
        with fastnn.use_backend("naive"):
            assert_same(backward(dout, cache), actual, terms=x.size)
            assert_same(forward(x, gamma, beta, *params)[0], out, terms=x.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_averages_follow_torch(backend, dtype):
    """Torch uses the unbiased running variance, and the momentum of the batch instead of the average."""
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    peer = torch.nn.BatchNorm2d(3, momentum=0.2, dtype=torch.float32 if dtype == np.float32 else torch.float64)
    ones, zeros = np.ones(3, dtype), np.zeros(3, dtype)
    bn_param = {"mode": "train", "momentum": 0.8, "running_mean": zeros, "running_var": zeros}
    peer.running_var.zero_()
    for _ in range(4):
        x = np.random.randn(5, 3, 4, 2).astype(dtype)
        out, _ = layers.spatial_batchnorm_forward(x, ones, zeros, bn_param)
        assert_same(out, peer(torch.tensor(x)).detach().numpy(), terms=40)
    assert_same(bn_param["running_mean"], peer.running_mean.numpy(), terms=40)
    assert_same(bn_param["running_var"] * 40 / 39, peer.running_var.numpy(), terms=40)


ROWS, GAMMA = np.ones((2, 4)), np.ones(4)


@pytest.mark.parametrize(
    ("bn_param", "error", "message"),
    [
        ({}, ValueError, "bn_param lacks the key 'mode'"),
        (None, TypeError, "bn_param=None is not a dict"),
        ({"mode": "trian"}, ValueError, r"bn_param\['mode'\]='trian' is unknown; expected .*; did you mean 'train'"),
        ({"mode": "train", "epsilon": 1}, ValueError, r"bn_param\['epsilon'\] is unknown"),
        ({"mode": "train", "eps": 0}, ValueError, r"bn_param\['eps'\]=0 is out of range"),
        ({"mode": "train", "momentum": 1.5}, ValueError, r"bn_param\['momentum'\]=1.5 is out of range"),
        ({"mode": "train", "running_var": np.ones(3)}, ValueError, r"bn_param\['running_var'\].shape = \(3,\) does"),
    ],
)
def test_faulty_bn_param(backend, bn_param, error, message):
    with pytest.raises(error, match=f"^batchnorm_forward: {message}"):
        layers.batchnorm_forward(ROWS, GAMMA, GAMMA, bn_param)


def test_faulty_arguments(backend):
    images = np.ones((2, 4, 3, 3))
    with pytest.raises(ValueError, match=r"batchnorm_forward: x.shape = \(2, 4, 3, 3\) has 4 axes; expected \(N, D\)"):
        layers.batchnorm_forward(images, GAMMA, GAMMA, {"mode": "train"})
    with pytest.raises(ValueError, match=r"spatial_batchnorm_forward: x.shape = \(2, 4\) has 2 axes"):
        layers.spatial_batchnorm_forward(ROWS, GAMMA, GAMMA, {"mode": "train"})
    with pytest.raises(ValueError, match=r"layernorm_forward: ln_param\['momentum'\] is unknown; expected only"):
        layers.layernorm_forward(ROWS, GAMMA, GAMMA, {"momentum": 0.9})
    with pytest.raises(ValueError, match=r"layernorm_forward: ln_param\['mode'\]='trian' is unknown"):
        layers.layernorm_forward(ROWS, GAMMA, GAMMA, {"mode": "trian"})
    with pytest.raises(ValueError, match=r"spatial_groupnorm_forward: gamma.shape = \(4,\) has 1 axes"):
        layers.spatial_groupnorm_forward(images, GAMMA, GAMMA, 2, {})
    columns = GAMMA.reshape(1, 4, 1, 1)
    with pytest.raises(ValueError, match="groups=3 does not divide the channels C = 4"):
        layers.spatial_groupnorm_forward(images, columns, columns, 3, {})
    with pytest.raises(ValueError, match=r"gn_param\['eps'\]=-1 is out of range"):
        layers.spatial_groupnorm_forward(images, columns, columns, 2, {"eps": -1})
