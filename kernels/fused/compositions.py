"""Functions of `fused` as compositions of their parts, for the backends naive and vectorized."""

import functools
import math
from collections.abc import Callable
from types import ModuleType


def of(module: str, *parts: ModuleType) -> dict[str, Callable]:
    """Return the functions of a module by name, composed of one variant of each operation in `parts`."""
    composition = Composition(*parts)
    return {name: _function(module, getattr(composition, name)) for name in vars(Composition) if name[0] != "_"}


def _function(module, method):
    @functools.wraps(method)
    def function(*arguments):
        return method(*arguments)

    function.__module__ = module
    return function


class Composition:
    """The functions of `fused` on one backend."""

    def __init__(self, activations, affine, conv2d, normalization, pool2d):
        self.activations, self.affine, self.conv2d = activations, affine, conv2d
        self.normalization, self.pool2d = normalization, pool2d

    def affine_relu_forward(self, x, w, b):
        return self.activations.relu_forward(self.affine.affine_forward(x, w, b))

    def affine_relu_backward(self, dout, x, w, out, need_dx):
        return self.affine.affine_backward(self.activations.relu_backward(dout, out), x, w, need_dx)

    def affine_batchnorm_relu_forward(self, x, w, b, gamma, beta, epsilon):
        pre_norm = self.affine.affine_forward(x, w, b)
        out, mean, var = self.normalization.batchnorm_forward(_planes(pre_norm), gamma, beta, epsilon)
        return self.activations.relu_forward(out).reshape(pre_norm.shape), pre_norm, mean, var

    def affine_batchnorm_relu_backward(self, dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
        dnorm = _planes(self.activations.relu_backward(dout, out))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_backward_alt(
            dnorm, _planes(pre_norm), gamma, mean, var, epsilon
        )
        return *self.affine.affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta

    def affine_batchnorm_relu_inference(self, x, w, b, gamma, beta, mean, var, epsilon):
        pre_norm = self.affine.affine_forward(x, w, b)
        return self.activations.relu_forward(
            self.normalization.batchnorm_inference(_planes(pre_norm), gamma, beta, mean, var, epsilon)
        ).reshape(pre_norm.shape)

    def affine_batchnorm_relu_inference_backward(self, dout, x, w, b, gamma, mean, var, epsilon, out, need_dx):
        dnorm = _planes(self.activations.relu_backward(dout, out))
        pre_norm = _planes(self.affine.affine_forward(x, w, b))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_inference_backward(
            dnorm, pre_norm, gamma, mean, var, epsilon
        )
        return *self.affine.affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta

    def affine_layernorm_relu_forward(self, x, w, b, gamma, beta, epsilon):
        pre_norm = self.affine.affine_forward(x, w, b)
        out, mean, var = self.normalization.groupnorm_forward(_planes(pre_norm), gamma, beta, 1, epsilon)
        return self.activations.relu_forward(out).reshape(pre_norm.shape), pre_norm, mean, var

    def affine_layernorm_relu_backward(self, dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
        dnorm = _planes(self.activations.relu_backward(dout, out))
        dpre_norm, dgamma, dbeta = self.normalization.groupnorm_backward(
            dnorm, _planes(pre_norm), gamma, 1, mean, var, epsilon
        )
        return *self.affine.affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta

    def conv2d_relu_forward(self, x, w, b, geometry):
        return self.activations.relu_forward(self.conv2d.conv2d_forward(x, w, b, geometry))

    def conv2d_relu_backward(self, dout, x, w, out, geometry, need_dx):
        return self.conv2d.conv2d_backward(self.activations.relu_backward(dout, out), x, w, geometry, need_dx)

    def conv2d_batchnorm_relu_forward(self, x, w, b, gamma, beta, epsilon, geometry):
        pre_norm = self.conv2d.conv2d_forward(x, w, b, geometry)
        out, mean, var = self.normalization.batchnorm_forward(_planes(pre_norm), gamma, beta, epsilon)
        return self.activations.relu_forward(out).reshape(pre_norm.shape), pre_norm, mean, var

    def conv2d_batchnorm_relu_backward(self, dout, x, w, pre_norm, gamma, mean, var, epsilon, out, geometry, need_dx):
        dnorm = _planes(self.activations.relu_backward(dout, out))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_backward_alt(
            dnorm, _planes(pre_norm), gamma, mean, var, epsilon
        )
        return *self.conv2d.conv2d_backward(dpre_norm.reshape(dout.shape), x, w, geometry, need_dx), dgamma, dbeta

    def conv2d_batchnorm_relu_inference(self, x, w, b, gamma, beta, mean, var, epsilon, geometry):
        pre_norm = self.conv2d.conv2d_forward(x, w, b, geometry)
        return self.activations.relu_forward(
            self.normalization.batchnorm_inference(_planes(pre_norm), gamma, beta, mean, var, epsilon)
        ).reshape(pre_norm.shape)

    def conv2d_batchnorm_relu_inference_backward(
        self, dout, x, w, b, gamma, mean, var, epsilon, out, geometry, need_dx
    ):
        dnorm = _planes(self.activations.relu_backward(dout, out))
        pre_norm = _planes(self.conv2d.conv2d_forward(x, w, b, geometry))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_inference_backward(
            dnorm, pre_norm, gamma, mean, var, epsilon
        )
        return *self.conv2d.conv2d_backward(dpre_norm.reshape(dout.shape), x, w, geometry, need_dx), dgamma, dbeta

    def conv2d_relu_pool_forward(self, x, w, b, geometry, pooling):
        return self._pool(self.conv2d_relu_forward(x, w, b, geometry), pooling)

    def conv2d_relu_pool_backward(self, dout, x, w, index, geometry, pooling, need_dx):
        dpre_norm = self.pool2d.max_pool2d_backward(dout, index, (len(x), len(w), *geometry.out), pooling)
        return self.conv2d.conv2d_backward(dpre_norm, x, w, geometry, need_dx)

    def conv2d_batchnorm_relu_pool_forward(self, x, w, b, gamma, beta, epsilon, geometry, pooling):
        out, *others = self.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, geometry)
        return *self._pool(out, pooling), *others

    def conv2d_batchnorm_relu_pool_backward(
        self, dout, x, w, pre_norm, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
    ):
        dnorm = _planes(self.pool2d.max_pool2d_backward(dout, index, pre_norm.shape, pooling))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_backward_alt(
            dnorm, _planes(pre_norm), gamma, mean, var, epsilon
        )
        return *self.conv2d.conv2d_backward(dpre_norm.reshape(pre_norm.shape), x, w, geometry, need_dx), dgamma, dbeta

    def conv2d_batchnorm_relu_pool_inference(self, x, w, b, gamma, beta, mean, var, epsilon, geometry, pooling):
        out = self.conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, geometry)
        return self._pool(out, pooling)

    def conv2d_batchnorm_relu_pool_inference_backward(
        self, dout, x, w, b, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
    ):
        pre_norm = self.conv2d.conv2d_forward(x, w, b, geometry)
        dnorm = _planes(self.pool2d.max_pool2d_backward(dout, index, pre_norm.shape, pooling))
        dpre_norm, dgamma, dbeta = self.normalization.batchnorm_inference_backward(
            dnorm, _planes(pre_norm), gamma, mean, var, epsilon
        )
        return *self.conv2d.conv2d_backward(dpre_norm.reshape(pre_norm.shape), x, w, geometry, need_dx), dgamma, dbeta

    def _pool(self, out, pooling):
        """Pool the output of a ReLU. The index is "none" where the gradient of ReLU is 0."""
        out, index = self.pool2d.max_pool2d_forward(out, pooling)
        index[~(out > 0)] = math.prod(pooling.window)
        return out, index


def _planes(x):
    """Return x (N, C, ...) as (N, C, S)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
