"""The gradient doctor on real layers: correct and faulty gradients, kinks, unsuitable steps."""

import hypothesis
import numpy as np
import pytest
from doctor_cases import PARAM, Affine, assert_wrong, verdicts
from hypothesis import strategies as st

from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.gradient_check import Diagnosis, diagnose
from fastnn.layers import (
    conv_backward,
    conv_forward,
    max_pool_backward,
    max_pool_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)
from fastnn.testing import gradient_doctor

# ---- correct gradients ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_gradients_are_ok(backend, dtype):
    layer = Affine(dtype)
    for array, gradient in ((layer.x, layer.dx), (layer.w, layer.dw), (layer.b, layer.db)):
        diagnosis = diagnose(layer.out, array, gradient, dout=layer.dout)
        assert diagnosis.ok and verdicts(diagnosis) == {"ok"}, str(diagnosis)
        assert diagnosis.cause is None and diagnosis.explanation == ""
        assert diagnosis.errors.max() < (1e-7 if dtype == np.float64 else 2e-2)
        np.testing.assert_allclose(diagnosis.numeric, gradient, rtol=5e-3, atol=5e-3)
    assert diagnose(layer.loss, layer.w, layer.dw + 1.4 * layer.w).ok


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_gradients_of_convolution_pooling_and_losses_are_ok(backend, dtype):
    draw = np.random.default_rng(1)
    x, w, b = (draw.standard_normal(shape).astype(dtype) for shape in ((2, 2, 5, 4), (3, 2, 3, 3), (3,)))
    out, cache = conv_forward(x, w, b, PARAM)
    dout = draw.standard_normal(out.shape).astype(dtype)
    for array, gradient in zip((x, w, b), conv_backward(dout, cache), strict=True):
        diagnosis = diagnose(lambda _: conv_forward(x, w, b, PARAM)[0], array, gradient, dout=dout)
        assert diagnosis.ok, str(diagnosis)
    pool = {"pool_height": 2, "pool_width": 2, "stride": 1}
    out, cache = max_pool_forward(x, pool)
    dout = draw.standard_normal(out.shape).astype(dtype)
    diagnosis = diagnose(lambda x: max_pool_forward(x, pool)[0], x, max_pool_backward(dout, cache), dout=dout)
    assert diagnosis.ok, str(diagnosis)
    scores, y = draw.standard_normal((6, 4)).astype(dtype), draw.integers(4, size=6)
    for loss in (softmax_loss, svm_loss):
        diagnosis = diagnose(lambda scores, loss=loss: loss(scores, y)[0], scores, loss(scores, y)[1])
        assert diagnosis.ok, str(diagnosis)


