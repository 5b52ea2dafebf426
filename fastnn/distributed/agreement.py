"""What ranks compare: versions, data and configuration at the start, the state of training at checkpoints."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import rng
from fastnn.checkpoint import run
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.dispatch.validation import brief

from .ranks import Ranks

_OWN = ("verbose", "print_every", "checkpoint_name", "checkpoint_every", "callbacks")  # may differ between ranks


def difference(ranks: Ranks, solver: Any) -> str | None:
    """What the results depend on and ranks differ in, as a message; None if they do not."""
    found = ranks.gather(_description(solver))
    for rank, other in enumerate(found):
        names = [name for name, value in found[0].items() if digest(other.get(name)) != digest(value)]
        if names:
            values = ", ".join(f"{name} {brief(other.get(name))} ({brief(found[0][name])} on rank 0)" for name in names)
            remedy = "pass the same arguments, and install the same environment"
            if names == ["block sizes"]:
                remedy = "set FASTNN_TUNED=0 on all ranks, or copy the file that `fastnn info` names to all machines"
            return (
                f"Solver: rank {rank} differs from rank 0 in {values}; expected the same program, data and versions on "
                f"all ranks; {remedy}"
            )
    return None


def share_state(ranks: Ranks, solver: Any) -> None:
    """Give all ranks the state of the first, if theirs differ: initial parameters, and NumPy's global random state."""
    state = solver.state()
    if len(set(ranks.gather(digest(state)))) > 1:
        state = ranks.gather(state if ranks.is_first else None)[0]
        if not ranks.is_first:
            solver._restore(state)


def inequality(ranks: Ranks, solver: Any) -> str | None:
    """A message if parameters, buffers, states of the update rule or random numbers differ between ranks, else None."""
    state = {"params": solver.model.params, "buffers": solver._buffers, "optim_configs": solver.optim_configs}
    found = ranks.gather(digest({**state, "generator": rng.get_state(solver._generator)}))
    for rank, other in enumerate(found):
        if other != found[0]:
            return (
                f"Solver: parameters or random numbers of rank {rank} differ from those of rank 0 after iteration "
                f"{solver.iteration}; expected equal bits; use machines with the same processors, let callbacks do on "
                f"all ranks what changes parameters or draws numbers, and resume from the last checkpoint"
            )
    return None


def digest(tree: Any) -> bytes:
    """A digest of a nested dict of numbers, strings, lists and arrays."""
    found = hashlib.blake2b(digest_size=16)
    _feed(found, tree)
    return found.digest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            found.update(f"{name}:".encode())
            _feed(found, inner)
    elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        for inner in value:
            _feed(found, inner)
    elif hasattr(value, "dtype"):
        value = np.ascontiguousarray(arrays.to_numpy(value))
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(value.reshape(-1).view(np.uint8))
    else:
        found.update(repr(value).encode())


def _description(solver: Any) -> dict[str, Any]:
    """What must be equal on all ranks."""
    described = run.description(solver)
    options = {name: value for name, value in described["options"].items() if name not in _OWN}
    described_data = {name: value for name, value in described["data"].items() if name in run.COMPARED}
    params = {name: (tuple(np.shape(value)), str(value.dtype)) for name, value in solver.model.params.items()}
    environment = run.environment()
    state = rng.get_state(solver._generator)
    found = {
        **{f"{name} version": version for name, version in environment["versions"].items()},
        "backend": environment["backend"],
        "block sizes": environment["block_sizes"],
        **{f"data {name}": value for name, value in described_data.items()},
        **options,
        "model": described["model"],
        "parameters": params,
        "deterministic": solver.comm.deterministic,
    }
    return {**found, "seed": None if "has_gauss" in state else digest(state).hex()}
