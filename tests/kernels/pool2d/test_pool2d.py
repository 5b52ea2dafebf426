"""Tests of pooling: the naive loops against known values and identities, every backend against the naive loops."""

import numpy as np
import pytest
from conftest import AVAILABLE
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.pool2d import check_overlapping_padded_max_worked_by_hand, check_the_first_nan_wins, draw

import fastnn
from fastnn.gradient_check import rel_error
from fastnn.kernels import pool2d
from fastnn.kernels.pool2d import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    global_avg_pool2d_backward,
    global_avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
compared = pytest.mark.parametrize("backend", [name for name in AVAILABLE if name != "naive"], indirect=True)
by_hypothesis = settings(max_examples=50)


def check_max(x, size, stride, pad=0):
    before = x.copy()
    out, index = max_pool2d_forward(x, size, stride, pad)
    np.testing.assert_array_equal(x, before)
    with fastnn.use_backend("naive"):
        expected = max_pool2d_forward(x, size, stride, pad)
    np.testing.assert_array_equal(out, expected[0], strict=True)
    np.testing.assert_array_equal(index, expected[1], strict=True)
    assert out.flags.c_contiguous
    assert index.flags.c_contiguous
    dout = draw(out.shape, x.dtype)
    against_naive(max_pool2d_backward, dout, index, x.shape, size, stride, pad, terms=np.prod(np.broadcast_to(size, 2)))


def check_avg(x, size, stride, pad=0):
    terms = int(np.prod(np.broadcast_to(size, 2)))
    out = against_naive(avg_pool2d_forward, x, size, stride, pad, terms=terms)
    against_naive(avg_pool2d_backward, draw(out.shape, x.dtype), x.shape, size, stride, pad, terms=terms)


@st.composite
def geometries(draw):
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = draw(st.tuples(*[st.integers(0, length // 2) for length in size]))
    smallest = [max(1, size[a] - 2 * pad[a]) for a in (0, 1)]
    images = draw(st.tuples(*[st.integers(least, least + 13) for least in smallest]))
    return (draw(st.integers(0, 4)), draw(st.integers(0, 5)), *images), size, stride, pad


# ---- the naive loops against independent references ----


def test_max_worked_by_hand(backend):
    x = np.array([[[[1.0, 5, 2, 0], [3, 4, 7, 7], [9, 9, 0, 1], [9, 8, 6, 6]]]])
    out, index = max_pool2d_forward(x, 2, 2)
    np.testing.assert_array_equal(out, [[[[5, 7], [9, 6]]]])
    np.testing.assert_array_equal(index, np.array([[[[1, 2], [0, 2]]]], np.uint8), strict=True)
    dx = max_pool2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), index, x.shape, 2, 2)
    np.testing.assert_array_equal(dx, [[[[0, 1, 0, 0], [0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 4, 0]]]])


def test_overlapping_padded_max_worked_by_hand(backend):
    check_overlapping_padded_max_worked_by_hand()


def test_avg_worked_by_hand(backend):
    x = np.array([[[[1.0, 5, 2], [3, 4, 8]]]])
    np.testing.assert_array_equal(avg_pool2d_forward(x, (2, 2), (1, 1)), [[[[13 / 4, 19 / 4]]]])
    np.testing.assert_array_equal(avg_pool2d_forward(x, 2, 2, 1), [[[[1 / 4, 7 / 4], [3 / 4, 12 / 4]]]])
    dx = avg_pool2d_backward(np.array([[[[4.0, 8]]]]), x.shape, 2, 1)
    np.testing.assert_array_equal(dx, [[[[1, 3, 2], [1, 3, 2]]]])


def test_global_avg_worked_by_hand(backend):
    x = np.array([[[[1.0, 5], [2, 4]], [[0, 0], [0, 2]]]])
    np.testing.assert_array_equal(global_avg_pool2d_forward(x), [[3, 0.5]])
    dx = global_avg_pool2d_backward(np.array([[4.0, -8]]), (1, 2, 2, 2))
    np.testing.assert_array_equal(dx, [[[[1, 1], [1, 1]], [[-2, -2], [-2, -2]]]])


def test_figures_of_the_course(backend):
    x = np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4)
    out, _ = max_pool2d_forward(x, 2, 2)
    assert rel_error(out[0, 0], [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]]) < 4.2e-8
    assert out[1, 2, 1, 1] == 0.4


