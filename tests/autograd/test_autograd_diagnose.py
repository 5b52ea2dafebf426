"""The gradient doctor takes functions of Tensors."""

import numpy as np
import pytest
from doctor_cases import assert_wrong, verdicts

from fastnn import autograd, layers
from fastnn.autograd import Tensor
from fastnn.gradient_check import diagnose

X = np.random.default_rng(0).normal(size=(4, 3))
W, LABELS = np.random.default_rng(1).normal(size=(3, 2)), np.array([0, 1, 1, 0])
cross_entropy = autograd.loss(layers.softmax_loss)


def halved(x):
    """x * x with half of its gradient."""
    return autograd.function(lambda x: (x * x, x), lambda dout, x: dout * x, name="halved")(x)


def test_a_right_gradient_of_a_tensor(backend):
    x, w = Tensor(X.copy(), requires_grad=True), Tensor(W.copy(), requires_grad=True)
    assert diagnose(lambda x: cross_entropy((x @ w).tanh(), LABELS), x).ok
    assert diagnose(lambda _: cross_entropy((x @ w).tanh(), LABELS), w).ok
    assert x.grad is None and w.grad is None
    assert np.array_equal(x.data, X) and np.array_equal(w.data, W)


def test_results_with_axes_need_dout():
    x, dout = Tensor(X.copy()), np.random.default_rng(2).normal(size=(4, 2))
    assert diagnose(lambda x: x @ Tensor(W), x, dout=dout).ok
    assert diagnose(lambda x: x @ Tensor(W), x, dout=Tensor(dout)).ok
    assert not x.requires_grad


def test_the_cause_of_a_wrong_backward_is_named():
    assert_wrong(diagnose(lambda x: halved(x).sum(), Tensor(X.copy())), "factor", "0.5 times")
    assert_wrong(diagnose(lambda x: (x.detach() * 2).sum(), Tensor(X.copy())), "zero")
    frozen = Tensor(X.copy())
    assert_wrong(diagnose(lambda x: (x.detach() ** 2).sum() + (x * 0).sum(), frozen), "zero")


def test_kinks_are_seen():
    x = Tensor(np.array([0.0, 1.0, -1.0]), requires_grad=True)
    assert verdicts(diagnose(lambda x: x.relu().sum(), x)) == {"ok", "kink"}


def test_a_gradient_of_ones_own():
    x = Tensor(X.copy(), requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    assert diagnose(lambda x: (x * x).sum(), x, x.grad).ok
    assert diagnose(lambda x: (x * x).sum().item(), x, 2 * X).ok
    assert_wrong(diagnose(lambda x: (x * x).sum(), x, X), "factor")


def test_float32_is_diagnosed_in_float32():
    assert diagnose(lambda x: (x.exp() * x).mean(), Tensor(X.astype(np.float32))).ok


def test_what_is_no_function_of_tensors():
    with pytest.raises(
        TypeError, match=r"^diagnose: f\(x\)=3.0 is not a Tensor; expected the result .*; let f compute"
    ):
        diagnose(lambda x: 3.0, Tensor(X.copy()))
    with pytest.raises(ValueError, match="gradient=None does not fit a Tensor of shape"):
        diagnose(lambda x: x * 2, Tensor(X.copy()))
    with pytest.raises(TypeError, match=r"requires_grad=True does not fit data.dtype = int64"):
        diagnose(lambda x: x.sum(), Tensor(np.arange(3)))
