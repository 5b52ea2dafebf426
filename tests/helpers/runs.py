"""Read and compare the checkpoint of a training run."""

import numpy as np

from fastnn import checkpoint


def solver_state(folder):
    return checkpoint.load(f"{folder}/checkpoint.h5")["solver"]


def assert_identical(actual, expected):
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_identical(actual[key], expected[key])
    else:
        np.testing.assert_array_equal(actual, expected)
