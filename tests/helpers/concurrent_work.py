"""A function that runs every kind of kernel, for tests of threads and forks."""

import numpy as np

from fastnn.kernels import affine, conv2d, fused, pool2d

RNG = np.random.default_rng(0)
SIZES = [
    ((9, 3, 16, 16), (8, 3, 3, 3), 1, 1),
    ((1, 3, 40, 9), (9, 3, 3, 3), 1, 1),
    ((40, 2, 6, 7), (5, 2, 3, 2), 1, 0),
    ((17, 2, 9, 8), (3, 2, 2, 3), 2, 0),
    ((3, 2, 4, 34), (3, 2, 3, 3), 1, 0),
]


def work_of(x_shape, w_shape, stride, pad, scale=1.0):
    """Return a function that runs every kind of kernel on problems of this size and scale, and returns all results."""
    x, w, b = (RNG.normal(0, scale, shape).astype(np.float32) for shape in (x_shape, w_shape, w_shape[:1]))
    rows, matrix = x.reshape(x_shape[0], -1), RNG.normal(0, scale, (x[0].size, 40)).astype(np.float32)
    bias = np.full(40, scale, np.float32)

    def work():
        out = conv2d.conv2d_forward(x, w, b, stride, pad)
        pooled, index = fused.conv2d_relu_pool_forward(x, w, b, stride, pad, 2, 2)
        largest, places = pool2d.max_pool2d_forward(x, 3, 2, 1)
        scores = affine.affine_forward(rows, matrix, bias)
        return [
            out,
            *conv2d.conv2d_backward(out, x, w, stride, pad),
            pooled,
            *fused.conv2d_relu_pool_backward(pooled, x, w, index, stride, pad, 2, 2),
            largest,
            pool2d.max_pool2d_backward(largest, places, x.shape, 3, 2, 1),
            pool2d.avg_pool2d_forward(x, 2, 2),
            scores,
            *affine.affine_backward(scores, rows, matrix),
        ]

    return work


def assert_same_bits(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert one.tobytes() == other.tobytes()
