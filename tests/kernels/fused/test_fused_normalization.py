"""Tests of fused layers with a norm: every backend agrees with the composition of the parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import use_backend
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import fused, normalization
from fastnn.kernels.activations import relu_backward, relu_forward
from fastnn.kernels.affine import affine_backward, affine_forward
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.kernels.pool2d import max_pool2d_backward, max_pool2d_forward
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
EPSILON = 0.1  # few elements may have a variance near 0; a small epsilon would lose digits on every backend
by_hypothesis = settings(max_examples=20)


def draw(x_shape, w_shape, dtype, seed=0):
    """Return x, w, b, gamma, beta, mean, var."""
    generator = np.random.default_rng(seed)
    channels = w_shape[0] if len(w_shape) == 4 else w_shape[1]
    x, w = generator.standard_normal(x_shape), generator.standard_normal(w_shape)
    others = generator.standard_normal((5, channels))
    others[-1] = 0.5 + others[-1] ** 2
    return [value.astype(dtype) for value in (x, w, *others)]


def functions(name):
    return (getattr(fused, f"{name}_{kind}") for kind in ("forward", "backward", "inference", "inference_backward"))


def check(name, arrays, geometry=(), seed=1):
    """Compare every function of a fused layer with the naive loops, which compose the parts."""
    forward, backward, inference, inference_backward = functions(name)
    x, w, b, gamma, beta, mean, var = arrays
    terms = 4 * (x.size + w.size)
    out, pre_norm, *statistics = against_naive(forward, x, w, b, gamma, beta, EPSILON, *geometry, terms=terms)
    dout = np.random.default_rng(seed).standard_normal(out.shape).astype(x.dtype)
    saved = (dout, x, w, pre_norm, gamma, *statistics, EPSILON, out, *geometry)
    gradients = against_naive(backward, *saved, terms=terms + 4 * dout.size)  # db is 0 except for rounding
    assert_same(backward(*saved, need_dx=False), (None, *gradients[1:]))
    out = against_naive(inference, x, w, b, gamma, beta, mean, var, EPSILON, *geometry, terms=terms)
    saved = (dout, x, w, b, gamma, mean, var, EPSILON, out, *geometry)
    gradients = against_naive(inference_backward, *saved, terms=terms + dout.size)
    assert_same(inference_backward(*saved, need_dx=False), (None, *gradients[1:]))


@by_hypothesis
@given(
    sizes=st.tuples(st.integers(1, 20), st.integers(0, 30), st.integers(1, 40)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 999),
)
def test_any_affine_batchnorm_relu(backend, sizes, dtype, seed):
    N, D, M = sizes
    check("affine_batchnorm_relu", draw((N, D), (D, M), dtype, seed))


@by_hypothesis
@given(
    sizes=st.tuples(st.integers(0, 20), st.integers(0, 30), st.integers(1, 40)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 999),
)
def test_any_affine_layernorm_relu(backend, sizes, dtype, seed):
    N, D, M = sizes
    x, w, b, gamma, beta, *_ = draw((N, D), (D, M), dtype, seed)
    out, pre_norm, *statistics = against_naive(
        fused.affine_layernorm_relu_forward, x, w, b, gamma, beta, EPSILON, terms=x.size + w.size
    )
    dout = np.random.default_rng(seed).standard_normal((N, M)).astype(dtype)
    saved = (dout, x, w, pre_norm, gamma, *statistics, EPSILON, out)
    gradients = against_naive(fused.affine_layernorm_relu_backward, *saved, terms=x.size + w.size)
    without = fused.affine_layernorm_relu_backward(*saved, need_dx=False)
    assert_same(without, (None, *gradients[1:]))


@st.composite
def geometries(draw):
    """Draw shapes of x and w, stride and pad with at least one window."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride, pad = (draw(st.tuples(st.integers(low, 2), st.integers(low, 2))) for low in (1, 0))
    size = draw(st.tuples(*[st.integers(max(1, kernel[a] - 2 * pad[a]), 9) for a in (0, 1)]))
    N, C, F = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 7))
    return (N, C, *size), (F, C, *kernel), stride, pad


@by_hypothesis
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
def test_any_conv_batchnorm_relu(backend, geometry, dtype, seed):
    check("conv2d_batchnorm_relu", draw(*geometry[:2], dtype, seed), geometry[2:])


