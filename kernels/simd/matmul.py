"""Matrix products of the njit backend: out = x @ w + b and its gradients, all three as one kernel over strides.

    C[i, j] = start[j] + sum_k A[i, k] * B[k, j]

A task is a block of rows of C times a panel of columns, as wide as the register tile. The panel of B is packed, A is
read where it lies, the block of C stays in cache until its sum is complete. An element's sum always runs in the same
order, whatever the number of threads. The gradient dx = dout @ w.T is computed as its transpose, w @ dout.T: so the
small matrix is packed, and the weights are read once, in their order.

Why not BLAS: OpenBLAS's threads spin after a call and double the time of the kernels that follow it.
"""

import numpy as np

from .. import threads
from .tiles import panel_tile, panel_width

DEPTH = 256  # of a packed panel: 64 KiB, a fraction of a second-level cache
HEIGHT = 128  # rows of a task at most
TASKS = 16  # wanted at least, to keep cores equally busy

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


def multiply_add(x, w, b, relu=False):
    """x @ w + b, passed through ReLU if asked."""
    out = np.empty((x.shape[0], w.shape[1]), x.dtype)
    _multiply(x, w, b, out, relu)
    return out


def gradients(dout, x, w, need_dx, mask=None):
    """dx (or None), dw and db; where `mask`, the output of ReLU, is not positive no gradient passes."""
    if mask is not None:
        dout = _masked(dout, mask)
    dx = None
    zeros = np.zeros(max(dout.shape), x.dtype)
    if need_dx:
        dx = np.empty_like(x)
        _multiply(w, dout.T, zeros, dx.T, False)
    dw = np.empty_like(w)
    _multiply(x.T, dout, zeros, dw, False)
    return dx, dw, dout.sum(axis=0)


def _multiply(a, b, start, out, relu):
    """out = a @ b + start for matrices of any strides."""
    if out.size:
        width = _width(out.dtype.type(0))
        panels = -(-out.shape[1] // width)
        height = max(4, min(HEIGHT, -(-out.shape[0] * panels // TASKS // 4) * 4))
        strides = np.array([*a.strides, *b.strides, *out.strides], np.int64) // out.itemsize
        memory = [array.T if array.flags.f_contiguous else array for array in (a, b, out)]
        tasks = -(-out.shape[0] // height) * panels
        _run(tasks, *(part.reshape(-1) for part in memory), start, strides, out.shape, a.shape[1], height, panels, relu)


@threads.serial
def _width(zero):
    return panel_width(zero)


@threads.parallel(grain=1)
def _run(first, last, a, b, out, start, strides, shape, count, height, panels, relu):
    for task in range(first, last):
        _task(task, a, b, out, start, strides, shape, count, height, panels, relu)


@threads.serial
def _task(task, a, b, out, start, strides, shape, count, height, panels, relu):
    a_row, a_step, b_step, b_column, out_row, out_column = strides
    zero, size = out.dtype.type(0), out.itemsize
    width = panel_width(zero)
    first_row, first_column = task // panels * height, task % panels * width
    rows, columns = min(height, shape[0] - first_row), min(width, shape[1] - first_column)
    panel, block = np.zeros(DEPTH * width, out.dtype), np.zeros(height * width, out.dtype)
    for i in range(rows):
        for j in range(columns):
            block[U(i * width + j)] = start[U(first_column + j)]
    for k in range(0, count, DEPTH):
        depth = min(DEPTH, count - k)
        _pack(b, k * b_step + first_column * b_column, b_step, b_column, depth, columns, width, panel)
        for i in range(0, rows, 4):
            panel_tile(
                min(4, rows - i), zero, a.ctypes.data + ((first_row + i) * a_row + k * a_step) * size, a_row, a_step,
                panel.ctypes.data, depth, block.ctypes.data + i * width * size, width,
            )  # fmt: skip
    if relu:
        for place in range(rows * width):
            block[place] = zero if block[place] < zero else block[place]
    at = first_row * out_row + first_column * out_column
    if out_column == 1:
        for i in range(rows):
            for j in range(columns):
                out[U(at + i * out_row + j)] = block[U(i * width + j)]
    else:
        for j in range(columns):
            for i in range(rows):
                out[U(at + i * out_row + j * out_column)] = block[U(i * width + j)]


@threads.serial
def _pack(b, at, step, column, depth, columns, width, panel):
    """Rows of a panel of B behind one another; columns beyond the last keep what they had, nobody reads them."""
    if column == 1:
        for k in range(depth):
            for j in range(columns):
                panel[U(k * width + j)] = b[U(at + k * step + j)]
    else:
        for j in range(columns):
            for k in range(depth):
                panel[U(k * width + j)] = b[U(at + k * step + j * column)]


@threads.parallel(grain=1 << 15)
def _mask(start, stop, dout, mask, out):
    dout, mask, out, zero = dout[start:stop], mask[start:stop], out[start:stop], out.dtype.type(0)
    for place in range(out.size):
        out[place] = dout[place] if mask[place] > zero else zero


def _masked(dout, mask):
    masked = np.empty_like(dout)
    _mask(dout.size, dout.reshape(-1), mask.reshape(-1), masked.reshape(-1))
    return masked