@given(geometry=geometries())
@by_hypothesis
def test_backward_is_the_adjoint_of_forward(backend, geometry):
    shape, *window = geometry
    x = draw(shape, np.float64, "whole")
    out, index = max_pool2d_forward(x, *window)
    dout = draw(out.shape, np.float64, "whole")
    assert np.vdot(x, max_pool2d_backward(dout, index, shape, *window)) == np.vdot(out, dout)
    expected = np.vdot(avg_pool2d_forward(x, *window), dout)
    assert np.vdot(x, avg_pool2d_backward(dout, shape, *window)) == pytest.approx(expected, abs=1e-12 * (1 + x.size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "size", "stride", "pad"),
    [
        ((2, 3, 8, 6), (2, 2), (2, 2), (0, 0)),
        ((2, 3, 9, 7), (3, 3), (2, 2), (1, 1)),
        ((1, 2, 7, 11), (3, 4), (2, 3), (0, 2)),
        ((2, 1, 5, 5), (2, 1), (3, 4), (1, 0)),
    ],
)
def test_agrees_with_torch(backend, shape, size, stride, pad, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = draw(shape, dtype)
    for name in ("max", "avg"):
        given_to_torch = torch.tensor(x, requires_grad=True)
        function = getattr(torch.nn.functional, f"{name}_pool2d")
        expected = function(given_to_torch, size, stride, pad)
        dout = draw(expected.shape, dtype)
        expected.backward(torch.tensor(dout))
        if name == "max":
            out, index = max_pool2d_forward(x, size, stride, pad)
            dx = max_pool2d_backward(dout, index, shape, size, stride, pad)
        else:
            out = avg_pool2d_forward(x, size, stride, pad)
            dx = avg_pool2d_backward(dout, shape, size, stride, pad)
        assert_same((out, dx), (expected.detach().numpy(), given_to_torch.grad.numpy()), terms=16)


# ---- every backend against the naive loops ----


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), kind=st.sampled_from(["normal", "whole", "special"]))
@by_hypothesis
def test_any_max_pooling(backend, geometry, dtype, kind):
    check_max(draw(geometry[0], dtype, kind), *geometry[1:])


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), kind=st.sampled_from(["normal", "whole"]))
@by_hypothesis
def test_any_avg_pooling(backend, geometry, dtype, kind):
    check_avg(draw(geometry[0], dtype, kind), *geometry[1:])


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "size", "stride", "pad"),
    [
        ((0, 3, 4, 4), 2, 2, 0),
        ((2, 0, 4, 4), 2, 2, 0),
        ((1, 1, 1, 1), 1, 1, 0),
        ((1, 1, 1, 1), 2, 1, 1),
        ((2, 2, 1, 7), (1, 3), 2, 0),
        ((2, 2, 7, 1), (3, 1), 2, 0),
        ((2, 2, 5, 5), 5, 1, 0),
        ((2, 2, 5, 5), 5, 1, 2),
        ((2, 2, 7, 9), 2, 3, 0),
        ((2, 2, 8, 8), 2, 100, 0),
        ((2, 2, 8, 8), 2, 10**9, 1),
        ((3, 5, 13, 11), 3, 1, 0),
        ((3, 5, 13, 11), (2, 3), (1, 2), (1, 0)),
        ((2, 2, 16, 16), (16, 16), 1, 0),
        ((2, 2, 15, 17), (15, 17), 1, 0),
        ((1, 1, 20, 21), (13, 20), (3, 1), (6, 10)),
        ((5, 3, 7, 7), 2, 2, 0),
    ],
)
def test_awkward_geometry(backend, shape, size, stride, pad, dtype):
    for kind in ("normal", "whole", "special"):
        check_max(draw(shape, dtype, kind), size, stride, pad)
    check_avg(draw(shape, dtype), size, stride, pad)


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65])
def test_every_remainder_of_a_row(backend, width, dtype):
    for size, stride in ((2, 2), (3, 2), (2, 1), ((1, 3), (1, 3))):
        columns = np.broadcast_to(size, 2)[1] + (width - 1) * np.broadcast_to(stride, 2)[1]
        check_max(draw((2, 3, 4, columns), dtype, "special"), size, stride)
        for spare in (0, 1):
            check_max(draw((2, 1, 5, columns + spare), dtype, "whole"), size, stride)
            check_avg(draw((2, 1, 5, columns + spare), dtype, "whole"), size, stride)


