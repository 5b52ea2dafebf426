"""A training step of a chain of affine layers in one call: products, ReLU, softmax loss and all gradients.

The products are those of `matmul` and the loss is that of `losses`, so every bit is as in calls one by one. Between two
large products the processor's caches hold nothing of Python any more, and every call from there is slow: for a small
network, the calls of a step took as long as a fifth of its products.
"""

import numpy as np
from numba import carray

from .. import threads
from . import matmul, sizes
from .multi_tensor import _pointer
from .scores import GRAIN, WRONG_LABEL, softmax_rows

# columns of a table with a row for each layer: addresses, sizes, and the plan of each product
W, B, DW, DB, D, M, RELU, FORWARD = range(8)
DW_PLAN, DX_PLAN, ROW = FORWARD + matmul.PLAN, FORWARD + 2 * matmul.PLAN, FORWARD + 3 * matmul.PLAN


def step(x, y, weights, biases, shapes, relus, names, need_dx):
    """See `fused.repeated`."""
    plan, scratch, tasks, softmax_parts = _plan(len(x), shapes, relus, x.dtype, threads.get_num_threads())
    table, gradients = plan.copy(), {}
    for row, w in enumerate(weights):
        b = biases[row]
        gradients[names[2 * row]] = dw = np.empty(w.shape, w.dtype)
        gradients[names[2 * row + 1]] = db = np.empty(b.shape, b.dtype)
        _bind(table, row, w, b, dw, db)
    slots, dx = threads.split(tasks, 1)[0], np.empty(x.shape if need_dx else (0, 0), x.dtype)
    status, loss = _step(slots, table, x, y, dx, np.empty(scratch, x.dtype), softmax_parts)
    if status == WRONG_LABEL:
        return None
    if status:
        raise MemoryError(f"{matmul.__name__}: multiply ran out of memory; use smaller batches")
    return loss, gradients, dx if need_dx else None


@sizes.cached_plans(maxsize=64)
def _plan(N, shapes, relus, dtype, count):
    """Return the table without addresses, the size of the scratch memory, the most tasks, and the softmax's parts."""
    table = np.zeros((len(shapes), ROW), np.int64)
    for row, (D_, M_), relu in zip(table, shapes, relus, strict=True):
        row[[D, M, RELU]] = D_, M_, relu
        products = (
            (FORWARD, N, M_, D_, False, False),
            (DW_PLAN, D_, M_, N, True, False),
            (DX_PLAN, N, D_, M_, False, True),
        )
        for column, *product in products:
            row[column : column + matmul.PLAN] = matmul.plan_of(*product, dtype, count)
    plans = table[:, FORWARD:].reshape(-1, matmul.PLAN)
    most, tasks = plans[:, matmul.SCRATCH].max(), plans[:, matmul.TASKS_OF].max()
    widths = [width for _, width in shapes]
    return table, N * (sum(widths) + 2 * max(widths)) + int(most), int(tasks), threads.parts(N, GRAIN, count)


@threads.serial
def _bind(table, row, w, b, dw, db):
    """Write the addresses of a layer's arrays into its row."""
    table[row, W], table[row, B] = w.ctypes.data, b.ctypes.data
    table[row, DW], table[row, DB] = dw.ctypes.data, db.ctypes.data


@threads.serial
def _matrix(address, rows, columns, zero):
    return carray(_pointer(address, 0, zero), (rows, columns))


@threads.serial
def _helpers(slots, parts):
    return slots if parts > 1 else slots[:0]


@threads.serial
def _loss(slots, parts, scores, y, gradient):
    """Return a status and the softmax loss; write its gradient."""
    N, K = scores.shape
    losses, total = np.empty(N), 0.0
    status = softmax_rows(
        _helpers(slots, parts), N, parts, K, scores.reshape(N * K), y, 0.0, losses, gradient.reshape(N * K)
    )
    for n in range(N):
        total += losses[n]
    return status, total


@threads.serial
def _step(slots, table, x, y, dx, scratch, softmax_parts):
    """Return a status and the loss; gradients are written where the table says, and to dx unless it is empty.

    All products are made by one call in a loop, since each such call takes a second to compile.
    """
    zero, N, layers = x.dtype.type(0), len(x), len(table)
    for n in range(y.size):
        if y[n] < 0 or y[n] >= table[layers - 1, M]:
            return WRONG_LABEL, 0.0
    widest, total, status, loss = 0, 0, 0, 0.0
    for layer in range(layers):
        widest, total = max(widest, table[layer, M]), total + table[layer, M]
    images, memory, partial = np.intp(x.ctypes.data), np.intp(scratch.ctypes.data), scratch[N * (2 * widest + total) :]
    dout, din = memory, memory + N * widest * x.itemsize  # gradients of the output and of the input of a layer
    given, out = images, din + N * widest * x.itemsize  # the input and the output of a layer
    products = 3 * layers - (dx.size == 0)  # a forward pass of each layer; from the last on, dw and dx
    for number in range(products):
        if number == 3 * layers - 1:
            din = np.intp(dx.ctypes.data)
        is_forward, back = number < layers, (number - layers) // 2
        is_dw = not is_forward and number == layers + 2 * back
        row = table[number if is_forward else layers - 1 - back]
        D_, M_ = row[D], row[M]
        w, inputs, outputs = _matrix(row[W], D_, M_, zero), _matrix(given, N, D_, zero), _matrix(out, N, M_, zero)
        gradient, bias = _matrix(dout, N, M_, zero), scratch[:0]
        if is_forward:
            plan, left, right, result = FORWARD, inputs, w, outputs
            bias = _matrix(row[B], 1, M_, zero).reshape(M_)
        elif is_dw:
            if number == layers:
                status, loss = _loss(slots, softmax_parts, outputs, y, gradient)
            parts, db = row[DW_PLAN + matmul.PASSES], _matrix(row[DB], 1, M_, zero).reshape(M_)
            status |= matmul.passed_gradient(
                _helpers(slots, parts), M_, parts, gradient, outputs, row[RELU] != 0, gradient, db
            )
            plan, left, right, result = DW_PLAN, inputs, gradient, _matrix(row[DW], D_, M_, zero)
        else:
            plan, left, right, result = DX_PLAN, gradient, w, _matrix(din, N, D_, zero)
        relu = is_forward and row[RELU] != 0
        status |= matmul.multiply(slots, row[plan:], left, is_dw, right, plan == DX_PLAN, bias, result, partial, relu)
        if status:
            return status, 0.0
        if number < layers - 1:
            given, out = out, out + N * M_ * x.itemsize
        elif plan == DX_PLAN:
            dout, din, out = din, dout, given
            given = given - N * table[layers - 2 - back, D] * x.itemsize if back < layers - 2 else images
    return 0, loss
