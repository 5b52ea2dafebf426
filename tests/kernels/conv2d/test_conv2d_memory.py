"""Tests of convolution on NaN and infinity, reused memory, memory layouts and dtypes."""

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.testing import against_naive, assert_same

RNG = np.random.default_rng(0)
compared = pytest.mark.parametrize("backend", [name for name in AVAILABLE if name != "naive"], indirect=True)
GEOMETRIES = [
    # x, w, stride, pad: rows of whole vectors, vectors across the ends of rows, phases, padding
    ((2, 2, 4, 34), (3, 2, 3, 3), 1, 0),
    ((3, 2, 6, 7), (5, 2, 3, 2), 1, 0),
    ((2, 2, 9, 8), (3, 2, 2, 3), 2, 0),
    ((2, 2, 5, 6), (3, 2, 3, 3), 1, 1),
    ((2, 1, 7, 7), (2, 1, 2, 2), 3, 0),
]


def problem(x_shape, w_shape, stride, pad, dtype=np.float64):
    x, w, b = (RNG.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    return x, w, b, RNG.normal(size=conv2d_forward(x, w, b, stride, pad).shape).astype(dtype)


def run(x, w, b, dout, stride, pad):
    return [conv2d_forward(x, w, b, stride, pad), *conv2d_backward(dout, x, w, stride, pad)]


def check(x, w, b, dout, stride, pad):
    against_naive(conv2d_forward, x, w, b, stride, pad, terms=w[0].size)
    against_naive(conv2d_backward, dout, x, w, stride, pad, terms=dout.size)


# ---- NaN and infinity ----


@compared
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["x", "w", "b", "dout"])
def test_nan_and_infinity_spread_as_the_formula_says(backend, geometry, dtype, name):
    stride, pad = geometry[2:]
    arrays = dict(zip(("x", "w", "b", "dout"), problem(*geometry, dtype), strict=True))
    for special, fraction in ((np.nan, 0), (np.nan, 0.5), (np.nan, 1), (np.inf, 0), (-np.inf, 0.7)):
        altered = arrays[name].copy()
        altered.flat[int(fraction * (altered.size - 1))] = special
        x, w, b, dout = (arrays | {name: altered}).values()
        against_naive(conv2d_forward, x, w, b, stride, pad, terms=w[0].size)
        gradients = conv2d_backward(dout, x, w, stride, pad)
        with fastnn.use_backend("naive"):
            expected = conv2d_backward(dout, x, w, stride, pad)
        for one, other in zip(gradients, expected, strict=True):
            # njit may give more NaN, never fewer
            assert not np.isfinite(one[~np.isfinite(other)]).any()
            shared = np.isfinite(one) if backend == "njit" else ...
            assert_same(one[shared], other[shared], terms=dout.size)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_nan_does_not_reach_other_gradients(backend, position):
    """x does not affect dx and db, w does not affect dw and db, dout of an image does not affect dx of another."""
    arrays = problem((3, 2, 6, 7), (5, 2, 3, 3), 1, 1)
    arrays[position][0] = np.nan
    x, w, _, dout = arrays
    dx, dw, db = conv2d_backward(dout, x, w, 1, 1)
    assert np.isfinite(dx[1:] if position == 3 else dx).all() == (position != 1)
    assert np.isfinite(dw).all() == (position == 1)
    assert np.isfinite(db).all() == (position != 3)


def test_a_nan_in_one_image_stays_there(backend):
    x, w, b, dout = problem((5, 2, 6, 7), (3, 2, 3, 3), 1, 1)
    expected = conv2d_forward(x, w, b, 1, 1), conv2d_backward(dout, x, w, 1, 1)[0]
    x[2], dout[2] = np.nan, np.nan
    actual = conv2d_forward(x, w, b, 1, 1), conv2d_backward(dout, x, w, 1, 1)[0]
    for one, other in zip(actual, expected, strict=True):
        assert np.isnan(one[2]).all()
        np.testing.assert_array_equal(np.delete(one, 2, 0), np.delete(other, 2, 0))


