"""The state of a Solver, which can be interrupted at any instant and resumes with bitwise equal results.

Training works in units: one iteration or one evaluation. A unit first only reads: it draws a batch and computes; an
interruption in this phase is undone by restoring the generator and the model's buffers. Then it writes parameters,
optimizer state and histories in place, between `_writing = True` and `_writing = False`. An interruption in this phase
leaves an unknown state, so everything is restored from the last snapshot, a copy made every `_SNAPSHOT_EVERY`
iterations. From either point training repeats exactly.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.checkpoint import locks, run, state_validation
from fastnn.distributed.communicator import Communicator, Single
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.nn import weights_io

from .sampling import Sampler, is_in_memory

_SNAPSHOT_EVERY = 200  # iterations; a snapshot costs about as much as an iteration
_NUMBERS = {  # key of the state, attribute
    "iteration": "iteration",
    "epoch": "epoch",
    "evaluated": "last_evaluation",
    "run_from": "start_iteration",
    "finished": "finished",
    "best_val_acc": "best_val_acc",
}
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")
_TREES = ("params", "best_params", "optim_configs", "generator", "order")
# missing in states that were saved before models had buffers, and Solvers shards
_LATER: dict[str, Any] = {"buffers": {}, "best_buffers": {}, "shards": 1}


def _renamed(former: str, name: str) -> property:
    """An attribute under its former name, which warns."""

    def get(self: Any) -> Any:
        warnings.warn(f"Solver.{former} is now Solver.{name}", DeprecationWarning, stacklevel=2)
        return getattr(self, name)

    return property(get)


class Resumable:
    """Base class of a Solver that saves and loads its state, and restores it after an interruption."""

    model: Any
    update_rule: Callable
    sampler: Sampler
    optim_configs: dict[str, dict]
    checkpoint_name: str | os.PathLike | None
    checkpoint_every: int | None
    iterations_per_epoch: int
    is_over: Callable[[], bool]
    comm: Communicator
    shards: int
    _parallel: Any = None  # its ranks and shards, during a call of train

    evaluated = _renamed("evaluated", "last_evaluation")
    run_from = _renamed("run_from", "start_iteration")

    def __init__(self, generator: Any) -> None:
        self.epoch = 0
        self.iteration = 0
        self.last_evaluation = 0  # the iteration of the last evaluation
        self.start_iteration = 0  # the iteration at which the current or interrupted call of train began
        self.finished = True  # no call of train is under way or interrupted
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0
        self.best_params: dict[str, np.ndarray] = {}
        self.best_buffers: dict[str, np.ndarray] = {}
        self.waiting_history: list[list[float]] = []  # for each epoch, the part of it that each rank has waited
        self.stopped: str | None = None  # why the last call of train ended before its last iteration

        self._generator = generator
        self._reading_from: dict | None = None  # generator and buffers at the start of the current unit
        self._writing = False
        self._snapshot: dict | None = None
        self._saved: tuple[str, int] | None = None  # the last checkpoint: its file and iteration
        self._lengths: dict[str, int] = {}  # of histories to which a stop added values that belong to no iteration

    def __getstate__(self) -> dict[str, Any]:
        """The state for copying and pickling, without captured CUDA graphs and other ranks, which cannot be copied."""
        return {**vars(self), "_graph_training": None, "_parallel": None, "comm": Single()}

    @classmethod
    @signatures.checked
    def resume(cls, path: str | os.PathLike, data: Mapping[str, Any], *, model: Any = None, **changed: Any) -> Any:
        """Make a Solver and its model from a checkpoint, to resume training exactly where it was saved.

            Solver.resume("run.h5", data).train()

        data: the same data as before; the file does not contain them
        model: only needed for a model that is not made of fastnn's classes: one of the same sizes, or its class, which
            is called without arguments. Its params and buffers are loaded from the file
        changed: keywords of the Solver that should differ, such as num_epochs=20 (see `load_state`); user-defined
            functions (transform, schedule, update_rule, callbacks) have to be passed again

        If the run saved checkpoints, the new Solver saves to the same file. A warning says that bits may differ if the
        backend, the number of threads, the processor, versions or the data have changed.
        Raises what `checkpoint.load` raises, and ValueError if a model or functions are missing or do not fit.
        """
        return run.resume(cls, path, data, model, changed)

    @signatures.checked
    def save(self, path: str | os.PathLike, **more: Any) -> None:
        """Save a checkpoint for `resume`: the state, and descriptions of model and Solver (`fastnn.checkpoint.run`).

        path: file
        more: further members of the tree
        Raises what `checkpoint.save` raises.
        """
        from fastnn import checkpoint

        checkpoint.save(path, {**run.tree(self), **more})

    @signatures.checked
    def record_histories_as_npz(self, filename: str | os.PathLike) -> None:
        """Write the histories to a file for `np.load`: arrays train_losses, train_accs and val_accs.

        filename: path; .npz is appended unless it ends in it
        Raises OSError if the file cannot be written.
        """
        path = arguments.path("Solver.record_histories_as_npz", "filename", filename)
        histories = {"train_losses": self.loss_history, "train_accs": self.train_acc_history}
        histories["val_accs"] = self.val_acc_history
        weights_io.save(
            path if path.suffix == ".npz" else f"{path}.npz",
            {name: np.array(history, np.float64) for name, history in histories.items()},
        )

    def _save_checkpoint(self) -> None:
        """Save a checkpoint if one is due."""
        if self.checkpoint_name is None:
            return
        one_file = self.checkpoint_every is not None or str(self.checkpoint_name).endswith(".h5")
        every = self.checkpoint_every or self.iterations_per_epoch
        if self.iteration % every == 0 or (one_file and self.is_over()):
            file = self._file if one_file else f"{self.checkpoint_name}_epoch_{self.epoch}.h5"
            saved = os.path.realpath(file), self.iteration
            if self._saved != saved:
                if self._parallel is not None:
                    self._parallel.check_equal()
                if self.comm.rank == 0:
                    self.save(file)
                self._saved = saved

    @contextlib.contextmanager
    def _reserved(self) -> Iterator[None]:
        """Reserve the checkpoint of this Solver during the block."""
        is_saved = self.checkpoint_name is not None and self.comm.rank == 0
        with contextlib.nullcontext() if not is_saved else locks.reserved(self._file):
            yield

    @property
    def _file(self) -> str:
        return f"{str(self.checkpoint_name).removesuffix('.h5')}.h5"

    @signatures.checked
    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume, as a nested dict of numbers, strings, lists and arrays.

        Pass it to `load_state` of a solver made with the same arguments. Between iterations (in callbacks, and after
        an interruption) it is the current state. Arrays are copies, as NumPy arrays.
        """
        return in_host_memory(self._state())

    def _state(self) -> dict[str, Any]:
        """`state` without moving device arrays to the host."""
        if self._writing and self._snapshot is not None:
            return self._snapshot
        return {
            **self._fingerprint(),
            **{name: getattr(self, attribute) for name, attribute in _NUMBERS.items()},
            **{name: getattr(self, name)[: self._lengths.get(name)] for name in _HISTORIES},
            "params": copied(self.model.params),
            "best_params": copied(self.best_params),
            "best_buffers": copied(self.best_buffers),
            "optim_configs": {name: copied(config) for name, config in self.optim_configs.items()},
            "order": self.sampler.order.copy(),
            **(self._reading_from or self._origin()),
        }

    @signatures.checked
    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state.

        state: from `state()`, or the tree of a checkpoint, which contains it

        Training then resumes exactly if lr_decay, num_epochs, schedule, transform, clip_norm and early_stopping are
        unchanged; they may differ, and from here on this solver's values apply. With a schedule this includes the
        learning rate in optim_config; without one the rate of the state is kept. States saved before models had buffers
        can be loaded for a model without buffers.

        Raises ValueError if the state is incomplete or belongs to another model, data set, batch size, number of
        shards, sampling, update rule or kind of seed; ValueError or TypeError if it contains values that training
        cannot produce, such as NaN (see `fastnn.checkpoint.state_validation`); the solver is then unchanged. Of model
        and data only the sizes are compared.
        """
        if isinstance(state, Mapping) and "schema" in state:
            state = state["solver"]
        fingerprint = {"shards": 1, **self._fingerprint()}
        required = [name for name in (*fingerprint, *_NUMBERS, *_HISTORIES, *_TREES) if name not in _LATER]
        state = _LATER | validation.keys("Solver.load_state", "state", state, required=required, optional=_LATER)
        for name, expected in fingerprint.items():
            if state[name] != expected:
                raise ValueError(
                    f"Solver.load_state: {name}={state[name]!r} in the state; expected {expected!r} as in this solver, "
                    f"since training could not resume exactly; make the solver with the arguments of the saved one"
                )
        state_validation.check("Solver.load_state", state, self.sampler.count)
        for name, held in (("params", self.model.params), ("buffers", self._buffers)):
            given = {key: np.shape(value) for key, value in state[name].items()}
            shapes = {key: np.shape(value) for key, value in held.items()}
            if given != shapes:
                raise ValueError(
                    f"Solver.load_state: {name} have the shapes {given}; expected {shapes} as in the model; "
                    f"make the model with the arguments of the saved one"
                )
        self._recover()
        snapshot, self._snapshot = self._snapshot, self._state()
        self._reading_from = self._origin()
        try:
            rng.set_state(self._generator, state["generator"])
        except (ValueError, TypeError):  # another kind of generator: it is unchanged
            self._reading_from, self._snapshot = None, snapshot
            raise
        self._restore(state)
        self._snapshot = None

    @property
    def _buffers(self) -> MutableMapping[str, np.ndarray]:
        """The model's buffers, if it has any."""
        buffers: Any = getattr(self.model, "buffers", None)
        if hasattr(buffers, "places") or isinstance(buffers, MutableMapping):  # the first test is quicker
            return buffers
        return {}

    def _origin(self) -> dict[str, Any]:
        """A copy of what the reading phase of a unit may change."""
        source, buffers = self._generator, self._buffers
        quick = type(source) is np.random.Generator
        state = source.bit_generator.state if quick else rng.get_state(source)
        return {"generator": state, "buffers": copied(buffers) if buffers else {}}

    def _begin_reading(self) -> None:
        """Begin a unit; take a snapshot if there is none or the last one is old."""
        if self._snapshot is None or self.iteration >= self._snapshot["iteration"] + _SNAPSHOT_EVERY:
            self._snapshot = self._state()
        self._reading_from = self._origin()

    def _begin_writing(self) -> None:
        self._writing = True

    def _end_writing(self) -> None:
        self._reading_from = None
        self._writing = False

    def _put_back(self, params: Mapping[str, Any], buffers: Mapping[str, Any], finished: bool) -> None:
        """End a call of train with these parameters and buffers in the model."""
        self._writing = True
        _assign(self.model.params, params)
        _assign(self._buffers, buffers)
        self.finished = finished
        self._writing = False

    def _recover(self) -> None:
        """Undo an interrupted unit; if this is interrupted, it can be called again."""
        if self._writing and self._snapshot is not None:
            self._restore(self._snapshot)
        elif self._reading_from is not None:
            rng.set_state(self._generator, self._reading_from["generator"])
            _assign(self._buffers, self._reading_from["buffers"])
            self._reading_from = None

    def _restore(self, state: dict[str, Any]) -> None:
        self._writing = True
        _assign(self.model.params, state["params"])
        _assign(self._buffers, state["buffers"])
        self.optim_configs = {name: copied(config) for name, config in state["optim_configs"].items()}
        self.best_params = copied(state["best_params"])
        self.best_buffers = copied(state["best_buffers"])
        for name, attribute in _NUMBERS.items():
            setattr(self, attribute, type(getattr(self, attribute))(state[name]))
        for name in _HISTORIES:
            setattr(self, name, [float(value) for value in state[name]])
        self._lengths, self.stopped = {}, None
        self.sampler.order = np.array(state["order"])
        rng.set_state(self._generator, state["generator"])
        self._reading_from = None
        self._writing = False

    def _fingerprint(self) -> dict[str, Any]:
        """The settings that must be equal to load a state."""
        return {
            "version": 1,
            "update_rule": getattr(self.update_rule, "__name__", type(self.update_rule).__name__),
            "sampling": self.sampler.method,
            "batch_size": self.sampler.batch_size,
            "num_train": self.sampler.count,
            **({} if self.shards == 1 else {"shards": self.shards}),
        }


def in_host_memory(tree: Any) -> Any:
    """Move the device arrays of a tree of dicts to the host."""
    if isinstance(tree, dict):
        return {name: in_host_memory(value) for name, value in tree.items()}
    return arrays.to_numpy(tree) if arrays.is_on_device(tree) else tree


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a dict and its arrays."""
    return {name: arrays.copy(value) if is_in_memory(value) else value for name, value in values.items()}


def _assign(targets: MutableMapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Replace the arrays by copies of the values, in their dtypes."""
    for name, value in values.items():
        targets[name] = arrays.on_same_device(arrays.copy(value, targets[name].dtype), targets[name])
