"""`conv2d` on the simulated GPU: plain kernels, matrix products, and products on tiles."""

import numpy as np
import pytest

from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward, cuda
from fastnn.kernels.gpu import products
from fastnn.kernels.gpu.memory import on_device
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
GEOMETRIES = {
    # x, w, stride, pad
    "no images": ((0, 2, 4, 4), (3, 2, 3, 3), 1, 1),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0),
    "no rows": ((2, 2, 0, 4), (3, 2, 2, 3), 1, (1, 0)),
    "primes": ((2, 3, 7, 5), (5, 3, 3, 2), 1, 0),
    "same size": ((3, 2, 5, 4), (2, 2, 3, 3), 1, 1),
    "strides": ((2, 2, 7, 8), (3, 2, 3, 2), (2, 3), (1, 0)),
    "rows past the last window": ((1, 2, 8, 6), (2, 2, 3, 3), (3, 2), (0, 1)),
    "gaps between windows": ((2, 1, 9, 11), (3, 1, 2, 2), (4, 5), 0),
    "gaps and a border": ((2, 1, 5, 7), (3, 1, 2, 1), (4, 3), (1, 2)),
    "windows on the border alone": ((2, 2, 1, 2), (2, 2, 1, 2), (1, 2), (2, 3)),
    "one window": ((2, 2, 4, 3), (3, 2, 4, 3), 1, 0),
    "a stride past the image": ((2, 1, 5, 6), (2, 1, 3, 3), (10**9, 1), 1),
    "one row": ((2, 1, 1, 37), (2, 1, 1, 3), (1, 2), (0, 1)),
}


@pytest.fixture(params=["plain", "products"])
def way(request, monkeypatch):
    """Each way to compute a convolution; products use one thread per output, since the simulator is slow on tiles."""
    if request.param == "plain":
        monkeypatch.setattr(cuda, "conv2d_forward", on_device(cuda._plain_forward))
        monkeypatch.setattr(cuda, "conv2d_backward", on_device(cuda._plain_backward))
    return request.param


def draw(x_shape, w_shape, dtype):
    """x, w and b."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1])]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_against_the_loops(way, geometry, dtype):
    x_shape, w_shape, stride, pad = geometry
    x, w, b = draw(x_shape, w_shape, dtype)
    out = against_naive(conv2d_forward, x, w, b, stride, pad, terms=w[0].size + 1)
    dout = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
    terms = max(dout.size, w.size)
    _, *expected = against_naive(conv2d_backward, dout, x, w, stride, pad, terms=terms)
    dx, *actual = conv2d_backward(dout, x, w, stride, pad, need_dx=False)
    assert dx is None
    assert_same(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "pad", "dilation"),
    [
        ((2, 2, 7, 6), (3, 2, 3, 2), (1, 1), (2, 1), (2, 3)),
        ((1, 2, 9, 8), (2, 2, 2, 3), (2, 3), (1, 2), (3, 2)),
        ((1, 1, 5, 5), (2, 1, 2, 1), (3, 1), (4, 0), (4, 10**12)),  # a stride and a dilation with common remainders
    ],
)
def test_dilation(way, x_shape, w_shape, stride, pad, dilation, dtype):
    x, w, b = draw(x_shape, w_shape, dtype)
    out = against_naive(conv2d_forward, x, w, b, stride, pad, dilation, terms=w[0].size + 1)
    dout = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
    against_naive(conv2d_backward, dout, x, w, stride, pad, True, dilation, terms=max(dout.size, w.size))


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda array: array[::-1]], ids=["Fortran's", "backwards"])
@pytest.mark.usefixtures("way")
def test_any_layout(layout):
    x, w, b = map(layout, draw((2, 3, 4, 5), (2, 3, 3, 2), np.float32))
    out = against_naive(conv2d_forward, x, w, b, 1, 1, terms=18)
    against_naive(conv2d_backward, layout(out), x, w, 1, 1, terms=out.size)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_propagate_as_in_the_formula(way, position, special):
    """Also on the border, which is zero: 0 times infinity is NaN."""
    x, w, b = draw((2, 2, 4, 5), (3, 2, 3, 3), np.float64)
    dout = conv2d_forward(x, w, b, 1, 1)
    arrays = [x, w, b]
    arrays[position].flat[arrays[position].size // 2] = special
    against_naive(conv2d_forward, x, w, b, 1, 1, terms=19)
    arrays = [dout, x, w]
    need_dx = way == "plain"  # products also multiply the zeros around dout, so more of dx becomes NaN
    against_naive(conv2d_backward, *arrays, 1, 1, terms=dout.size, need_dx=need_dx)
    dout.flat[dout.size // 2] = special
    against_naive(conv2d_backward, *arrays, 1, 1, terms=dout.size, need_dx=need_dx)


@pytest.mark.parametrize("tf32", ["0", "1"])
@pytest.mark.parametrize("name", ["strides", "one window", "gaps and a border"])
def test_on_tiles(monkeypatch, name, tf32):
    """With integers, which are exact in TF32."""
    monkeypatch.setattr(products, "CHOSEN", products.on_tiles)
    monkeypatch.setenv(products.TF32, tf32)
    x_shape, w_shape, stride, pad = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (x_shape, w_shape, w_shape[:1]))
    out = against_naive(conv2d_forward, x, w, b, stride, pad)
    dout = rng.integers(-3, 4, out.shape).astype(np.float32)
    against_naive(conv2d_backward, dout, x, w, stride, pad)


@pytest.mark.usefixtures("way")
def test_gaps_between_windows_get_no_gradient():
    x, w, b = draw((1, 2, 9, 11), (3, 2, 2, 2), np.float64)
    dx, _, _ = conv2d_backward(conv2d_forward(x, w, b, (4, 5)), x, w, (4, 5))
    reached = np.zeros((9, 11), bool)
    for oh in range(2):
        for ow in range(2):
            reached[4 * oh : 4 * oh + 2, 5 * ow : 5 * ow + 2] = True
    assert (dx[:, :, reached] != 0).all()
    np.testing.assert_array_equal(dx[:, :, ~reached], 0)


@pytest.mark.usefixtures("way")
def test_gradients_are_the_numeric_ones():
    arrays = draw((1, 2, 4, 3), (2, 2, 3, 2), np.float64)
    stride, pad = (2, 1), (1, 0)
    out = conv2d_forward(*arrays, stride, pad)
    dout = np.random.default_rng(1).standard_normal(out.shape)
    gradients = conv2d_backward(dout, *arrays[:2], stride, pad)
    for array, actual in zip(arrays, gradients, strict=True):
        expected = eval_numerical_gradient_array(lambda _: conv2d_forward(*arrays, stride, pad), array, dout)
        assert rel_error(expected, actual) < 1e-7