@by_hypothesis
@given(
    geometry=geometries(),
    pool_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pool_stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    usual=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 999),
)
def test_any_conv_batchnorm_relu_pool(backend, geometry, pool_size, pool_stride, usual, dtype, seed):
    if usual:
        pool_size = pool_stride = (2, 2)
    (N, C, H, W), w_shape, stride, pad = geometry
    x_shape = (N, C, H + 2 * pool_size[0], W + 2 * pool_size[1])
    check_pooled(draw(x_shape, w_shape, dtype, seed), (stride, pad, pool_size, pool_stride), seed)


def check_pooled(arrays, geometry, seed=1):
    forward, backward, inference, inference_backward = functions("conv2d_batchnorm_relu_pool")
    x, w, b, gamma, beta, mean, var = arrays
    terms = 4 * (x.size + w.size)

    def compare(function, *arguments):
        """Compare all results, and the index only in float64: rounding may change which of two elements is larger."""
        out, index, *others = function(*arguments)
        with use_backend("naive"):
            wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
            expected, expected_index, *expected_others = function(*wide)
        assert_same((out, others), (expected, expected_others), terms)
        if x.dtype == np.float64:
            np.testing.assert_array_equal(index, expected_index, strict=True)
        np.testing.assert_array_equal(index == np.prod(geometry[2]), ~(out > 0))
        return out, index, *others

    out, index, pre_norm, *statistics = compare(forward, x, w, b, gamma, beta, EPSILON, *geometry)
    dout = np.random.default_rng(seed).standard_normal(out.shape).astype(x.dtype)
    saved = (dout, x, w, pre_norm, gamma, *statistics, EPSILON, index, *geometry)
    gradients = against_naive(backward, *saved, terms=terms + 4 * pre_norm.size)
    assert_same(backward(*saved, need_dx=False), (None, *gradients[1:]))
    out, index = compare(inference, x, w, b, gamma, beta, mean, var, EPSILON, *geometry)
    saved = (dout, x, w, b, gamma, mean, var, EPSILON, index, *geometry)
    gradients = against_naive(inference_backward, *saved, terms=terms + 4 * pre_norm.size)
    assert_same(inference_backward(*saved, need_dx=False), (None, *gradients[1:]))


@pytest.mark.parametrize("pool_size", [1, 3, (2, 3), (16, 16)])
def test_pools_of_any_size(backend, pool_size):
    arrays = draw((3, 2, 18, 17), (3, 2, 3, 3), np.float64)
    size = pool_size if isinstance(pool_size, tuple) else (pool_size, pool_size)
    check_pooled(arrays, ((1, 1), (1, 1), size, (2, 1)))


def test_pooled_gradients_are_those_of_the_parts(backend):
    """Compare with separate pooling, which stores the normalized images."""
    x, w, b, gamma, beta, *_ = draw((3, 2, 7, 8), (4, 2, 3, 3), np.float64)
    geometry = (1, 1, 2, 2)
    normal, before, *statistics = fused.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, EPSILON, 1, 1)
    expected, index = max_pool2d_forward(normal, 2, 2)
    forward, backward, *_ = functions("conv2d_batchnorm_relu_pool")
    out, actual_index, *others = forward(x, w, b, gamma, beta, EPSILON, *geometry)
    assert_same([out, *others], [expected, before, *statistics])
    np.testing.assert_array_equal(actual_index, np.where(out > 0, index, 4))
    dout = np.random.default_rng(0).standard_normal(out.shape)
    dnormal = max_pool2d_backward(dout, index, normal.shape, 2, 2)
    expected = fused.conv2d_batchnorm_relu_backward(dnormal, x, w, before, gamma, *statistics, EPSILON, normal, 1, 1)
    assert_same(backward(dout, x, w, before, gamma, *statistics, EPSILON, actual_index, *geometry), expected, terms=999)