@hypothesis.given(
    seed=st.integers(0, 2**32), exponent=st.integers(-4, 4), length=st.integers(1, 30), dtype=st.sampled_from("fd")
)
@hypothesis.settings(max_examples=60)
def test_right_gradients_of_any_size_are_never_called_wrong(seed, exponent, length, dtype):
    draw = np.random.default_rng(seed)
    x = (draw.standard_normal(length) * 10.0**exponent).astype(dtype)
    weights = draw.standard_normal(length)

    def f(x):
        return float(np.sum(np.hypot(np.asarray(x, np.float64), 1) * weights) + 3)

    diagnosis = diagnose(f, x, weights * x / np.hypot(np.asarray(x, np.float64), 1))
    assert verdicts(diagnosis) <= {"ok", "precision"}, str(diagnosis)
    diagnosis = diagnose(f, x, np.full(length, 9.0))
    assert verdicts(diagnosis) <= {"wrong", "precision"} and "wrong" in verdicts(diagnosis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_with_a_kink_near_every_weight(dtype):
    draw = np.random.default_rng(0)
    shape = {"input_dim": (3, 16, 16), "num_filters": 4, "filter_size": 3, "hidden_dim": 7, "weight_scale": 1e-2}
    model = ThreeLayerConvNet(**shape, reg=0.5, dtype=dtype, seed=0)
    X, y = draw.standard_normal((6, 3, 16, 16)), draw.integers(10, size=6)
    _, gradients = model.loss(X, y)
    for name, array in model.params.items():
        found = diagnose(lambda _: model.loss(X, y)[0], array, gradients[name], num_checks=40, seed=0)
        assert found.counts["wrong"] == 0 and (found.ok or dtype == np.float32), f"{name}: {found}"
        found = diagnose(lambda _: model.loss(X, y)[0], array, 6 * gradients[name], num_checks=20, seed=0)
        assert found.counts["wrong"] > 0 and found.cause in ("factor", None if dtype == np.float32 else "factor")


@pytest.mark.parametrize("seed", [3, 5])
def test_kinks_on_both_sides_of_every_step_do_not_make_a_right_gradient_wrong(seed):
    draw = np.random.default_rng(seed)
    model = ThreeLayerConvNet((3, 8, 8), 4, 3, 10, 4, dtype=np.float32, seed=draw)  # the small weights of the course
    X, y = draw.standard_normal((6, 3, 8, 8)), draw.integers(4, size=6)
    _, gradients = model.loss(X, y)
    for name, array in model.params.items():
        found = diagnose(lambda _: model.loss(X, y)[0], array, gradients[name], num_checks=40, seed=0)
        assert found.counts["wrong"] == 0 and found.cause is None, f"{name}: {found}"


def test_a_gradient_of_zero_is_ok_where_f_is_constant():
    for dtype in (np.float32, np.float64):
        assert diagnose(lambda x: 3.0, np.ones(3, dtype), np.zeros(3, dtype)).ok
    x = -np.ones((2, 3))
    assert diagnose(lambda x: relu_forward(x)[0], x, np.zeros((2, 3)), dout=np.ones((2, 3))).ok


def test_float32_inside_a_loss_of_float64_arrays_is_found_out():
    layer = Affine()

    def f(x):
        return float(np.sum(np.tanh(x.astype(np.float32)) * layer.dout.astype(np.float32), dtype=np.float64) + 2.0)

    gradient = layer.dout / np.cosh(layer.x) ** 2
    assert verdicts(diagnose(f, layer.x, gradient)) == {"ok"}
    assert_wrong(diagnose(f, layer.x, 2 * gradient), "factor", "2 times")


# ---- kinks ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-9, 1e-7, -1e-7, 2e-6, -4e-6])
def test_kinks_of_relu(backend, dtype, distance):
    x = np.array([[-1.0, 2.0, distance], [0.5, distance, -0.2]], dtype)
    _, cache = relu_forward(x)
    dout = np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, 0.5]], dtype)
    diagnosis = diagnose(lambda x: relu_forward(x)[0], x, relu_backward(dout, cache), dout=dout)
    expected = np.where(np.abs(x) < 1e-3, "kink", "ok")
    np.testing.assert_array_equal(diagnosis.verdicts, expected)
    assert diagnosis.ok and diagnosis.cause is None
    assert "2 kink" in str(diagnosis) and "not an error" in str(diagnosis)
    wrong = relu_backward(dout, cache) + 7 * (expected == "kink")
    np.testing.assert_array_equal(
        diagnose(lambda x: relu_forward(x)[0], x, wrong, dout=dout).verdicts == "wrong", expected == "kink"
    )


def test_a_kink_does_not_hide_the_cause():
    x = np.random.default_rng(0).standard_normal((4, 5))
    x[1, 2] = 0
    dout = np.random.default_rng(1).standard_normal((4, 5))
    gradient = relu_backward(dout, relu_forward(x)[1])
    diagnosis = diagnose(lambda x: relu_forward(x)[0], x, -gradient, dout=dout)
    assert diagnosis.verdicts[1, 2] == "kink"
    assert_wrong(diagnosis, "sign")


def test_a_curve_is_not_a_kink():
    x = np.array([1.0, -2.0, 0.0])
    for h in (0.1, 1.0):
        assert verdicts(diagnose(lambda x: float(np.exp(x).sum()), x, np.exp(x), h)) == {"precision"}
    assert verdicts(diagnose(lambda x: float(np.exp(x).sum()), x, 1.1 * np.exp(x), 1.0)) == {"wrong"}


# ---- steps ----


def test_a_step_too_small_for_float32():
    layer = Affine(np.float32)
    diagnosis = diagnose(lambda _: np.float32(layer.loss()), layer.w, layer.dw + np.float32(1.4) * layer.w, 1e-7)
    assert verdicts(diagnosis) == {"precision"} and not diagnosis.ok
    assert diagnosis.cause is None
    assert "h=1e-07 is too small for float32; leave h out, which takes about 5e-03" in str(diagnosis)
    assert str(diagnosis).startswith("The gradient is not decided: ")
    assert diagnose(lambda _: np.float32(layer.loss()), layer.w, layer.dw + np.float32(1.4) * layer.w).ok


