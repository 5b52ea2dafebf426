"""`benchmarks/bench_peers.py` and the networks in JAX. No test depends on a time."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench_peers
import steps
from networks import STEPS, TARGETED

NETWORKS = [*TARGETED, STEPS[-1]]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_the_networks_in_jax_are_those_of_fastnn(network, monkeypatch):
    pytest.importorskip("jax", reason="JAX is not installed: nothing to compare with")
    import peers_jax

    peers_jax.check(network, 4)
    loss_function = peers_jax.loss_function
    monkeypatch.setattr(
        peers_jax, "loss_function", lambda model: lambda *given: [1.000001 * loss_function(model)(*given)[0], None]
    )
    with pytest.raises(ValueError, match=r"check: the loss of .* in JAX is .*; expected .*, fastnn's"):
        peers_jax.check(network, 4)


@pytest.mark.parametrize("network", [TARGETED[0], TARGETED[1], TARGETED[4]], ids=lambda network: network.name)
def test_jax_takes_the_same_steps(network, monkeypatch):
    """Three steps from equal weights on one image, which is the whole data set."""
    pytest.importorskip("jax", reason="JAX is not installed: nothing to compare with")
    import peers_jax

    network, taken = steps.with_batches_of(network, 4), {}
    update = peers_jax._update

    def kept(*given):
        taken["params"], state = update(*given)
        return taken["params"], state

    monkeypatch.setattr(peers_jax.jax, "jit", lambda function, **_: function)
    monkeypatch.setattr(peers_jax, "_update", kept)
    monkeypatch.setattr(steps, "RATE", 0.01)
    data = {name: np.repeat(value[:1], 4, axis=0) for name, value in steps.noise(network).items()}
    ours, theirs = steps.solver_step(network, data), peers_jax.jax_step(network, 0.01, data)
    for _ in range(3):
        ours()
        theirs()
    for found, expected in zip(taken["params"].values(), ours.__self__.model.params.values(), strict=True):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-3, atol=2e-4)


def test_peers_have_turns_in_processes_of_their_own(monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed: nobody to have turns with")
    monkeypatch.setattr(bench_peers, "PEERS", {"torch": "PyTorch", "scikit-learn": "scikit-learn"})
    result = bench_peers.time_peers(TARGETED[0], rounds=2, settle=0.0)
    assert {"fastnn", "torch"} <= {*result["seconds"]}
    assert all(timing["samples"] >= 2 for timing in result["seconds"].values())
    for name, ratio in result["speedup"].items():
        medians = [result["seconds"][one]["median"] for one in (name, "fastnn")]
        assert ratio == pytest.approx(medians[0] / medians[1])
    assert len(bench_peers.table([result]).splitlines()) == 3


def test_a_peer_that_fails_is_named(monkeypatch, capfd):
    monkeypatch.setattr(bench_peers, "PEERS", {"nobody": "nobody"})
    result = bench_peers.time_peers(TARGETED[0], rounds=1, settle=0.0)
    assert list(result["seconds"]) == ["fastnn"]
    with pytest.raises(RuntimeError, match=r"bench_peers: fastnn unknown ended; expected a line of JSON"):
        bench_peers.time_peers(bench_peers.Network("unknown", (0, 0), None, {"batch_size": 1}), rounds=1)
    assert "StopIteration" in capfd.readouterr().err
