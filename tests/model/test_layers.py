"""The course's layers: figures of the notebooks, gradients, parameters and caches."""

import numpy as np
import pytest

import fastnn
from fastnn import fast_layers, layers
from fastnn.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from fastnn.kernels import conv2d, pool2d
from fastnn.kernels.dispatch import switch
from fastnn.testing import assert_same

CONV = {"stride": 2, "pad": 1}
POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}
HAS_DEFAULT = any(line.available for line in fastnn.backends() if line.name == switch.DEFAULT)


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Each function, with arguments of which the leading `arrays` ones have a gradient.
PAIRS = {
    "affine": ((normal(3, 2, 4), normal(8, 5, seed=1), normal(5, seed=2)), 3),
    "relu": ((normal(3, 4),), 1),
    "leaky_relu": ((normal(3, 4), 0.1), 1),
    "prelu": ((normal(3, 4, 2), normal(4, seed=1)), 2),
    "elu": ((normal(3, 4), 0.7), 1),
    "sigmoid": ((normal(3, 4),), 1),
    "tanh": ((normal(3, 4),), 1),
    "gelu": ((normal(3, 4),), 1),
    "maxout": ((normal(3, 6, 2), 3), 1),
    "dropout": ((normal(3, 4), {"p": 0.6, "mode": "train", "seed": 1}), 1),
    "conv": ((normal(2, 3, 5, 4), normal(2, 3, 3, 2, seed=1), normal(2, seed=2), {"stride": (2, 1), "pad": (1, 0)}), 3),
    "max_pool": ((normal(2, 3, 5, 4), {"pool_height": 3, "pool_width": 2, "stride": 1}), 1),
    "avg_pool": ((normal(2, 3, 5, 4), {"pool_height": 3, "pool_width": 2, "stride": (2, 1), "pad": 1}), 1),
    "global_avg_pool": ((normal(2, 3, 4, 5),), 1),
}


def functions(name):
    return getattr(layers, f"{name}_forward"), getattr(layers, f"{name}_backward")


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_agree_with_numeric_ones(backend, name):
    (arguments, arrays), (forward, backward) = PAIRS[name], functions(name)
    out, cache = forward(*arguments)
    dout = normal(*out.shape, seed=9)
    gradients = backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == arrays
    for x, actual in zip(arguments, gradients, strict=False):
        expected = eval_numerical_gradient_array(lambda _: forward(*arguments)[0], x, dout)
        assert actual.shape == x.shape
        assert rel_error(expected, actual) < 1e-7


@pytest.mark.parametrize("name", PAIRS)
def test_results_have_the_dtype_of_the_inputs_and_caches_work_on_any_backend(backend, name):
    (arguments, _), (forward, backward) = PAIRS[name], functions(name)
    arguments = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in arguments]
    out, cache = forward(*arguments)
    dout = normal(*out.shape, dtype=np.float32, seed=9)
    actual = backward(dout, cache)
    assert out.dtype == np.float32
    assert all(gradient.dtype == np.float32 for gradient in (actual if isinstance(actual, tuple) else (actual,)))
    with fastnn.use_backend("naive"):
        assert_same(out, forward(*arguments)[0], terms=100)
        assert_same(actual, backward(dout, cache), terms=100)


def test_affine_forward_figure(backend):
    x = np.linspace(-0.1, 0.5, 240).reshape(2, 4, 5, 6)
    w = np.linspace(-0.2, 0.3, 360).reshape(120, 3)
    out, _ = layers.affine_forward(x, w, np.linspace(-0.3, 0.1, 3))
    expected = np.array([[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]])
    assert rel_error(out, expected) < 1e-9


def conv_arguments():
    x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
    w = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
    return x, w, np.linspace(-0.1, 0.2, 3), CONV


@pytest.mark.parametrize("forward", [layers.conv_forward_naive, layers.conv_forward])
def test_conv_forward_figure(backend, forward):
    out, _ = forward(*conv_arguments())
    assert rel_error(out[0, 0], [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]]) < 3e-8
    assert rel_error(out[1, 2], [[2.36270298, 2.36904306], [2.38090835, 2.38247847]]) < 3e-8


@pytest.mark.parametrize("forward", [layers.max_pool_forward_naive, layers.max_pool_forward])
def test_max_pool_forward_figure(backend, forward):
    out, _ = forward(np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4), POOL)
    assert rel_error(out[0, 0], [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]]) < 5e-8
    assert rel_error(out[1, 2, 1, 1], 0.4) < 5e-8


def test_loss_figures(backend):
    np.random.seed(231)
    x = 0.001 * np.random.randn(50, 10)
    y = np.random.randint(10, size=50)
    for function, expected, error in (  # the errors are rounding: eps * loss / (h * 0.02) = 1e-8
        (layers.svm_loss, 8.999602749096233, 1e-8),
        (layers.softmax_loss, 2.302545844500738, 3e-8),
    ):
        loss, dx = function(x, y)
        assert loss == pytest.approx(expected, rel=1e-13)
        expected = eval_numerical_gradient(lambda _, f=function: f(x, y)[0], x[:5], verbose=False)
        assert rel_error(dx[:5], expected) < error


def test_mse_loss(backend):
    loss, dx = layers.mse_loss(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [3.0, 1.0]]))
    assert loss == pytest.approx(17 / 4)
    np.testing.assert_allclose(dx, [[0.5, 0], [0, 2]])


