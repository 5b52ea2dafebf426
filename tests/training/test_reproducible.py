"""A seed determines batches, augmentation, dropout and running statistics, on every backend."""

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn import nn
from fastnn.augment import Augment
from fastnn.schedules import OneCycle
from fastnn.solver import Solver


def run(backend, seed):
    """Train briefly with all kinds of randomness; return the draws and the results."""
    generator = np.random.default_rng(0)
    data = {}
    for part, count in (("train", 12), ("val", 6)):
        data[f"X_{part}"], data[f"y_{part}"] = generator.standard_normal((count, 2, 6, 6)), np.arange(count) % 3
    weights, batches = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    options = {"dtype": np.float64, "seed": weights}
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, **options), nn.BatchNorm2d(4, dtype=np.float64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3, seed=weights), nn.Linear(36, 3, **options),
    )  # fmt: skip
    augment, seen = Augment(padding=2, flip=0.5, cutout=2), []

    def transform(images, source):
        seen.append(augment(images, source))
        return seen[-1]

    with fastnn.use_backend(backend):
        solver = Solver(
            model, data, update_rule="nesterov", num_epochs=2, batch_size=4, sampling="epoch", schedule=OneCycle(),
            transform=transform, seed=batches, verbose=False,
        )  # fmt: skip
        solver.train()
    return seen, dict(model.buffers), solver.loss_history


@pytest.mark.parametrize("backend", AVAILABLE)
def test_a_seed_decides_everything(backend):
    seen, buffers, losses = run(backend, 5)
    again, _, same_losses = run(backend, 5)
    np.testing.assert_array_equal(seen, again)
    assert losses == same_losses
    expected_seen, expected_buffers, expected_losses = run("naive", 5)
    np.testing.assert_array_equal(seen, expected_seen)
    for name in ("5.key", "5.draws", "1.num_batches_tracked"):
        assert buffers[name] == expected_buffers[name]
    for name in ("1.running_mean", "1.running_var"):
        np.testing.assert_allclose(buffers[name], expected_buffers[name], rtol=1e-12)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-10)
    assert run(backend, 6)[2] != losses