def test_the_naive_loops_equal_their_parts():
    with use_backend("naive"):
        x, w, b, gamma, beta, mean, var = draw((3, 2, 5, 4), (4, 2, 3, 2), np.float64)
        before = conv2d_forward(x, w, b, 1, 1)
        normal, *statistics = normalization.batchnorm_forward(before, gamma, beta, EPSILON)
        actual = fused.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, EPSILON, 1, 1)
        assert_same(actual, (relu_forward(normal), before, *statistics))
        dnormal = relu_backward(normal[::-1], normal)
        dbefore, *others = normalization.batchnorm_backward(dnormal, before, gamma, *statistics, EPSILON)
        actual = fused.conv2d_batchnorm_relu_backward(
            normal[::-1], x, w, before, gamma, *statistics, EPSILON, actual[0], 1, 1
        )
        assert_same(actual, (*conv2d_backward(dbefore, x, w, 1, 1), *others), terms=100)
        normal = normalization.batchnorm_inference(before, gamma, beta, mean, var, EPSILON)
        actual = fused.conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, EPSILON, 1, 1)
        assert_same(actual, relu_forward(normal))

        x, w, b, gamma, beta, *_ = draw((5, 4), (4, 6), np.float64)
        before = affine_forward(x, w, b)
        normal, *statistics = normalization.groupnorm_forward(before, gamma, beta, 1, EPSILON)
        actual = fused.affine_layernorm_relu_forward(x, w, b, gamma, beta, EPSILON)
        assert_same(actual, (relu_forward(normal), before, *statistics))
        dbefore, *others = normalization.groupnorm_backward(
            relu_backward(normal[::-1], normal), before, gamma, 1, *statistics, EPSILON
        )
        actual = fused.affine_layernorm_relu_backward(
            normal[::-1], x, w, before, gamma, *statistics, EPSILON, actual[0]
        )
        assert_same(actual, (*affine_backward(dbefore, x, w), *others), terms=100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_enough_for_several_tasks(backend, dtype):
    arrays = draw((20, 3, 12, 12), (8, 3, 3, 3), dtype)
    with use_backend("vectorized"):
        forward, backward, *_ = functions("conv2d_batchnorm_relu")
        expected = forward(*arrays[:5], EPSILON, 1, 1)
        dout = expected[0][::-1].copy()
        saved = (dout, *arrays[:2], expected[1], arrays[3], *expected[2:], EPSILON, expected[0], 1, 1)
        expected_back = backward(*saved)
    assert_same(forward(*arrays[:5], EPSILON, 1, 1), expected, terms=27)
    for position, (actual, wanted) in enumerate(zip(backward(*saved), expected_back, strict=True)):
        assert_same(actual, wanted, terms=dout.size * (100 if position == 2 else 1))  # db is 0 except for rounding


@pytest.mark.parametrize("name", ["affine_batchnorm_relu", "conv2d_batchnorm_relu"])
def test_gradients_with_given_statistics_are_the_numeric_ones(backend, name):
    """If the norm is folded into the weights, dgamma is computed from dw; this must hold for gamma = 0 too."""
    shapes, geometry = (((4, 3), (3, 5)), ()) if "affine" in name else (((2, 2, 4, 3), (3, 2, 2, 2)), (1, 1))
    x, w, b, gamma, beta, mean, var = draw(*shapes, np.float64)
    gamma[1] = 0
    _, _, inference, backward = functions(name)

    def forward(_):
        return inference(x, w, b, gamma, beta, mean, var, EPSILON, *geometry)

    out = forward(None)
    dout = np.random.default_rng(5).standard_normal(out.shape)
    gradients = backward(dout, x, w, b, gamma, mean, var, EPSILON, out, *geometry)
    for array, actual in zip((x, w, b, gamma, beta), gradients, strict=True):
        expected = eval_numerical_gradient_array(forward, array, dout)
        assert rel_error(expected, actual) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(backend, dtype):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    functional = torch.nn.functional
    x, w, b, gamma, beta, mean, var = draw((4, 3, 7, 6), (5, 3, 3, 3), dtype)
    forward, backward, inference, inference_backward = functions("conv2d_batchnorm_relu")
    out, pre_norm, *statistics = forward(x, w, b, gamma, beta, EPSILON, 2, 1)
    dout = np.random.default_rng(0).standard_normal(out.shape).astype(dtype)
    trained = out, backward(dout, x, w, pre_norm, gamma, *statistics, EPSILON, out, 2, 1)
    out = inference(x, w, b, gamma, beta, mean, var, EPSILON, 2, 1)
    frozen = out, inference_backward(dout, x, w, b, gamma, mean, var, EPSILON, out, 2, 1)
    for (out, gradients), training in ((trained, True), (frozen, False)):
        tensors = [torch.tensor(value, requires_grad=True) for value in (x, w, b, gamma, beta)]
        running = (None, None) if training else (torch.tensor(mean), torch.tensor(var))
        pre_norm = functional.conv2d(*tensors[:3], stride=2, padding=1)
        expected = functional.relu(functional.batch_norm(pre_norm, *running, *tensors[3:], training, 0, EPSILON))
        expected.backward(torch.tensor(dout))
        assert_same(out, expected.detach().numpy(), terms=x.size)
        assert_same(gradients, tuple(tensor.grad.numpy() for tensor in tensors), terms=x.size)


@pytest.mark.parametrize("name", ["affine_batchnorm_relu", "conv2d_batchnorm_relu"])
def test_errors(backend, name):
    shapes = ((2, 3), (3, 4)) if "affine" in name else ((2, 3, 4, 4), (4, 3, 3, 3))
    x, w, b, gamma, beta, mean, var = draw(*shapes, np.float64)
    forward, backward, inference, inference_backward = functions(name)
    with pytest.raises(ValueError, match=f"^{name}_forward: x.shape = .* has no elements in a channel; expected"):
        forward(x[:0], w, b, gamma, beta, EPSILON)
    with pytest.raises(ValueError, match=f"^{name}_inference: var contains -.*; expected no number below 0"):
        inference(x, w, b, gamma, beta, mean, -var, EPSILON)
    out = inference(x, w, b, gamma, beta, mean, var, EPSILON)
    with pytest.raises(ValueError, match=f"^{name}_backward: epsilon=0 is out of range"):
        backward(out, x, w, out, gamma, mean, var, 0, out)
    with pytest.raises(ValueError, match=f"^{name}_inference_backward: .* has length 3 on axis 1"):
        inference_backward(out[:, :3], x, w, b, gamma, mean, var, EPSILON, out)
    empty = inference(x[:0], w, b, gamma, beta, mean, var, EPSILON)
    assert empty.shape == (0, *out.shape[1:])
    with pytest.raises(ValueError, match=r"^affine_layernorm_relu_forward: b.shape = \(0,\) is empty"):
        fused.affine_layernorm_relu_forward(np.ones((2, 3)), np.ones((3, 0)), [], [], [], EPSILON)
    none = np.ones((2, 0))
    with pytest.raises(ValueError, match=r"^affine_layernorm_relu_backward: gamma.shape = \(0,\) is empty"):
        fused.affine_layernorm_relu_backward(none, none, np.ones((0, 0)), none, [], [[1], [1]], [[1], [1]], 1, none)
    if name == "conv2d_batchnorm_relu":
        forward, backward, inference, inference_backward = functions(f"{name}_pool")
        geometry, index = (1, 0, 2, 2), np.zeros((2, 4, 1, 1), np.uint8)
        with pytest.raises(ValueError, match=r"^conv2d_batchnorm_relu_pool_forward: x.shape = .* has no elements in a"):
            forward(x[:0], w, b, gamma, beta, EPSILON, *geometry)
        with pytest.raises(ValueError, match=r"^conv2d_batchnorm_relu_pool_backward: pre_norm.shape = .* does not fit"):
            backward(index * 1.0, x, w, x[:, :1].repeat(4, 1), gamma, mean, var, EPSILON, index, *geometry)
        with pytest.raises(
            ValueError, match=r"^conv2d_batchnorm_relu_pool_inference_backward: dout.shape = .* does not"
        ):
            inference_backward(out, x, w, b, gamma, mean, var, EPSILON, index, *geometry)


def test_the_former_name_of_pre_norm(backend):
    x, b = np.eye(3), np.ones(3)
    out, pre_norm, mean, var = fused.affine_batchnorm_relu_forward(x, x, b, b, b, EPSILON)
    kept = {"gamma": b, "mean": mean, "var": var, "epsilon": EPSILON, "out": out}
    expected = fused.affine_batchnorm_relu_backward(out, x, x, pre_norm, **kept)
    with pytest.warns(DeprecationWarning, match=r"^affine_batchnorm_relu_backward: between= is now pre_norm=$") as seen:
        actual = fused.affine_batchnorm_relu_backward(out, x, x, between=pre_norm, **kept)
    assert seen[0].filename == __file__
    assert_same(actual, expected, terms=1)
    with pytest.raises(
        TypeError, match=r"^affine_batchnorm_relu_backward: the keyword between=.* is unknown; expected"
    ):
        fused.affine_batchnorm_relu_backward(out, x, x, between=pre_norm, pre_norm=pre_norm, **kept)
    with pytest.raises(TypeError, match=r"^affine_relu_forward: the keyword between=3 is unknown"):
        fused.affine_relu_forward(x, x, b, between=3)
