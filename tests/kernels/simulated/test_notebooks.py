"""The cells of the courses' notebooks on the simulated GPU: values, gradients and the expected figures.

Numeric gradients need hundreds of forward passes, which are computed on the CPU. Cells with 32 x 32 images and long
training are omitted, because the simulator would take minutes.
"""

import functools
import importlib

import numpy as np
import pytest

from fastnn.kernels import use_backend

NUMERIC = (
    "eval_numerical_gradient", "eval_numerical_gradient_array", "compute_numeric_gradient", "grad_check_sparse"
)  # fmt: skip
INITIAL = {0: 2.300479089768492, 3.14: 7.052114776533016}, {0: 2.2611955101340957, 3.14: 6.996533220108303}
CELLS = {
    "convolutional": [
        ("test_convolution_backward", {}),
        ("test_max_pooling_backward", {}),
        ("test_fast_pooling", {}),
        ("test_sandwich_layers", {}),
        ("test_three_layer_net_gradients", {"use_batchnorm": False}),
        ("test_three_layer_net_gradients", {"use_batchnorm": True}),
        ("test_spatial_batchnorm", {}),
        ("test_spatial_groupnorm", {}),
    ],
    "fully_connected": [
        ("test_initial_loss_and_gradients", {"normalization": None, "losses": INITIAL[0]}),
        ("test_initial_loss_and_gradients", {"normalization": "batchnorm", "losses": INITIAL[1]}),
        ("test_batch_normalization_forward", {}),
        ("test_batch_normalization_at_test_time", {}),
        ("test_batch_normalization_backward", {}),
        ("test_layer_normalization", {}),
        ("test_dropout", {"p": 0.4}),
        ("test_fully_connected_net_with_dropout", {}),
    ],
    "linear": [("test_vectorized_loss_is_the_naive_one", {"name": name}) for name in ("svm", "softmax")],
    "two_layer": [
        ("test_sandwich_layer", {}),
        ("test_loss_layers", {}),
        ("test_two_layer_net", {}),
        ("test_functional_net_on_toy_data", {}),
    ],
}


def on_the_processor(function):
    @functools.wraps(function)
    def moved(*arguments, **options):
        with use_backend("njit"):
            return function(*arguments, **options)

    return moved


@pytest.mark.parametrize(
    ("notebook", "cell", "options"),
    [(notebook, cell, options) for notebook, cells in CELLS.items() for cell, options in cells],
)
def test_cells(monkeypatch, notebook, cell, options):
    module, checks = (
        importlib.import_module(f"test_notebook_{notebook}"),
        importlib.import_module("fastnn.gradient_check"),
    )
    for name in NUMERIC:
        numeric = on_the_processor(getattr(checks, name))
        monkeypatch.setattr(checks, name, numeric)
        monkeypatch.setattr(module, name, numeric, raising=False)
    data = {"data": module.images_as_rows()} if notebook == "linear" else {}
    np.random.seed(0)
    getattr(module, cell)("cuda", **data, **options)
