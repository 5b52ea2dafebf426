"""The toy data of the course's gradient checks: five points with four features."""

import numpy as np

from fastnn.kernels.dispatch import signatures


@signatures.checked
def get_toy_data() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the data and the two-layer net (4 inputs, 10 hidden units, 3 classes) of the course's gradient checks.

    Returns X (5, 4) float64, y (5,) int64, and params: W1 (4, 10), b1 (10,), W2 (10, 3), b2 (3,), float64. The values
    are those after `np.random.seed(0)` for the net and `np.random.seed(1)` for X; NumPy's global
    state is not changed.
    """
    weights, inputs = np.random.RandomState(0), np.random.RandomState(1)
    params = {
        "W1": 0.1 * weights.randn(4, 10),
        "b1": np.zeros(10),
        "W2": 0.1 * weights.randn(10, 3),
        "b2": np.zeros(3),
    }
    return 10 * inputs.randn(5, 4), np.array([0, 1, 2, 2, 1], dtype=np.int64), params
