"""The networks of the accuracy runs agree with PyTorch and can be trained."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.solver import Solver

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from networks import NETWORKS

each = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


@each
def test_networks_agree_with_torch(network):
    torch = pytest.importorskip("torch")
    from peers import twin

    model = network.build(np.random.default_rng(0))
    for name, value in model.buffers.items():
        if name.endswith("running_var"):
            value[...] = 1  # as after training; by 0, the initial value of the courses' nets, errors would explode
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32), dtype=np.float32)
    with torch.no_grad():
        expected = twin(model).eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.loss(x), expected, rtol=1e-4, atol=1e-5)


@each
def test_a_few_images_can_be_trained_on(network):
    generator = np.random.default_rng(0)
    data = {}
    for part, count in (("train", 8), ("val", 2)):
        data[f"X_{part}"] = generator.standard_normal((count, 3, 32, 32), dtype=np.float32)
        data[f"y_{part}"] = generator.integers(0, 10, count)
    arguments = {**network.solver_arguments(), "batch_size": 4, "num_epochs": 2}
    solver = Solver(network.build(generator), data, seed=0, verbose=False, **arguments)
    solver.train()
    assert solver.iteration == 4
    assert np.isfinite(solver.loss_history).all()
