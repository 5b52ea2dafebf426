"""Sandwich layers: each is its parts, one after the other."""

import numpy as np
import pytest

import fastnn
from fastnn import layer_utils, layers
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.testing import assert_same

CONV = {"stride": (1, 2), "pad": (2, 1)}
POOL = {"pool_height": 3, "pool_width": 2, "stride": 2}


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def affine_arguments(dtype=np.float64):
    return normal(4, 2, 3, dtype=dtype), normal(6, 5, dtype=dtype, seed=1), normal(5, dtype=dtype, seed=2)


def conv_arguments(dtype=np.float64):
    return normal(2, 3, 7, 9, dtype=dtype), normal(4, 3, 3, 3, dtype=dtype, seed=1), normal(4, dtype=dtype, seed=2)


def parts_affine_relu(x, w, b):
    between, affine_cache = layers.affine_forward(x, w, b)
    out, relu_cache = layers.relu_forward(between)
    return out, lambda dout: layers.affine_backward(layers.relu_backward(dout, relu_cache), affine_cache)


def parts_conv_relu(x, w, b, conv_param):
    between, conv_cache = layers.conv_forward(x, w, b, conv_param)
    out, relu_cache = layers.relu_forward(between)
    return out, lambda dout: layers.conv_backward(layers.relu_backward(dout, relu_cache), conv_cache)


def parts_conv_relu_pool(x, w, b, conv_param, pool_param):
    between, backward = parts_conv_relu(x, w, b, conv_param)
    out, cache = layers.max_pool_forward(between, pool_param)
    return out, lambda dout: backward(layers.max_pool_backward(dout, cache))


CASES = {
    "affine_relu": (parts_affine_relu, affine_arguments, ()),
    "conv_relu": (parts_conv_relu, conv_arguments, (CONV,)),
    "conv_relu_pool": (parts_conv_relu_pool, conv_arguments, (CONV, POOL)),
}


def functions(name):
    return getattr(layer_utils, f"{name}_forward"), getattr(layer_utils, f"{name}_backward")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_sandwich_is_its_parts(backend, name, dtype):
    parts, arguments, params = CASES[name]
    forward, backward = functions(name)
    out, cache = forward(*arguments(dtype), *params)
    expected, expected_backward = parts(*arguments(dtype), *params)
    dout = normal(*out.shape, dtype=dtype, seed=3)
    assert out.dtype == dtype
    assert_same(out, expected, terms=27)
    assert_same(backward(dout, cache), expected_backward(dout), terms=100)
    with fastnn.use_backend("naive"):
        assert_same(backward(dout, cache), expected_backward(dout), terms=100)


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_numeric_ones(backend, name):
    _, arguments, params = CASES[name]
    forward, backward = functions(name)
    x, w, b = arguments()
    x, w = (x[:1, :, :5, :5], w[:2]) if x.ndim == 4 else (x, w)
    b = b[: len(w)] if x.ndim == 4 else b
    x, w = x.copy(), w.copy()
    out, cache = forward(x, w, b, *params)
    dout = normal(*out.shape, seed=3)
    for array, actual in zip((x, w, b), backward(dout, cache), strict=True):
        expected = eval_numerical_gradient_array(lambda _: forward(x, w, b, *params)[0], array, dout)
        assert rel_error(expected, actual) < 1e-7


@pytest.mark.parametrize("name", CASES)
def test_dx_is_left_out_where_nobody_needs_it(backend, name):
    _, arguments, params = CASES[name]
    forward, backward = functions(name)
    out, cache = forward(*arguments(), *params)
    dx, dw, db = backward(np.ones_like(out), cache, need_dx=False)
    assert dx is None
    assert_same((dw, db), backward(np.ones_like(out), cache)[1:])


def test_affine_relu_keeps_the_shape_of_x(backend):
    out, cache = layer_utils.affine_relu_forward(*affine_arguments())
    assert layer_utils.affine_relu_backward(np.ones_like(out), cache)[0].shape == (4, 2, 3)


def test_faulty_parameters(backend):
    with pytest.raises(ValueError, match="conv_relu_forward: conv_param lacks the key 'stride'"):
        layer_utils.conv_relu_forward(*conv_arguments(), {"pad": 0})
    with pytest.raises(ValueError, match=r"conv_relu_pool_forward: pool_param\['pad'\] is unknown"):
        layer_utils.conv_relu_pool_forward(*conv_arguments(), CONV, {**POOL, "pad": 1})
