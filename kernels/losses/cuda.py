"""`losses` on a GPU: a warp computes the loss of a row in float64; these are reduced by blocks, see `gpu.reduce`."""

from numba import cuda, float64

from ..gpu import row_losses
from ..gpu.launch import kernel, split
from ..gpu.memory import with_loss, xp
from ..gpu.reduce import total, warp_sum
from ..gpu.warp import WARP


@with_loss
def softmax_loss(x, y, label_smoothing):
    return row_losses.softmax(x, y, label_smoothing)


@with_loss
def svm_loss(x, y):
    return row_losses.hinge(x, y)


@with_loss
def mse_loss(x, target):
    N, losses, dx = len(x), xp.empty(len(x)), xp.empty_like(x)
    _squared_rows(N * WARP, N, x.size // N, x, target, losses, dx)
    return total(losses), dx


@kernel
def _squared_rows(N, D, x, target, losses, dx):
    """losses[n] = half the squared distance of two rows, divided by N"""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        loss = float64(0)
        for k in range(lane, D, WARP):
            i = n * D + k
            difference = float64(x[i]) - float64(target[i])
            loss += difference * difference / (2.0 * N)
            dx[i] = difference / N
        loss = warp_sum(loss)
        if lane == 0:
            losses[n] = loss
