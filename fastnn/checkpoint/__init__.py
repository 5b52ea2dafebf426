"""Checkpoints: a nested dict of arrays, numbers, strings and lists <-> one HDF5 file that holds data only.

    checkpoint.save("run.h5", {"params": {"W1": w, "b1": b}, "epoch": 3})
    checkpoint.load("run.h5")["params"]["W1"]

Where it is made:

    tree              `save` and `load`; the format
    container         the file around the tree: its manifest and digest
    locks             one writer at a time
    run               what a training run holds
    config            how models and options are described, and made again
    state_validation  what the saved state of a Solver must be
"""

from .tree import FORMAT, FORMAT_VERSION, load, save

__all__ = ["FORMAT", "FORMAT_VERSION", "load", "save"]
