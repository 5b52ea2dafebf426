"""Automatic differentiation: a tape is recorded while operations run, and walked backwards for the gradients.

    x, y = Tensor(images), Tensor(labels)
    w = autograd.randn(3072, 10, requires_grad=True)
    loss = cross_entropy(x @ w, y)
    loss.backward()                        # w.grad is dloss/dw
    with no_grad():
        w -= 1e-3 * w.grad
        w.grad.zero_()

Read the files in this order:

    tape         nodes, and the walk back over them: the whole idea
    arithmetic   + - * / @ and functions of elements, each with its derivative
    reductions   sums, means, extremes, softmax
    shapes       indexing, reshaping, joining
    tensor       Tensor: an array with these operations as operators and methods
    functions    kernels, layers and losses as operations of the tape
    drawing      a picture of a tape

**Kernels as operations.** Three functions put any forward and backward pass on the tape, as one node:

    affine = autograd.function(layers.affine_forward, layers.affine_backward)
    out = affine(x, w, b)                          # forward -> (out, cache), backward(dout, cache) -> gradients
    out = autograd.apply(module, x, parameters)    # a Module with forward and backward, {name: Tensor} of its params
    cross_entropy = autograd.loss(layers.softmax_loss)      # (scores, y) -> (loss, dscores)

All of them end in `record(name, inputs, out, gradients, keeps)`: `out` becomes a Tensor, and a node with `inputs` and
`gradients` is put on the tape if an input requires a gradient. Use it directly for what fits none of the three.

**Memory.** A node refers to its inputs, never to its result, so there are no reference cycles; `backward` frees each
node as soon as its gradients are computed. **Threads** record tapes of their own; `no_grad` holds in one thread only.
**Arrays that changed.** Every change in place through a Tensor is counted, and `backward` raises if an array that it
needs has another count than in the forward pass. Who writes to `tensor.data` calls `tensor.mark_changed()`.
"""

import numpy as _np

from .creation import arange, ones, rand, randn, tensor, zeros
from .drawing import draw
from .functions import apply, cat, function, grad, loss, stack, where
from .tape import detect_anomaly, enable_grad, is_grad_enabled, no_grad
from .tensor import Tensor, record

float32, float64, int64, long = _np.float32, _np.float64, _np.int64, _np.int64
abs, clamp, exp, log, sigmoid, sqrt, tanh = (
    Tensor.abs, Tensor.clamp, Tensor.exp, Tensor.log, Tensor.sigmoid, Tensor.sqrt, Tensor.tanh
)  # fmt: skip
matmul, maximum, minimum, mm = Tensor.matmul, Tensor.maximum, Tensor.minimum, Tensor.mm
log_softmax, logsumexp, softmax, split = Tensor.log_softmax, Tensor.logsumexp, Tensor.softmax, Tensor.split
max, mean, min, sum, var = Tensor.max, Tensor.mean, Tensor.min, Tensor.sum, Tensor.var

__all__ = [
    "Tensor", "abs", "apply", "arange", "cat", "clamp", "detect_anomaly", "draw", "enable_grad", "exp", "float32",
    "float64", "function", "grad", "int64", "is_grad_enabled", "log", "log_softmax", "logsumexp", "long", "loss",
    "matmul", "max", "maximum", "mean", "min", "minimum", "mm", "no_grad", "ones", "rand", "randn", "record",
    "sigmoid", "softmax", "split", "sqrt", "stack", "sum", "tanh", "tensor", "var", "where", "zeros",
]  # fmt: skip
