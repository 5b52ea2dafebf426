"""The gradient doctor names the cause of faults in the gradients of real layers."""

import hypothesis
import numpy as np
import pytest
from doctor_cases import PARAM, Affine, M, N, assert_wrong, verdicts
from hypothesis import strategies as st

from fastnn.gradient_check import diagnose
from fastnn.layers import affine_forward, conv_backward, conv_forward, softmax_loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("factor", "cause", "said"),
    [
        (-1, "sign", "negative of the numeric one"),
        (2, "factor", "is 2 times the numeric one: a factor is missing or doubled"),
        (0.5, "factor", "is 0.5 times"),
        (N, "factor", "is 5 times .* if 5 is the number of images, the loss is a mean, its gradient lacks the 1/N"),
        (1 / N, "factor", "is 0.2 times .* if 5 is the number of images, 1/N is there twice"),
        (-2, "factor", "the sign is wrong, and so is a factor"),
        (0, "zero", "gradient is zero"),
    ],
)
def test_factors(backend, dtype, factor, cause, said):
    layer = Affine(dtype)
    for array, gradient in ((layer.x, layer.dx), (layer.w, layer.dw), (layer.b, layer.db)):
        assert_wrong(diagnose(layer.out, array, gradient * dtype(factor), dout=layer.dout), cause, said)
    scores, y = layer.x, np.array([0, 3, 1, 1, 2])
    _, gradient = softmax_loss(scores, y)
    assert_wrong(diagnose(lambda scores: softmax_loss(scores, y)[0], scores, gradient * dtype(factor)), cause, said)


def test_a_single_element_has_only_the_usual_factors():
    x = np.array(0.7)
    assert_wrong(diagnose(lambda x: float(x**2), x, -2 * x), "sign")
    assert_wrong(diagnose(lambda x: float(x**2), x, x), "factor")
    assert_wrong(diagnose(lambda x: float(x**2), x, 2.6 * x), None, "No known cause fits")


def test_transposed():
    layer = Affine()
    assert_wrong(diagnose(layer.out, layer.w, layer.dw.T, dout=layer.dout), "transpose", "swap its axes 0 and 1")
    draw = np.random.default_rng(1)
    x, w, b = draw.standard_normal((2, 2, 5, 4)), draw.standard_normal((3, 2, 3, 3)), np.zeros(3)
    out, cache = conv_forward(x, w, b, PARAM)
    dw = conv_backward(np.ones_like(out) * x[:, :1], cache)[1]

    def f(_):
        return float(np.sum(conv_forward(x, w, b, PARAM)[0] * x[:, :1]))

    assert_wrong(diagnose(f, w, dw.swapaxes(2, 3)), "transpose", "axes 2 and 3")
    assert_wrong(diagnose(f, w, dw[:, :, ::-1, ::-1]), "flip", "backwards along axis 2, 3: is a filter rotated")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_penalties(dtype):
    layer = Affine(dtype)
    assert_wrong(
        diagnose(layer.loss, layer.w, layer.dw), "penalty", r"lacks 1\.[34]\d* \* x: the gradient of a penalty"
    )
    assert_wrong(diagnose(layer.loss, layer.w, layer.dw + dtype(0.7) * layer.w), "penalty", r"lacks 0\.[67]\d* \* x")
    assert_wrong(diagnose(layer.loss, layer.w, layer.dw + dtype(2.8) * layer.w), "penalty", r"has 1\.[34]\d* \* x too")
    assert_wrong(diagnose(layer.loss, layer.w, dtype(1.4) * layer.w), "penalty", "that of the loss is missing")
    missing = dtype(N) * layer.dw + dtype(1.4) * layer.w
    assert_wrong(
        diagnose(layer.loss, layer.w, missing), "factor", r"is (5|4\.9\d*|5\.0\d*) times the numeric one, plus"
    )


