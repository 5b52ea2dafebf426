"""Inputs and checks of `normalization`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import normalization
from fastnn.testing import against_naive

LARGE = (
    0.5  # epsilon for few elements, whose variance may be near 0; a small epsilon would lose digits on every backend
)
BATCH_BACKWARD = [
    normalization.batchnorm_backward,
    normalization.batchnorm_backward_alt,
    normalization.batchnorm_inference_backward,
]


def draw(shape, dtype, seed=0, offset=0.0):
    """Return x, dout, gamma, beta."""
    generator = np.random.default_rng(seed)
    x, dout = offset + 2 * generator.standard_normal(shape), generator.standard_normal(shape)
    return tuple(values.astype(dtype) for values in (x, dout, *generator.standard_normal((2, shape[1]))))


def check_batch(x, dout, gamma, beta):
    out, mean, var = against_naive(normalization.batchnorm_forward, x, gamma, beta, LARGE, terms=x.size)
    assert out.shape == x.shape and mean.shape == var.shape == gamma.shape
    for backward in BATCH_BACKWARD:
        against_naive(backward, dout, x, gamma, mean, var, LARGE, terms=x.size)
    against_naive(normalization.batchnorm_inference, x, gamma, beta, mean, var, LARGE)


def check_groups(x, dout, gamma, beta, groups):
    out, mean, var = against_naive(normalization.groupnorm_forward, x, gamma, beta, groups, LARGE, terms=x.size)
    assert out.shape == x.shape and mean.shape == var.shape == (len(x), groups)
    against_naive(normalization.groupnorm_backward, dout, x, gamma, groups, mean, var, LARGE, terms=x.size)


def check_gradients(shape, number, epsilon):
    """Compare gradients with numeric ones. number: the number of groups."""
    x, dout, gamma, beta = draw(shape, np.float64)
    statistics = np.random.default_rng(1).uniform(0.5, 2, (2, shape[1]))

    def batch():
        return normalization.batchnorm_forward(x, gamma, beta, epsilon)

    def groups():
        return normalization.groupnorm_forward(x, gamma, beta, number, epsilon)

    def inference():
        return (normalization.batchnorm_inference(x, gamma, beta, *statistics, epsilon),)

    gradients = [(batch, backward(dout, x, gamma, *batch()[1:], epsilon)) for backward in BATCH_BACKWARD[:2]]
    gradients += [(groups, normalization.groupnorm_backward(dout, x, gamma, number, *groups()[1:], epsilon))]
    gradients += [(inference, normalization.batchnorm_inference_backward(dout, x, gamma, *statistics, epsilon))]
    for forward, results in gradients:
        for array, actual in zip((x, gamma, beta), results, strict=True):
            expected = eval_numerical_gradient_array(lambda _, f=forward: f()[0], array, dout)
            assert rel_error(expected, actual) < 1e-7