def test_strided_convolution_agrees_with_the_loops(backend):
    x, w, b = normal(3, 3, 31, 31), normal(4, 3, 3, 3, seed=1), normal(4, seed=2)
    expected, naive_cache = layers.conv_forward_naive(x, w, b, CONV)
    actual, cache = layers.conv_forward(x, w, b, CONV)
    dout = normal(*expected.shape, seed=3)
    assert rel_error(expected, actual) < 1e-9
    assert_same(actual, expected, terms=27)
    assert_same(layers.conv_backward(dout, cache), layers.conv_backward_naive(dout, naive_cache), terms=3 * 16 * 16)


def test_naive_functions_are_the_loops_whatever_the_backend(backend, monkeypatch):
    seen = []
    for module, name in (
        (conv2d, "conv2d_forward"),
        (conv2d, "conv2d_backward"),
        (pool2d, "max_pool2d_forward"),
        (pool2d, "max_pool2d_backward"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: (seen.append(fastnn.get_backend()), None))
    layers.conv_forward_naive(None, None, None, CONV)
    layers.conv_backward_naive(None, (None, None, None, CONV))
    layers.max_pool_forward_naive(None, POOL)
    layers.max_pool_backward_naive(None, (None,) * 5)
    assert seen == ["naive"] * 4


@pytest.mark.skipif(
    not HAS_DEFAULT, reason=f"backend {switch.DEFAULT} cannot run here, which fast_layers take instead of naive"
)
def test_fast_layers(backend, monkeypatch):
    x, w, b, conv_param = conv_arguments()
    out, cache = fast_layers.conv_forward_fast(x, w, b, conv_param)
    assert_same(out, layers.conv_forward_naive(x, w, b, conv_param)[0], terms=48)
    expected = layers.conv_backward_naive(np.ones_like(out), cache)
    assert_same(fast_layers.conv_backward_fast(np.ones_like(out), cache), expected, terms=48)
    out, cache = fast_layers.max_pool_forward_fast(x, POOL)
    assert_same(out, layers.max_pool_forward_naive(x, POOL)[0])
    assert_same(fast_layers.max_pool_backward_fast(out, cache), layers.max_pool_backward_naive(out, cache))
    assert fast_layers.conv_backward_fast(np.ones((2, 3, 2, 2)), (x, w, b, conv_param), need_dx=False)[0] is None

    seen = []
    monkeypatch.setattr(conv2d, "conv2d_forward", lambda *_, **__: seen.append(fastnn.get_backend()))
    fast_layers.conv_forward_fast(x, w, b, conv_param)
    assert seen == [switch.DEFAULT if backend == "naive" else backend]


@pytest.mark.parametrize("name", ["affine", "conv"])
def test_dx_is_left_out_where_nobody_needs_it(backend, name):
    forward, backward = functions(name)
    out, cache = forward(*PAIRS[name][0])
    dx, *others = backward(np.ones_like(out), cache, need_dx=False)
    assert dx is None
    assert_same(tuple(others), backward(np.ones_like(out), cache)[1:])


def test_batches_without_images(backend):
    for name, (arguments, _) in PAIRS.items():
        forward, backward = functions(name)
        out, cache = forward(arguments[0][:0], *arguments[1:])
        gradients = backward(np.zeros_like(out), cache)
        dx = gradients[0] if isinstance(gradients, tuple) else gradients
        assert out.shape[0] == 0
        assert dx.shape == (0, *arguments[0].shape[1:])


def test_whole_floats_are_accepted(backend):
    x, w, b = normal(2, 3, 8, 8), normal(4, 3, 7, 7, seed=1), normal(4, seed=2)
    actual, _ = layers.conv_forward(x, w, b, {"stride": 1.0, "pad": (7 - 1) / 2})
    assert actual.shape == (2, 4, 8, 8)
    with pytest.raises(ValueError, match=r"pad=1\.5 is not an integer"):
        layers.conv_forward(x, w, b, {"stride": 1, "pad": 1.5})


@pytest.mark.parametrize(
    ("conv_param", "error", "message"),
    [
        ({"stride": 1}, ValueError, "conv_forward: conv_param lacks the key 'pad'"),
        ({"stride": 1, "pad": 0, "pda": 1}, ValueError, r"conv_param\['pda'\] is unknown.*did you mean 'pad'"),
        ((1, 0), TypeError, "conv_param=.* is not a dict"),
    ],
)
def test_faulty_conv_param(backend, conv_param, error, message):
    x, w, b, _ = conv_arguments()
    with pytest.raises(error, match=message):
        layers.conv_forward(x, w, b, conv_param)


def test_faulty_pool_param(backend):
    x = normal(1, 1, 4, 4)
    with pytest.raises(ValueError, match="max_pool_forward: pool_param lacks the key 'pool_width'"):
        layers.max_pool_forward(x, {"pool_height": 2, "stride": 2})
    with pytest.raises(ValueError, match=r"avg_pool_forward: pool_param\['strides'\] is unknown"):
        layers.avg_pool_forward(x, {**POOL, "strides": 2})


def test_affine_raises_for_a_number(backend):
    with pytest.raises(ValueError, match=r"affine_forward: x=1\.0 is not a batch"):
        layers.affine_forward(1.0, np.ones((1, 2)), np.zeros(2))