def test_signed_sums_overflow_to_infinity(backend):
    x, w = np.full((1, 1, 3, 3), 3e38, np.float32), np.ones((1, 1, 3, 3), np.float32)
    with np.errstate(over="ignore"):
        assert conv2d_forward(x, w, np.zeros(1, np.float32)) == np.inf
        assert conv2d_forward(-x, w, np.zeros(1, np.float32)) == -np.inf


def poison():
    """Leave NaN in freed memory, to expose reads of uninitialized memory."""
    held = [np.full(int(1.3**power), np.nan, dtype) for power in range(8, 52) for dtype in (np.float32, np.float64)]
    held.clear()


@compared
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_is_written_before_it_is_read(backend, geometry, dtype):
    arguments = *problem(*geometry, dtype), *geometry[2:]
    expected = run(*arguments)
    for _ in range(2):
        poison()
        for one, other in zip(run(*arguments), expected, strict=True):
            np.testing.assert_array_equal(one, other)


# ---- layouts and dtypes ----


def every_other(value):
    spread = np.full([2 * length for length in value.shape], np.nan, value.dtype)
    view = spread[(slice(None, None, 2),) * value.ndim]
    view[:] = value
    return view


def reversed_axes(value):
    backwards = (slice(None, None, -1),) * value.ndim
    return value[backwards].copy()[backwards]


def read_only(value):
    value = value.copy()
    value.flags.writeable = False
    return value


def misaligned(value):
    return np.frombuffer(b"\0" + value.tobytes(), np.uint8)[1:].view(value.dtype).reshape(value.shape)


LAYOUTS = {
    "transposed": lambda a: a.T.copy().T,
    "Fortran": np.asfortranarray,
    "channels last": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "every other": every_other,
    "reversed": reversed_axes,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "misaligned": misaligned,
    "lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(backend, layout, dtype):
    plain = problem((3, 2, 6, 9), (5, 2, 3, 2), (2, 1), 1, dtype)
    given = [LAYOUTS[layout](value) for value in plain]
    if layout == "lists":
        plain = [np.array(value) for value in given]
    actual, expected = run(*given, (2, 1), 1), run(*plain, (2, 1), 1)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert one.flags.c_contiguous
        assert one.flags.writeable
        assert one.dtype.isnative
    for one, other in zip(given, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_broadcast_input(backend):
    x = np.broadcast_to(RNG.normal(size=(1, 2, 1, 7)), (3, 2, 6, 7))
    dout = np.broadcast_to(1.0, (3, 4, 4, 5))
    check(x, RNG.normal(size=(4, 2, 3, 3)), np.zeros(4), dout, 1, 0)


@pytest.mark.parametrize(
    ("x", "w", "b", "expected"),
    [
        ("i8", "i8", "i8", "f8"),
        ("u1", "f4", "f4", "f4"),
        ("?", "f4", "i2", "f4"),
        ("f4", "f8", "f4", "f8"),
        ("f8", "f4", "f4", "f8"),
        (">f4", "f4", "f8", "f8"),
    ],
)
def test_mixed_dtypes(backend, x, w, b, expected):
    arrays = [RNG.integers(0, 2, shape) for shape in ((2, 2, 5, 5), (3, 2, 3, 3), (3,))]
    out = conv2d_forward(*(array.astype(kind) for array, kind in zip(arrays, (x, w, b), strict=True)))
    assert out.dtype == np.dtype(expected)
    np.testing.assert_array_equal(out, conv2d_forward(*arrays))


def test_results_share_no_memory_with_the_inputs_or_each_other(backend):
    x, w, b, dout = problem((2, 2, 5, 5), (3, 2, 1, 1), 1, 0)
    first, second = conv2d_forward(x, w, b), conv2d_forward(x, w, b)
    gradients = conv2d_backward(dout, x, w)
    arrays = [x, w, b, dout, first, second, *gradients]
    assert not any(np.shares_memory(one, other) for i, one in enumerate(arrays) for other in arrays[:i])