def test_shapes():
    layer = Affine()
    batch = layer.dout
    assert_wrong(diagnose(layer.out, layer.b, batch, dout=batch), "shape", "missing sum over axis 0, .* over the batch")
    assert_wrong(diagnose(layer.out, layer.b, layer.db[None], dout=batch), "shape", "it is right")
    wide = np.random.default_rng(0).standard_normal((3, 5))
    assert_wrong(
        diagnose(lambda x: float(np.sum(x**2)), wide, 2 * wide.T), "shape", r"transposed with .transpose\(1, 0\)"
    )
    assert_wrong(diagnose(lambda x: float(np.sum(x**2)), wide, 2 * wide.ravel()), "shape", r"reshaped with .reshape")
    diagnosis = diagnose(lambda x: float(np.sum(x**2)), wide, wide.T)
    assert_wrong(diagnosis, "shape", "not a transposition or sum")
    assert verdicts(diagnosis) == {"wrong"} and np.isinf(diagnosis.errors).all()


def test_summed_over_one_axis_too_many():
    layer = Affine()
    for axis in (0, 1):
        total = np.broadcast_to(layer.dw.sum(axis=axis, keepdims=True), layer.dw.shape)
        assert_wrong(diagnose(layer.out, layer.w, total, dout=layer.dout), "sum", f"Along axis {axis} .* is the sum")
    mean = np.full(M, layer.db.mean())
    assert_wrong(diagnose(layer.out, layer.b, mean, dout=layer.dout), "sum", "is the mean")


def test_softmax_without_the_label():
    scores, y = Affine().x, np.array([0, 3, 1, 1, 2])
    wrong = softmax_loss(scores, y)[1]
    wrong[np.arange(N), y] += 1 / N
    found = diagnose(lambda scores: softmax_loss(scores, y)[0], scores, wrong)
    assert_wrong(
        found, "offset", r"5 wrong elements are all off by \+0.2, one for each index of axis 0: is 1 subtracted"
    )
    found = diagnose(lambda scores: softmax_loss(scores, y)[0], scores, softmax_loss(scores, y)[1] + 0.1)
    assert_wrong(found, "offset", r"all off by \+0.1: a constant term")


def test_positions():
    layer = Affine()
    wrong = layer.dw.copy()
    wrong[2] = 0
    found = diagnose(layer.out, layer.w, wrong, dout=layer.dout)
    assert_wrong(found, "place", "index 2 of axis 0; elsewhere it is right. The analytic gradient is zero")
    np.testing.assert_array_equal(found.verdicts[2], "wrong")
    assert found.counts == {"ok": 12, "kink": 0, "precision": 0, "wrong": 4}
    wrong = layer.dx.copy()
    wrong[:, 3] *= -1
    assert_wrong(diagnose(layer.out, layer.x, wrong, dout=layer.dout), "place", "index 3 of axis 1; .* negative")
    wrong = layer.db + np.array([0, 0, 0.3, 0])
    assert_wrong(
        diagnose(layer.out, layer.b, wrong, dout=layer.dout), "place", "index 2 of axis 0; elsewhere it is right.$"
    )


def test_not_finite():
    layer = Affine()
    wrong = layer.dw.copy()
    wrong[1, 2] = np.nan
    wrong[3, 3] = np.inf
    found = diagnose(layer.out, layer.w, wrong, dout=layer.dout)
    assert_wrong(found, "not finite", r"NaN or infinite at 2 elements, the first at index \(1, 2\)")
    assert found.worst == (1, 2) and np.isinf(found.errors[1, 2])
    np.testing.assert_allclose(found.numeric, layer.dw, rtol=1e-6)


def test_f_that_does_not_read_x():
    layer = Affine()
    copy = layer.w.copy()
    found = diagnose(lambda _: affine_forward(layer.x, copy, layer.b)[0], layer.w, layer.dw, dout=layer.dout)
    assert_wrong(found, "unread", "let f read the array x itself")


@hypothesis.given(seed=st.integers(0, 2**32), dtype=st.sampled_from([np.float32, np.float64]))
@hypothesis.settings(max_examples=30)
def test_no_cause_is_claimed_for_noise(seed, dtype):
    layer = Affine(dtype, seed)
    noise = np.random.default_rng([seed, 1]).standard_normal(layer.dw.shape)
    assert_wrong(diagnose(layer.out, layer.w, layer.dw + noise, dout=layer.dout), None, "No known cause fits")