def test_the_first_of_equal_elements_wins(backend):
    out, index = max_pool2d_forward(np.zeros((1, 1, 6, 6)), 3, 3)
    np.testing.assert_array_equal(index, 0)
    out, index = max_pool2d_forward(np.full((1, 1, 6, 6), -np.inf), 3, 3)
    np.testing.assert_array_equal(index, 0)
    np.testing.assert_array_equal(out, -np.inf)
    _, index = max_pool2d_forward(np.full((1, 1, 2, 2), -np.inf), 2, 1, 1)
    np.testing.assert_array_equal(index, [[[[3, 2, 2], [1, 0, 0], [1, 0, 0]]]])


def test_signed_zeros_are_equal(backend):
    x = np.array([[[[-0.0, 0.0], [0.0, -0.0]]]])
    out, index = max_pool2d_forward(np.concatenate([x, -x]), 2, 2)
    np.testing.assert_array_equal(index.ravel(), 0)
    np.testing.assert_array_equal(np.signbit(out.ravel()), [True, False])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_nan_wins(backend, dtype):
    check_the_first_nan_wins(dtype)


def test_the_index_is_uint8_for_up_to_254_elements(backend):
    x = draw((1, 1, 16, 17), np.float32)
    for size, expected in (((2, 127), None), ((14, 17), np.uint8), ((15, 17), np.int32), ((16, 16), np.int32)):
        if expected:
            assert max_pool2d_forward(x, size, 1)[1].dtype == expected
        assert pool2d.index_dtype(size) == (expected or np.uint8)


