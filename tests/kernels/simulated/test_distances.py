"""`distances` on the simulated GPU, where a block is 3 x 40 distances."""

import numpy as np
import pytest
from operation_checks.distances import check, check_cancellation, check_special_values, draw

from fastnn.kernels.distances import nearest_neighbors, squared_distances

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 5, 3), (0, 3, 2), (2, 33, 5), (1, 2, 43), (2, 0, 3)])
def test_against_the_loops(shape, dtype, whole):
    check(*draw(*shape, dtype, whole=whole))


@pytest.mark.parametrize("dtype", DTYPES)
def test_cancellation(dtype):
    check_cancellation(dtype)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_infinity_overflow_and_underflow(dtype):
    check_special_values(dtype)


def test_tensor_cores_do_not_change_the_nearest(monkeypatch):
    """Their products have the error of TF32, so more distances are computed in float64, and all directly."""
    x, y = draw(3, 40, 20, np.float32)
    expected = nearest_neighbors(x, y, 5), squared_distances(x, y)
    monkeypatch.setenv("FASTNN_TF32", "1")
    assert nearest_neighbors(x, y, 5).tolist() == expected[0].tolist()
    np.testing.assert_allclose(squared_distances(x, y), expected[1], rtol=1e-5)
