"""Tests of dilation: the naive loops against known values and PyTorch, every backend against the naive loops."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.conv2d import DTYPES, compared, draw, numeric_gradient

import fastnn
from fastnn import layer_utils, layers, nn
from fastnn.checkpoint import config
from fastnn.kernels import fused
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.testing import against_naive, assert_same

EPSILON = 1e-5


def problem(x_shape, w_shape, geometry, dtype=np.float64, whole=False, seed=0):
    """Return x, w, b, dout. geometry: stride, pad, dilation, each a pair."""
    rng = np.random.default_rng(seed)
    x, w, b = (draw(rng, shape, dtype, whole) for shape in (x_shape, w_shape, w_shape[:1]))
    lengths = zip(x_shape[2:], w_shape[2:], *geometry, strict=True)
    size = (
        1 + (length + 2 * pad - dilation * (width - 1) - 1) // stride
        for length, width, stride, pad, dilation in lengths
    )
    return x, w, b, draw(rng, (x_shape[0], w_shape[0], *size), dtype, whole)


def options(geometry):
    return dict(zip(("stride", "pad", "dilation"), geometry, strict=True))


def check(x, w, b, dout, geometry):
    """Compare forward and backward, with and without fused ReLU, with the naive loops."""
    stride, pad, dilation = geometry
    terms = max(w[0].size, w[:, 0].size, dout.size)
    out = against_naive(conv2d_forward, x, w, b, *geometry, terms=terms)
    dx, *others = against_naive(conv2d_backward, dout, x, w, stride, pad, True, dilation, terms=terms)
    nothing, *same = conv2d_backward(dout, x, w, stride, pad, False, dilation)
    assert nothing is None
    assert_same(same, others, terms=terms)
    out = against_naive(fused.conv2d_relu_forward, x, w, b, *geometry, terms=terms)
    against_naive(fused.conv2d_relu_backward, dout, x, w, out, stride, pad, True, dilation, terms=terms)
    return out, dx


@st.composite
def geometries(draw):
    """Draw images, filters and (stride, pad, dilation) with at least one window."""
    both = lambda low, high: draw(st.tuples(st.integers(low, high), st.integers(low, high)))  # noqa: E731
    kernel, stride, pad, dilation = both(1, 4), both(1, 4), both(0, 5), both(1, 5)
    smallest = [max(1, dilation[a] * (kernel[a] - 1) + 1 - 2 * pad[a]) for a in (0, 1)]
    size = draw(st.tuples(*[st.integers(least, least + 9) for least in smallest]))
    N, C, F = draw(st.integers(0, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    return (N, C, *size), (F, C, *kernel), (stride, pad, dilation)


# ---- the naive loops against independent references ----


def test_numbers_worked_by_hand(backend):
    x = np.arange(1.0, 26).reshape(1, 1, 5, 5)
    w = np.array([[[[1.0, 0], [0, -1]]], [[[0, 10], [100, 0]]]])
    out = conv2d_forward(x, w, np.array([0.5, 0]), dilation=(3, 2))
    # the first window reads rows 0 and 3, columns 0 and 2: 1, 3, 16, 18
    np.testing.assert_array_equal(out[0, 0], [[1 - 18 + 0.5, 2 - 19 + 0.5, 3 - 20 + 0.5], [6 - 23 + 0.5, -16.5, -16.5]])
    np.testing.assert_array_equal(out[0, 1], [[1630, 1740, 1850], [2180, 2290, 2400]])
    dout = np.zeros_like(out)
    dout[0, 0, 1, 2], dout[0, 1, 0, 0] = 3, 7
    dx, dw, db = conv2d_backward(dout, x, w, dilation=(3, 2))
    expected = np.zeros((5, 5))
    expected[1, 2], expected[4, 4], expected[0, 2], expected[3, 0] = 3, -3, 70, 700
    np.testing.assert_array_equal(dx[0, 0], expected)
    np.testing.assert_array_equal(dw, [[[[24, 30], [69, 75]]], [[[7, 21], [112, 126]]]])
    np.testing.assert_array_equal(db, [3, 7])


CASES = [
    ((3, 3, 9, 8), (4, 3, 3, 3), ((1, 1), (2, 2), (2, 2))),
    ((2, 5, 12, 9), (3, 5, 4, 2), ((3, 2), (2, 1), (2, 5))),
    ((2, 1, 11, 7), (6, 1, 2, 3), ((2, 4), (0, 3), (4, 2))),
    ((1, 2, 7, 7), (2, 2, 3, 1), ((4, 1), (3, 0), (3, 9))),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("x_shape", "w_shape", "geometry"), CASES)
def test_agrees_with_torch(backend, x_shape, w_shape, geometry, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b, dout = problem(x_shape, w_shape, geometry, dtype)
    stride, pad, dilation = geometry
    tensors = [torch.tensor(value, requires_grad=True) for value in (x, w, b)]
    expected = torch.nn.functional.conv2d(*tensors, stride=stride, padding=pad, dilation=dilation)
    expected.backward(torch.tensor(dout))
    assert_same(conv2d_forward(x, w, b, *geometry), expected.detach().numpy(), terms=w[0].size)
    actual = conv2d_backward(dout, x, w, stride, pad, dilation=dilation)
    assert_same(actual, tuple(value.grad.numpy() for value in tensors), terms=dout.size)


@pytest.mark.parametrize(("x_shape", "w_shape", "geometry"), CASES[1:])
def test_gradients_agree_with_numeric_ones(backend, x_shape, w_shape, geometry):
    x_shape, w_shape = (1, min(2, x_shape[1]), *x_shape[2:]), (2, min(2, x_shape[1]), *w_shape[2:])
    x, w, b, dout = problem(x_shape, w_shape, geometry)
    gradients = conv2d_backward(dout, x, w, *geometry[:2], True, geometry[2])
    for position, actual in enumerate(gradients):

        def loss(value, position=position):
            given = [*(x, w, b)[:position], value, *(x, w, b)[position + 1 :]]
            return np.sum(dout * conv2d_forward(*given, *geometry))

        np.testing.assert_allclose(actual, numeric_gradient(loss, (x, w, b)[position]), rtol=1e-6, atol=1e-7)


def test_it_equals_a_filter_with_zeros_between_its_weights(backend):
    x, w, b, dout = problem((2, 3, 10, 9), (4, 3, 3, 2), ((2, 1), (1, 2), (3, 4)), whole=True)
    spread = np.zeros((4, 3, 7, 5))
    spread[:, :, ::3, ::4] = w
    np.testing.assert_array_equal(
        conv2d_forward(x, w, b, (2, 1), (1, 2), (3, 4)), conv2d_forward(x, spread, b, (2, 1), (1, 2))
    )
    actual = conv2d_backward(dout, x, w, (2, 1), (1, 2), True, (3, 4))
    dx, dw, db = conv2d_backward(dout, x, spread, (2, 1), (1, 2))
    assert_same(actual, (dx, np.ascontiguousarray(dw[:, :, ::3, ::4]), db), terms=1)


# ---- every backend against the naive loops ----


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
@settings(max_examples=60)
def test_any_geometry(backend, geometry, dtype, seed):
    check(*problem(*geometry, dtype, seed=seed), geometry[2])


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "geometry"),
    [
        ((2, 4, 16, 16), (8, 4, 3, 3), ((1, 1), (2, 2), (2, 2))),  # rows of whole vectors
        ((3, 2, 40, 48), (5, 2, 3, 3), ((1, 1), (0, 0), (4, 16))),  # vectors read directly from the images
        ((40, 3, 5, 4), (7, 3, 2, 2), ((1, 1), (1, 2), (3, 2))),  # images interleaved
        ((40, 3, 8, 7), (7, 3, 3, 2), ((2, 3), (2, 3), (2, 3))),  # and strides for which all taps have one remainder
        ((1, 33, 9, 9), (17, 33, 3, 3), ((2, 2), (3, 3), (3, 2))),
        ((2, 2, 6, 5), (3, 2, 2, 2), ((9, 8), (10, 9), (3, 4))),  # windows with a border between them
        ((2, 2, 6, 5), (3, 2, 3, 2), ((1, 2), (20, 31), (20, 33))),  # rows of a window with a border between them
    ],
)
def test_awkward_geometries(backend, x_shape, w_shape, geometry, dtype):
    check(*problem(x_shape, w_shape, geometry, dtype), geometry)


@compared
@pytest.mark.parametrize("geometry", [((1, 1), (2, 1), (2, 3)), ((2, 3), (0, 2), (3, 2))])
def test_fused_forms(backend, geometry):
    x, w, b, dout = problem((3, 2, 9, 10), (4, 2, 3, 2), geometry)
    kept, n = options(geometry), dout.size
    rng = np.random.default_rng(1)
    gamma, beta, var = rng.normal(size=4), rng.normal(size=4), rng.random(4) + 0.5
    for pooling in ((), (2, 1)):
        name = "conv2d_batchnorm_relu_pool" if pooling else "conv2d_batchnorm_relu"
        window = (*geometry[:2], pooling[0], pooling[1]) if pooling else geometry[:2]
        forward, backward = getattr(fused, f"{name}_forward"), getattr(fused, f"{name}_backward")
        with fastnn.use_backend("naive"):
            out, *rest = forward(x, w, b, gamma, beta, EPSILON, *window, dilation=geometry[2])
        index, (pre_norm, mean, variance) = (rest[0] if pooling else out), rest[-3:]
        last = (True, geometry[2])
        against_naive(forward, x, w, b, gamma, beta, EPSILON, *window, geometry[2], terms=n)
        dout = np.random.default_rng(2).normal(size=out.shape)
        kept_for = (dout, x, w, pre_norm, gamma, mean, variance, EPSILON, index, *window, *last)
        against_naive(backward, *kept_for, terms=n)
        inference = getattr(fused, f"{name}_inference")
        result = against_naive(inference, x, w, b, gamma, beta, b, var, EPSILON, *window, geometry[2], terms=n)
        seen = result[1] if pooling else result
        arguments = (dout, x, w, b, gamma, b, var, EPSILON, seen, *window, *last)
        against_naive(getattr(fused, f"{name}_inference_backward"), *arguments, terms=n)
    out, index = against_naive(fused.conv2d_relu_pool_forward, x, w, b, *geometry[:2], 2, 1, geometry[2], terms=n)
    dout = np.random.default_rng(3).normal(size=out.shape)
    against_naive(
        fused.conv2d_relu_pool_backward, dout, x, w, index, *geometry[:2], 2, 1, True, kept["dilation"], terms=n
    )


@pytest.mark.parametrize("backend", ["njit"], indirect=True)
def test_results_do_not_depend_on_the_number_of_threads(backend):
    from fastnn.kernels.cpu import threads

    x, w, b, dout = problem((9, 5, 14, 13), (11, 5, 3, 3), ((2, 1), (2, 3), (2, 3)), np.float32)

    def results():
        gradients = conv2d_backward(dout, x, w, (2, 1), (2, 3), dilation=(2, 3))
        return [conv2d_forward(x, w, b, (2, 1), (2, 3), (2, 3)), *gradients]

    with threads.use_num_threads(1):
        expected = results()
    for actual, one in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(actual, one)


# ---- invalid and huge dilations ----


@pytest.mark.parametrize(
    ("dilation", "error", "message"),
    [
        (0, ValueError, r"^conv2d_forward: dilation=0 is out of range; expected at least 1; choose such a value$"),
        ((1, -2), ValueError, r"^conv2d_forward: dilation=-2 is out of range"),
        (1.5, ValueError, r"^conv2d_forward: dilation=1.5 is not an integer"),
        ((1, 2, 3), ValueError, r"^conv2d_forward: dilation=\(1, 2, 3\) has 3 entries; expected an integer or \(hei"),
        ("2", TypeError, r"^conv2d_forward: dilation='2' is not a number"),
        (3, ValueError, r"^conv2d_forward: the window does not fit: its height = 7 \(3 rows with dilation=3\) exceeds "
         r"the padded image's 4 \+ 2\*1 = 6; expected it to fit at least once; use pad=2 or a smaller window$"),
        ((1, 2**64), ValueError, r"the window does not fit: its width = 36893488147419103233 \(3 columns with dila"),
    ],
)  # fmt: skip
def test_errors(backend, dilation, error, message):
    x, w, b = np.ones((2, 3, 4, 5)), np.ones((2, 3, 3, 3)), np.ones(2)
    with pytest.raises(error, match=message):
        conv2d_forward(x, w, b, 1, 1, dilation)
    with pytest.raises(error, match=message.replace("conv2d", "conv(2d)?")):
        layers.conv_forward(x, w, b, {"stride": 1, "pad": 1, "dilation": dilation})


@pytest.mark.parametrize("huge", [2**31, 2**40, 2**63, 2**100])
def test_dilation_of_a_single_row_is_ignored(backend, huge):
    x, w, b, dout = problem((2, 2, 5, 4), (3, 2, 1, 3), ((2, 1), (1, 1), (1, 1)))
    actual = [conv2d_forward(x, w, b, (2, 1), 1, (huge, 1)), *conv2d_backward(dout, x, w, (2, 1), 1, True, (huge, 1))]
    expected = [conv2d_forward(x, w, b, (2, 1), 1), *conv2d_backward(dout, x, w, (2, 1), 1)]
    assert_same(actual, expected, terms=1)
    with pytest.raises(
        ValueError, match=r"^conv2d_forward: pad=\(0, \d+\) asks for an array of \d+ numbers; expected at m"
    ):
        conv2d_forward(x, w, b, 1, (0, huge), (1, huge))


@pytest.mark.parametrize("backend", ["vectorized", "njit"], indirect=True)
def test_padding_that_no_window_reads_is_not_allocated(backend):
    """The padded image would take 512 MiB."""
    x, w, b = np.full((1, 1, 1, 1), 3.0), np.arange(9.0).reshape(1, 1, 3, 3), np.ones(1)
    conv2d_backward(conv2d_forward(x, w, b, 1, 4, 4), x, w, 1, 4, True, 4)  # compiled
    tracemalloc.start()
    out = conv2d_forward(x, w, b, 1, 2**12, 2**12)
    dx, dw, db = conv2d_backward(np.ones_like(out), x, w, 1, 2**12, True, 2**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (out, dx, db) == (13, 4, 1)
    np.testing.assert_array_equal(dw, [[[[0, 0, 0], [0, 3, 0], [0, 0, 0]]]])
    assert peak < 2**20


# ---- layers and modules ----


def test_layers_take_it_from_conv_param(backend):
    x, w, b, dout = problem((2, 3, 8, 9), (4, 3, 3, 2), ((1, 1), (2, 2), (2, 3)))
    param = {"stride": 1, "pad": 2, "dilation": (2, 3)}
    out, cache = layers.conv_forward(x, w, b, param)
    assert_same(out, conv2d_forward(x, w, b, 1, 2, (2, 3)), terms=1)
    expected = conv2d_backward(dout, x, w, 1, 2, True, (2, 3))
    assert_same(layers.conv_backward(dout, cache), expected, terms=1)
    out, cache = layer_utils.conv_relu_forward(x, w, b, param)
    assert_same(out, np.maximum(conv2d_forward(x, w, b, 1, 2, (2, 3)), 0), terms=w[0].size)
    assert_same(
        layer_utils.conv_relu_backward(dout, cache),
        conv2d_backward(np.where(out > 0, dout, 0), x, w, 1, 2, True, (2, 3)), terms=dout.size,
    )  # fmt: skip


@pytest.mark.parametrize("fuse", [True, False])
def test_a_network_agrees_with_torch(backend, fuse):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    double = {"dtype": np.float64, "seed": 0}
    own = [
        nn.Conv2d(3, 4, 3, padding=2, dilation=2, **double), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, (3, 2), (2, 1), (3, 1), (3, 2), **double), nn.BatchNorm2d(5, dtype=np.float64), nn.ReLU(),
        nn.Conv2d(5, 2, 2, 1, 0, (1, 3), **double),
    ]  # fmt: skip
    model = nn.Sequential(*own)
    peer = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=2, dilation=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 5, (3, 2), (2, 1), (3, 1), (3, 2)), torch.nn.BatchNorm2d(5), torch.nn.ReLU(),
        torch.nn.Conv2d(5, 2, 2, 1, 0, (1, 3)),
    ).double()  # fmt: skip
    peer.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(4, 3, 12, 10))
    if fuse:
        out, cache = model.forward(x)
    else:
        out, caches = x, []
        for layer in own:
            out, cache = layer.forward(out)
            caches.append(cache)
    tensor = torch.tensor(x, requires_grad=True)
    expected = peer(tensor)
    assert_same(out, expected.detach().numpy(), terms=500)
    dout = np.random.default_rng(1).normal(size=out.shape)
    expected.backward(torch.tensor(dout))
    if fuse:
        dx, grads = model.backward(dout, cache)
    else:
        dx, grads = dout, {}
        for position in reversed(range(len(own))):
            dx, found = own[position].backward(dx, caches[position])
            grads.update({f"{position}.{key}": gradient for key, gradient in found.items()})
    assert_same(dx, tensor.grad.numpy(), terms=5000)
    for name, parameter in peer.named_parameters():
        assert_same(grads[name], parameter.grad.numpy(), terms=5000)


def test_checkpoints_store_it_and_older_ones_load_without_it():
    described = config.describe(nn.Conv2d(3, 2, 3, 1, 2, (1, 2)))
    assert repr(config.build(described)) == "Conv2d(3, 2, 3, padding=2, dilation=(1, 2))"
    del described["arguments"]["dilation"]
    assert repr(config.build(described)) == "Conv2d(3, 2, 3, padding=2)"


def test_repr():
    assert repr(nn.Conv2d(3, 2, (3, 5), dilation=2)) == "Conv2d(3, 2, (3, 5), dilation=2)"
    both = nn.Conv2d(3, 2, 3, 2, 1, (1, 4), bias=False)
    assert repr(both) == "Conv2d(3, 2, 3, stride=2, padding=1, dilation=(1, 4), bias=False)"
    with pytest.raises(ValueError, match=r"^Conv2d: dilation=0 is out of range; expected at least 1"):
        nn.Conv2d(3, 2, 3, dilation=0)
