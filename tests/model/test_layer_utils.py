"""Fused layers equal their parts, one after the other."""

import numpy as np
import pytest

import fastnn
from fastnn import fast_layers, layer_utils, layers
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


def parts_norm(kind, arrays, params):
    """Compute the parts of a sandwich with a norm; return out, and a function from dout to all gradients."""
    x, w, b, gamma, beta = arrays
    params, pool_param = (params[:-1], params[-1]) if kind.endswith("pool") else (params, None)
    *conv_param, norm_param = params
    layer, norm = ("conv", "spatial_batchnorm") if conv_param else ("affine", "batchnorm")
    norm = "layernorm" if "_ln_" in kind else norm
    between, layer_cache = getattr(layers, f"{layer}_forward")(x, w, b, *conv_param)
    normal, norm_cache = getattr(layers, f"{norm}_forward")(between, gamma, beta, norm_param)
    out, relu_cache = layers.relu_forward(normal)
    out, pool_cache = layers.max_pool_forward(out, pool_param) if pool_param else (out, None)

    def backward(dout):
        dout = layers.max_pool_backward(dout, pool_cache) if pool_param else dout
        dbetween, *others = getattr(layers, f"{norm}_backward")(layers.relu_backward(dout, relu_cache), norm_cache)
        return *getattr(layers, f"{layer}_backward")(dbetween, layer_cache), *others

    return out, backward


NORMS = ["affine_bn_relu", "affine_ln_relu", "conv_bn_relu", "conv_bn_relu_pool"]


def norm_case(name, mode, dtype=np.float64):
    """Return the arrays and parameters of a sandwich with a norm."""
    arrays = affine_arguments(dtype) if name.startswith("affine") else conv_arguments(dtype)
    channels = len(arrays[-1])
    arrays = *arrays, *normal(2, channels, dtype=dtype, seed=3)
    averages = {"running_mean": normal(channels, dtype=dtype), "running_var": normal(channels, dtype=dtype) ** 2}
    norm_param = {"eps": 1e-2} if "_ln_" in name else {"mode": mode, "eps": 1e-2, "momentum": 0.7, **averages}
    return arrays, (*([CONV] if "conv" in name else []), norm_param, *([POOL] if "pool" in name else []))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("name", NORMS)
def test_sandwich_with_a_norm_is_its_parts(backend, name, mode, dtype):
    forward, backward = functions(name)
    (arrays, params), (_, expected_params) = norm_case(name, mode, dtype), norm_case(name, mode, dtype)
    out, cache = forward(*arrays, *params)
    expected, expected_backward = parts_norm(name, arrays, expected_params)
    assert out.dtype == dtype
    assert_same(out, expected, terms=100)
    assert_same([param for param in params if "eps" in param], [p for p in expected_params if "eps" in p], terms=100)
    dout = normal(*out.shape, dtype=dtype, seed=4)
    gradients = backward(dout, cache)
    assert_same(gradients, expected_backward(dout), terms=1000)
    assert_same(backward(dout, cache, need_dx=False), (None, *gradients[1:]))
    with fastnn.use_backend("naive"):
        assert_same(backward(dout, cache), gradients, terms=1000)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("name", NORMS)
def test_gradients_with_a_norm_agree_with_numeric_ones(backend, name, mode):
    forward, backward = functions(name)
    arrays, params = norm_case(name, mode)
    arrays = [array.copy() for array in arrays]
    arrays[0] = arrays[0][:, :, :5, :5].copy() if arrays[0].ndim == 4 else arrays[0]

    def run():
        return forward(*arrays, *[dict(param) for param in params])

    out, cache = run()
    dout = normal(*out.shape, seed=4)
    for position, actual in enumerate(backward(dout, cache)):
        if position == 2 and mode == "train" and "_bn_" in name:
            np.testing.assert_allclose(actual, 0, atol=1e-12)  # the mean removes b
            continue
        expected = eval_numerical_gradient_array(lambda _: run()[0], arrays[position], dout)
        assert actual.shape == arrays[position].shape
        assert rel_error(expected, actual) < 1e-6


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
    x, w, b = conv_arguments()
    with pytest.raises(ValueError, match="conv_bn_relu_forward: bn_param lacks the key 'mode'"):
        layer_utils.conv_bn_relu_forward(x, w, b, b, b, CONV, {})
    with pytest.raises(ValueError, match=r"conv_bn_relu_pool_forward: pool_param\['pad'\] is unknown"):
        layer_utils.conv_bn_relu_pool_forward(x, w, b, b, b, CONV, {"mode": "train"}, {**POOL, "pad": 1})
    x, w, b = affine_arguments()
    with pytest.raises(ValueError, match=r"affine_bn_relu_forward: .*'trian' is unknown"):
        layer_utils.affine_bn_relu_forward(x, w, b, b, b, {"mode": "trian"})
    with pytest.raises(ValueError, match=r"affine_ln_relu_forward: ln_param\['momentum'\] is unknown"):
        layer_utils.affine_ln_relu_forward(x, w, b, b, b, {"momentum": 0.9})


@pytest.mark.parametrize("module", ["layer_utils", "classifiers.fc_net", "classifiers.cnn"])
def test_a_star_import_brings_the_layers_as_in_the_course(module):
    names: dict = {}
    exec(f"from fastnn.{module} import *", names)
    for source in (layers, fast_layers, layer_utils):
        for name in source.__all__:
            assert names[name] is getattr(source, name)
    assert module == "layer_utils" or "FullyConnectedNet" in names or "ThreeLayerConvNet" in names