def test_none_has_no_gradient(backend):
    dout, index = np.ones((1, 1, 2, 2)), np.array([[[[0, 4], [4, 3]]]], np.uint8)
    dx = max_pool2d_backward(dout, index, (1, 1, 4, 4), 2, 2)
    np.testing.assert_array_equal(dx, [[[[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]]])
    dout[index == 4] = np.nan
    np.testing.assert_array_equal(max_pool2d_backward(dout, index, (1, 1, 4, 4), 2, 2), dx)


@pytest.mark.parametrize(("size", "stride", "pad"), [((2, 2), (2, 2), (1, 1)), ((4, 3), (1, 2), (2, 1)), (2, 1, 1)])
def test_a_position_outside_the_image_has_no_gradient(backend, size, stride, pad):
    shape = (2, 3, 6, 5)
    out = max_pool2d_forward(draw(shape, np.float64), size, stride, pad)[0]
    for position in range(int(np.prod(np.broadcast_to(size, 2))) + 1):
        index = np.full(out.shape, position, np.uint8)
        against_naive(max_pool2d_backward, draw(out.shape, np.float64), index, shape, size, stride, pad, terms=4)


@pytest.mark.parametrize("kind", ["<i4", ">i4", "i8", "u1", ">u2"])
def test_an_index_of_any_integer_dtype_and_layout(backend, kind):
    x = draw((2, 3, 6, 6), np.float32)
    out, index = max_pool2d_forward(x, 2, 2)
    expected = max_pool2d_backward(out, index, x.shape, 2, 2)
    given = np.asfortranarray(index.astype(kind))
    np.testing.assert_array_equal(max_pool2d_backward(out, given, x.shape, 2, 2), expected)


@pytest.mark.parametrize("as_given", [list, np.array, lambda shape: np.array(shape, np.uint8)])
def test_a_shape_of_any_form(backend, as_given):
    shape, window = (1, 1, 200, 200), (90, 90, 40)
    dout, index = np.ones((1, 1, 3, 3)), np.full((1, 1, 3, 3), 45 * 90 + 45)
    actual = avg_pool2d_backward(dout, as_given(shape), *window)
    np.testing.assert_array_equal(actual, avg_pool2d_backward(dout, shape, *window))
    actual = max_pool2d_backward(dout, index, as_given(shape), *window)
    np.testing.assert_array_equal(actual, max_pool2d_backward(dout, index, shape, *window))
    actual = global_avg_pool2d_backward(dout[..., 0, 0], as_given(shape))
    np.testing.assert_array_equal(actual, global_avg_pool2d_backward(dout[..., 0, 0], shape))


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(0, 3, 4, 5), (2, 0, 4, 5), (1, 1, 1, 1), (3, 5, 7, 11), (2, 3, 1, 65), (2, 3, 64, 64)]
)
def test_global_avg(backend, shape, dtype):
    for kind in ("normal", "special"):
        x = draw(shape, dtype, kind)
        with np.errstate(invalid="ignore"):
            out = against_naive(global_avg_pool2d_forward, x, terms=shape[2] * shape[3])
            dx = against_naive(global_avg_pool2d_backward, out, shape)
        assert out.shape == shape[:2]
        assert dx.flags.c_contiguous
        assert dx.flags.writeable


@compared
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_avg_spreads_nan_and_infinity(backend, dtype):
    for special in (np.nan, np.inf, -np.inf):
        for position in (0, 7, 24, 34):
            x = draw((1, 1, 5, 7), dtype)
            x.flat[position] = special
            for window in ((2, 2, 0), (3, 1, 1), (2, 3, 1), (1, 1, 0)):
                check_avg(x, *window)


LAYOUTS = {
    "transposed": lambda a: a.T.copy().T,
    "channels last": lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1),
    "every other": lambda a: np.repeat(np.repeat(a, 2, axis=3), 2, axis=2)[:, :, ::2, ::2],
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "broadcast": lambda a: np.broadcast_to(a[:1, :, :, :1], a.shape),
    "whole": lambda a: (10 * a).astype(int),
    "boolean": lambda a: a > 0,
}


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(backend, layout, dtype):
    x = LAYOUTS[layout](draw((2, 3, 6, 7), dtype))
    expected = np.float64 if layout in ("whole", "boolean") else dtype
    for function, *window in (
        (max_pool2d_forward, 3, 2, 1),
        (avg_pool2d_forward, 3, 2, 1),
        (global_avg_pool2d_forward,),
    ):
        actual = against_naive(function, x, *window, terms=42)
        assert (actual if isinstance(actual, np.ndarray) else actual[0]).dtype == expected


def test_a_pooling_of_one_element_does_not_share_memory(backend):
    x = draw((2, 3, 4, 4), np.float64)
    for out in (max_pool2d_forward(x, 1, 1)[0], avg_pool2d_forward(x, 1, 1), global_avg_pool2d_forward(x[..., :1, :1])):
        assert not np.shares_memory(out, x)
    index = np.zeros(x.shape, np.uint8)
    assert not np.shares_memory(max_pool2d_backward(x, index, x.shape, 1, 1), x)
    assert not np.shares_memory(avg_pool2d_backward(x, x.shape, 1, 1), x)
    assert not np.shares_memory(global_avg_pool2d_backward(x[..., 0, 0], (2, 3, 1, 1)), x)