def test_a_step_too_large_or_too_small_for_float64():
    x = np.array([1.0, 2.0, 3.0])
    diagnosis = diagnose(lambda x: float(np.sum(x**3)), x, 3 * x**2, 0.5)
    assert verdicts(diagnosis) == {"precision"}
    assert "h=0.5 is too large for float64; leave h out, which takes about" in diagnosis.explanation
    assert verdicts(diagnose(lambda x: float(np.sum(x**3)), x, 3 * x**2, 1e-15)) == {"precision"}
    assert verdicts(diagnose(lambda x: float(np.sum(x**3)), x, 3 * x**2, 1e-300)) == {"precision"}
    assert_wrong(diagnose(lambda x: float(np.sum(x**3)), x, 6 * x**2, 1e-15), "factor")
    assert diagnose(lambda x: float(np.sum(x**3)), x, 3 * x**2, 1e-5).ok


def test_derivatives_under_the_rounding_of_f_are_not_decided():
    x = np.array([1.0, 2.0], np.float32)
    diagnosis = diagnose(lambda x: np.float32(1e6) + np.sum(x) * np.float32(1e-3), x, np.full(2, 1e-3, np.float32))
    assert verdicts(diagnosis) == {"precision"}
    assert "the rounding of f hides these derivatives in float32; compute in float64" in diagnosis.explanation


def test_the_edge_of_a_domain():
    x = np.array([1e-4, 1.0])
    assert diagnose(lambda x: float(np.log(x).sum()), x, 1 / x).ok
    assert verdicts(diagnose(lambda x: float(np.sqrt(x).sum()), np.zeros(1), np.ones(1))) == {"precision"}


# ---- samples, layouts, printing ----


def test_some_elements_are_drawn():
    x = np.random.default_rng(0).standard_normal((100, 100))
    calls = []

    def f(x):
        calls.append(None)
        return float(np.sum(x**2))

    found = diagnose(f, x, 2 * x, num_checks=7, seed=3)
    assert np.count_nonzero(found.verdicts == "ok") == 7 and np.count_nonzero(found.verdicts == "untested") == 9993
    assert np.isnan(found.numeric[found.verdicts == "untested"]).all()
    assert len(calls) == 3 + 2 * 7
    assert "(7 of 10000 elements tested)" in str(found)
    again = diagnose(f, x, 2 * x, num_checks=7, seed=3)
    np.testing.assert_array_equal(again.verdicts, found.verdicts)
    np.random.seed(1)
    other = diagnose(f, x, 2 * x, num_checks=7)
    assert (other.verdicts != found.verdicts).any()
    assert_wrong(diagnose(f, x, -2 * x, num_checks=7, seed=3), "sign")
    assert_wrong(diagnose(f, x, 2 * x.T, num_checks=7, seed=3), None, "Test all elements, since a transposition")
    assert diagnose(f, x[:2, :2], 2 * x[:2, :2], num_checks=99).counts["ok"] == 4


def test_x_of_any_layout_is_restored():
    whole = np.random.default_rng(0).standard_normal((6, 8))
    before = whole.copy()
    for x in (whole[::2, 1::3], whole.T, np.asfortranarray(whole), whole[1, 1:2], np.array(3.0)):
        assert diagnose(lambda _, x=x: float(np.sum(x**2)), x, 2 * x).ok
    np.testing.assert_array_equal(whole, before)
    calls = []

    def fails(x):
        calls.append(None)
        if len(calls) == 5:
            raise KeyError("broken")
        return float(x.sum())

    with pytest.raises(KeyError, match="broken"):
        diagnose(fails, whole, np.ones_like(whole))
    np.testing.assert_array_equal(whole, before)


def test_printed():
    layer = Affine()
    found = diagnose(layer.out, layer.b, 2 * layer.db, dout=layer.dout)
    index = found.worst
    first, second, *rest = str(found).splitlines()
    assert first == "The gradient is wrong: 0 ok, 0 kink, 0 precision, 4 wrong (4 elements tested)."
    values = f"analytic {2 * layer.db[index]:.6g}, numeric {layer.db[index]:.6g}, relative error 3.3e-01."
    assert second == f"Largest error: wrong at index {index}: {values}"
    assert rest == [found.explanation]
    assert repr(found) == str(found)
    assert isinstance(found, Diagnosis) and gradient_doctor.diagnose is diagnose
    assert str(diagnose(layer.out, layer.b, layer.db, dout=layer.dout)).startswith(
        "The gradient is right: 4 ok, 0 kink, 0 precision, 0 wrong (4 elements tested).\nLargest error: ok at index ("
    )
