"""The notebook that builds networks at three levels, on the simulated GPU: the losses of the CPU."""

import numpy as np
import pytest
from three_levels_runs import TRAININGS, images, trained

import fastnn


@pytest.mark.parametrize("name", TRAININGS)
def test_losses_after_training(name):
    data = images(count=6, side=4)
    if name == "own":
        data = images(count=4, side=8)
    losses = []
    for backend in ("njit", "cuda"):
        with fastnn.use_backend(backend):
            losses.append(trained(name, data))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
