"""`affine` on the simulated GPU."""

import numpy as np
import pytest

from fastnn.kernels import affine
from fastnn.testing import against_naive


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 4), (0, 3, 2), (7, 1, 11), (33, 2, 1)])
def test_against_the_loops(shape, dtype):
    N, D, M = shape
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(size).astype(dtype) for size in ((N, D), (D, M), M))
    out = against_naive(affine.affine_forward, x, w, b, terms=D)
    against_naive(affine.affine_backward, out, x, w, terms=max(N, M))
    against_naive(affine.affine_backward, out, x, w, terms=max(N, M), need_dx=False)
