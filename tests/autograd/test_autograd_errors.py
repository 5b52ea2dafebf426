"""Errors of automatic differentiation say what is wrong, what was expected and what to do."""

import re

import numpy as np
import pytest

from fastnn import autograd
from fastnn.autograd import Tensor

STYLE = re.compile(r"^[\w.]+(\([^;]*\))?: [^\n]+; [^\n]+; [^\n]+$")


def leaf(shape=(2, 3)):
    return Tensor(np.ones(shape), requires_grad=True)


def used():
    """A loss whose tape was freed."""
    loss = (leaf() * 2).sum()
    loss.backward()
    return loss


def wrong_backward(gradients):
    return autograd.function(lambda x, y: (x * y, None), lambda dout, cache: gradients, name="mine")(leaf(), leaf())


ERRORS = {
    "twice": (lambda: used().backward(), RuntimeError, "the tape of sum was freed by an earlier backward"),
    "half a tape": (
        lambda: (lambda h: [h.sum().backward(), h.mean().backward()])(leaf().exp()),
        RuntimeError,
        "the tape of exp was freed",
    ),
    "no scalar": (lambda: leaf().exp().backward(), ValueError, "gradient=None does not fit a Tensor of shape (2, 3)"),
    "wrong gradient": (lambda: leaf().exp().backward(np.ones(3)), ValueError, "gradient.shape = (3,) does not fit"),
    "no gradient": (lambda: leaf().exp().backward("a"), TypeError, "gradient"),
    "nothing recorded": (lambda: Tensor(np.ones(1)).backward(), RuntimeError, "does not require a gradient"),
    "grad of a result": (
        lambda: autograd.grad(leaf().sum(), leaf().exp()),
        ValueError,
        "grad: inputs[0] is the result",
    ),
    "grad of an array": (lambda: autograd.grad(leaf().sum(), [np.ones(3)]), TypeError, "grad: inputs[0]=array"),
    "retain": (lambda: leaf().sum().backward(retain_graph="yes"), TypeError, "retain_graph='yes'"),
    "misspelt": (lambda: leaf().sum().backward(retain_grap=True), TypeError, "did you mean 'retain_graph'?"),
    "integers": (lambda: Tensor(np.arange(3), requires_grad=True), TypeError, "data.dtype = int64"),
    "booleans": (lambda: autograd.tensor([True], requires_grad=True), TypeError, "data.dtype = bool"),
    "integers later": (lambda: Tensor(np.arange(3)).requires_grad_(), TypeError, "requires_grad=True does not fit"),
    "half": (lambda: Tensor(np.ones(3, np.float16)), TypeError, "data.dtype = float16"),
    "complex": (lambda: Tensor(np.ones(3, complex)), TypeError, "data.dtype = complex128"),
    "text": (lambda: autograd.tensor("a"), TypeError, "cannot be computed with"),
    "length": (lambda: autograd.zeros(2, -1), ValueError, "zeros: shape=-1 is out of range"),
    "no length": (lambda: autograd.randn("a"), TypeError, "randn: shape='a' is not a number"),
    "dtype": (lambda: autograd.rand(2, dtype=int), TypeError, "rand: dtype=<class 'int'>"),
    "device": (lambda: autograd.ones(2, devise="cpu"), TypeError, "did you mean 'device'?"),
    "ragged": (lambda: autograd.tensor([[1.0], [1.0, 2.0]]), TypeError, "is not an array"),
    "a flag": (lambda: Tensor(np.ones(3), requires_grad="yes"), TypeError, "requires_grad='yes'"),
    "no leaf": (lambda: setattr(leaf().exp(), "requires_grad", False), ValueError, "expected a leaf"),
    "shapes": (lambda: leaf() + leaf((4,)), ValueError, "add: shape (2, 3), (4,) do not fit"),
    "matrices": (lambda: leaf() @ leaf(), ValueError, "matmul: shape (2, 3), (2, 3) do not fit"),
    "stacks": (lambda: leaf((2, 3, 4)) @ leaf((2, 3, 4)), ValueError, "matmul: shape (2, 3, 4), (2, 3, 4)"),
    "scalars": (lambda: leaf(()) @ leaf(()), ValueError, "matmul"),
    "comparison": (lambda: leaf() > leaf((4,)), ValueError, "gt: shape (2, 3), (4,) do not fit"),
    "operand": (lambda: leaf() * "a", TypeError, "multiply: an operand is 'a'"),
    "list": (lambda: leaf() - [1.0, 2.0, 3.0], TypeError, "subtract: an operand is [1.0, 2.0, 3.0]"),
    "axis": (lambda: leaf().sum(dim=2), ValueError, "sum: shape (2, 3) and dim=2 do not fit"),
    "axes": (lambda: leaf().permute(0, 0), ValueError, "permute: shape (2, 3) and (0, 0) do not fit"),
    "softmax": (lambda: leaf().softmax(), TypeError, "softmax: missing a required argument: 'dim'"),
    "keyword": (lambda: leaf().mean(dims=1), TypeError, "the keyword dims=1 is unknown"),
    "shape": (lambda: leaf().reshape(4, 2), ValueError, "reshape: shape (2, 3) and (4, 2) do not fit"),
    "index": (lambda: leaf()[2], IndexError, "getitem: shape (2, 3) and 2 do not fit"),
    "cat": (lambda: autograd.cat([leaf(), leaf((4, 4))]), ValueError, "cat: shape (2, 3), (4, 4) and dim=0"),
    "cat of one": (lambda: autograd.cat(leaf()), TypeError, "is not a list of Tensors"),
    "stack of nothing": (lambda: autograd.stack([]), TypeError, "stack: tensors=[] is not a list of Tensors"),
    "split": (lambda: leaf().split([1, 1, 1]), ValueError, "split: split_size=[1, 1, 1] adds up to 3; expected 2"),
    "split size": (lambda: leaf().split(0), ValueError, "split: split_size=0 is out of range"),
    "item": (lambda: leaf().item(), ValueError, "the Tensor of shape (2, 3) has 6 elements"),
    "numpy": (lambda: leaf().numpy(), RuntimeError, "use x.detach().numpy()"),
    "as an array": (lambda: np.asarray(leaf()), RuntimeError, "requires a gradient, which an array would lose"),
    "leaf in place": (lambda: leaf().__iadd__(1), RuntimeError, "iadd: a leaf that requires a gradient"),
    "item in place": (lambda: leaf().__setitem__(0, 1.0), RuntimeError, "setitem: a leaf that requires a gradient"),
    "result in place": (lambda: leaf().exp().zero_(), RuntimeError, "setitem: a Tensor of shape (2, 3) would be"),
    "shape in place": (lambda: Tensor(np.ones(3)).__iadd__(np.ones((2, 3))), ValueError, "iadd: shape (3,), (2, 3)"),
    "dtype in place": (lambda: Tensor(np.ones(3, int)).__iadd__(0.5), TypeError, "iadd: shape (3,)"),
    "too few gradients": (
        lambda: wrong_backward(np.ones((2, 3))).sum().backward(),
        ValueError,
        "mine gave no gradient",
    ),
    "wrong shape": (
        lambda: wrong_backward((np.ones((2, 3)), np.ones(3))).sum().backward(),
        ValueError,
        "backward: mine gave a gradient of shape (3,) for input 1; expected the shape (2, 3)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_do(name, one_backend):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert words in message
    assert STYLE.match(message), message
    assert len(message) < 500


def test_an_error_in_backward_changes_no_gradient():
    x, y = leaf(), leaf()
    broken = autograd.function(lambda x: (x * 1, None), lambda dout, cache: np.ones(7), name="broken")
    loss = (y.exp() + broken(x)).sum()
    with pytest.raises(ValueError, match="broken gave a gradient of shape"):
        loss.backward()
    assert x.grad is None and y.grad is None


def test_kernels_tell_how_to_pass_a_tensor():
    from fastnn import layers

    with pytest.raises(
        TypeError, match="x is a tensor that requires a gradient, which would be lost; expected a plain"
    ):
        layers.relu_forward(leaf())
    assert layers.relu_forward(leaf().detach())[0].tolist() == [[1, 1, 1]] * 2
