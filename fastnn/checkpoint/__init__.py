"""Checkpoints: a nested dict of arrays, numbers, strings and lists in one HDF5 file that contains data only.

checkpoint.save("run.h5", {"params": {"W1": w, "b1": b}, "epoch": 3})
checkpoint.load("run.h5")["params"]["W1"]

tree              `save` and `load`; the format
container         the file around the tree: manifest and digest
locks             one writer at a time
run               the checkpoint of a training run
config            description and reconstruction of models and options
state_validation  checks of the saved state of a Solver
"""

from .tree import FORMAT, FORMAT_VERSION, load, save

__all__ = ["FORMAT", "FORMAT_VERSION", "load", "save"]
