"""`normalization` on a GPU: block reductions for the statistics, then one thread for each output.

See `gpu.normalize`, which can fuse ReLU, and `gpu.reduce` for the sums.
"""

from ..gpu import normalize
from ..gpu.memory import on_device


@on_device
def batchnorm_forward(x, gamma, beta, epsilon):
    return normalize.batch_forward(x, gamma, beta, epsilon)


@on_device
def batchnorm_inference(x, gamma, beta, mean, var, epsilon):
    return normalize.given_forward(x, gamma, beta, mean, var, epsilon)


@on_device
def batchnorm_backward(dout, x, gamma, mean, var, epsilon):
    return normalize.graph_backward(dout, x, gamma, mean, var, epsilon)


@on_device
def batchnorm_backward_alt(dout, x, gamma, mean, var, epsilon):
    return normalize.batch_backward(dout, x, gamma, mean, var, epsilon)


@on_device
def batchnorm_inference_backward(dout, x, gamma, mean, var, epsilon):
    return normalize.given_backward(dout, x, gamma, mean, var, epsilon)


@on_device
def groupnorm_forward(x, gamma, beta, groups, epsilon):
    return normalize.group_forward(x, gamma, beta, groups, epsilon)


@on_device
def groupnorm_backward(dout, x, gamma, groups, mean, var, epsilon):
    return normalize.group_backward(dout, x, gamma, groups, mean, var, epsilon)


@on_device
def instancenorm_forward(x, gamma, beta, epsilon):
    return normalize.group_forward(x, gamma, beta, x.shape[1], epsilon)


@on_device
def instancenorm_backward(dout, x, gamma, mean, var, epsilon):
    return normalize.group_backward(dout, x, gamma, x.shape[1], mean, var, epsilon)
