"""How a Solver is broken off at any instant, and goes on as if it had not been.

Work is done in units: one iteration, one evaluation. A unit first only reads: it draws a batch and computes; what was
broken off there is undone by putting the generator and the model's buffers back. Then it writes: parameters, optimiser
state and histories, in place, between `_writing = True` and `_writing = False`. What was broken off there cannot be
told apart, so everything goes back to the last snapshot, a copy made before every `_SNAPSHOT_EVERY`-th iteration. From
either point training repeats exactly, to the last bit.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, NoReturn

import numpy as np

from fastnn import rng
from fastnn.checkpoint import locks, run, state_validation
from fastnn.kernels.dispatch import arrays, signatures, validation

from . import nonfinite
from .sampling import Sampler, is_in_memory

_SNAPSHOT_EVERY = 200  # iterations; a copy of everything costs about as much as an iteration
_NUMBERS = ("iteration", "epoch", "evaluated", "run_from", "finished", "best_val_acc")
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")
_TREES = ("params", "best_params", "optim_configs", "generator", "order")
_LATER = ("buffers", "best_buffers")  # states saved before there were buffers lack them


class Resumable:
    """The state of a Solver: saved, loaded, and put back where a unit was broken off."""

    model: Any
    update_rule: Callable
    sampler: Sampler
    optim_configs: dict[str, dict]
    checkpoint_name: str | os.PathLike | None
    checkpoint_every: int | None
    iterations_per_epoch: int
    is_over: Callable[[], bool]

    def __init__(self, generator: Any) -> None:
        self.epoch = 0
        self.iteration = 0
        self.evaluated = 0  # the iteration after which accuracies were last checked
        self.run_from = 0  # the iteration at which the call of train began that is under way or was broken off
        self.finished = True  # there is no such call
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0
        self.best_params: dict[str, np.ndarray] = {}
        self.best_buffers: dict[str, np.ndarray] = {}

        self._generator = generator
        self._reading_from: dict | None = None  # generator and buffers at the beginning of a unit under way
        self._writing = False
        self._snapshot: dict | None = None
        self._saved: tuple[str, int] | None = None  # the last checkpoint: its file and iteration

    def __getstate__(self) -> dict[str, Any]:
        """What a copy gets, also by pickle: all but the steps that a GPU has recorded, which belong to this object."""
        return {**vars(self), "_graph_training": None}

    @classmethod
    @signatures.checked
    def resume(cls, path: str | os.PathLike, data: Mapping[str, Any], *, model: Any = None, **changed: Any) -> Any:
        """A Solver with its model, made anew from a checkpoint, that goes on exactly where the one that wrote it was.

            Solver.resume("run.h5", data).train()

        data: the same as then; it is not in the file
        model: for a model that is not made of this project's classes: one of the same sizes, or its class, which is
            called without arguments. Its params and buffers become those of the file
        changed: keywords of the Solver that are to differ, such as num_epochs=20 (see `load_state`); functions of
            your own (transform, schedule, update_rule, callbacks) have to be passed again

        It saves to the same file, where the other did. Where the backend, the number of threads, the processor,
        versions or the data are others than then, a warning says that bits may differ.
        Raises what `checkpoint.load` raises, and ValueError where model or functions are missing, or do not fit.
        """
        return run.resume(cls, path, data, model, changed)

    @signatures.checked
    def save(self, path: str | os.PathLike, **more: Any) -> None:
        """Save a checkpoint for `resume`: the state, and how model and Solver are made (see `fastnn.checkpoint.run`).

        more: further members of its tree. Raises what `checkpoint.save` raises.
        """
        from fastnn import checkpoint

        checkpoint.save(path, {**run.tree(self), **more})

    def _save_checkpoint(self) -> None:
        """Save the Solver where that is due, with the accuracies of this iteration."""
        if self.checkpoint_name is None:
            return
        one_file = self.checkpoint_every is not None or str(self.checkpoint_name).endswith(".h5")
        every = self.checkpoint_every or self.iterations_per_epoch
        if self.iteration % every == 0 or (one_file and self.is_over()):
            file = self._file if one_file else f"{self.checkpoint_name}_epoch_{self.epoch}.h5"
            saved = os.path.realpath(file), self.iteration
            if self._saved != saved:
                self.save(file)
                self._saved = saved

    def _save_before_failure(self) -> str:
        """Save the last finite state, where checkpoints are wanted; returns in words where it is."""
        finite = (
            state
            for state in (self.state(), in_host_memory(self._snapshot))
            if state and not nonfinite.not_finite(state["params"])
        )
        state = next(finite, None)
        if self.checkpoint_name is None or state is None:
            return ""
        name = str(self.checkpoint_name).removesuffix(".h5")
        if self.checkpoint_every is None:
            name += f"_iteration_{state['iteration']}"
        self.save(f"{name}.h5", solver=state)
        return f"the state after iteration {state['iteration']} is in {name}.h5, for Solver.resume"

    @contextlib.contextmanager
    def _reserved(self) -> Iterator[None]:
        """Inside the block nobody else saves under this name."""
        with contextlib.nullcontext() if self.checkpoint_name is None else locks.reserved(self._file):
            yield

    @property
    def _file(self) -> str:
        return f"{str(self.checkpoint_name).removesuffix('.h5')}.h5"

    @signatures.checked
    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on exactly from here, as a nested dict of numbers, strings, lists and arrays.

        `load_state` of a solver made with the same arguments takes it. Between iterations (in callbacks, and after an
        interruption) it is the state of that moment. Arrays are copies, of NumPy's.
        """
        return in_host_memory(self._state())

    def _state(self) -> dict[str, Any]:
        """`state`, with arrays in the memory where they are."""
        if self._writing and self._snapshot is not None:
            return self._snapshot
        return {
            **self._fingerprint(),
            **{name: getattr(self, name) for name in _NUMBERS},
            **{name: list(getattr(self, name)) for name in _HISTORIES},
            "params": copied(self.model.params),
            "best_params": copied(self.best_params),
            "best_buffers": copied(self.best_buffers),
            "optim_configs": {name: copied(config) for name, config in self.optim_configs.items()},
            "order": self.sampler.order.copy(),
            **(self._reading_from or self._origin()),
        }

    @signatures.checked
    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, or from the tree of a checkpoint, in which it is.

        What is compared with this solver is the model's and the data's sizes.

        Training goes on exactly where lr_decay, num_epochs, schedule, transform, clip_norm and early_stopping are
        those of then; they may differ, and from here on this solver's apply. With a schedule this includes the
        learning rate in optim_config; without one the rate of the state stays. A state saved before models had buffers
        loads for a model without.

        Raises ValueError where the state lacks something or belongs to another model, data set, batch size, sampling,
        update rule or kind of seed; ValueError or TypeError where it holds what no training leaves, such as NaN (see
        `fastnn.checkpoint.state_validation`); the solver then stays as it was.
        """
        if isinstance(state, Mapping) and "schema" in state:
            state = state["solver"]
        required = [*self._fingerprint(), *_NUMBERS, *_HISTORIES, *_TREES]
        state = {name: {} for name in _LATER} | validation.keys(
            "Solver.load_state", "state", state, required=required, optional=_LATER
        )
        for name, expected in self._fingerprint().items():
            if state[name] != expected:
                raise ValueError(
                    f"Solver.load_state: {name}={state[name]!r} in the state; expected {expected!r} as in this solver, "
                    f"else training could not go on exactly; make the solver with the arguments of the saved one"
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
        except (ValueError, TypeError):  # of another kind: it stays as it was
            self._reading_from, self._snapshot = None, snapshot
            raise
        self._restore(state)
        self._snapshot = None

    @property
    def _buffers(self) -> MutableMapping[str, np.ndarray]:
        """The model's buffers, where it has any."""
        buffers = getattr(self.model, "buffers", None)
        return buffers if isinstance(buffers, MutableMapping) else {}

    def _origin(self) -> dict[str, Any]:
        """What the reading part of a unit may change."""
        return {"generator": rng.get_state(self._generator), "buffers": copied(self._buffers)}

    def _begin_reading(self) -> None:
        """A unit begins; before every so many iterations, and where there is none, a snapshot is taken."""
        if self._snapshot is None or self.iteration >= self._snapshot["iteration"] + _SNAPSHOT_EVERY:
            self._snapshot = self._state()
        self._reading_from = self._origin()

    def _begin_writing(self) -> None:
        self._writing = True

    def _end_writing(self) -> None:
        self._reading_from = None
        self._writing = False

    def _put_back_best(self, finished: bool) -> None:
        self._writing = True
        _assign(self.model.params, self.best_params)
        _assign(self._buffers, self.best_buffers)
        self.finished = finished
        self._writing = False

    def _give_up(self, *words: str | None) -> NoReturn:
        """Raise FloatingPointError in these words, with the best parameters in the model and the state before saved."""
        self._recover()
        saved = self._save_before_failure()
        self._put_back_best(finished=False)
        raise FloatingPointError("; ".join(filter(None, (*words, saved)))) from None

    def _recover(self) -> None:
        """Undo a unit that was broken off; may itself be broken off and called again."""
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
        for name in _NUMBERS:
            setattr(self, name, type(getattr(self, name))(state[name]))
        for name in _HISTORIES:
            setattr(self, name, [float(value) for value in state[name]])
        self.sampler.order = np.array(state["order"])
        rng.set_state(self._generator, state["generator"])
        self._reading_from = None
        self._writing = False

    def _fingerprint(self) -> dict[str, Any]:
        """What a solver must share with the one whose state it loads."""
        return {
            "version": 1,
            "update_rule": getattr(self.update_rule, "__name__", type(self.update_rule).__name__),
            "sampling": self.sampler.method,
            "batch_size": self.sampler.batch_size,
            "num_train": self.sampler.count,
        }


def in_host_memory(tree: Any) -> Any:
    """A tree of dicts with device arrays moved to the host."""
    if isinstance(tree, dict):
        return {name: in_host_memory(value) for name, value in tree.items()}
    return arrays.to_numpy(tree) if arrays.is_on_device(tree) else tree


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict with copies of its arrays."""
    return {name: arrays.copy(value) if is_in_memory(value) else value for name, value in values.items()}


def _assign(targets: MutableMapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Put copies of the values in place of the arrays, in their dtypes."""
    for name, value in values.items():
        targets[name] = arrays.on_same_device(arrays.copy(value, targets[name].dtype), targets[name])
