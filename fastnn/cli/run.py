"""A training run in its folder: progress, checkpoints, results."""

import contextlib
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.checkpoint import locks
from fastnn.kernels.dispatch import interrupts

from . import run_folder
from .common import check_writable, drawn
from .picture import draw
from .settings import Settings

_SECONDS_BETWEEN_CHECKPOINTS = 300  # within an epoch, in addition to the one at its end


class Run:
    """A Solver with a callback that shows its progress and saves it.

    solver, data, data_name: the Solver, its data and their name
    backend: the active backend, for the report
    checkpoint: the file to save to, unless the Solver saves itself
    settings: the settings of `fastnn train`; None for the run of a script
    log: stream for progress lines; with a terminal on stderr, a progress bar replaces them
    options: of `fastnn resume`, for the run of a script
    """

    def __init__(
        self,
        solver: Any,
        data: dict,
        data_name: str,
        backend: str,
        checkpoint: Path,
        settings: Settings | None,
        log: Any,
        options: Sequence[str] = (),
    ) -> None:
        self.solver, self.data, self.data_name, self.backend = solver, data, data_name, backend
        self.checkpoint, self.settings, self.log = checkpoint, settings, log
        self.options = options
        self.model = solver.model
        self.is_first = solver.comm.rank == 0
        self.on_terminal = self.is_first and sys.stderr.isatty()
        self.step_seconds: list[float] = []
        solver.callbacks.append(self._after_iteration)
        solver.verbose = not self.on_terminal
        per_epoch = solver.iterations_per_epoch
        if settings is not None:
            solver.print_every = max(n for n in (1, 2, 5, 10, 20, 50, 100) if n == 1 or 8 * n <= per_epoch)
        self.total = solver.start_iteration + solver.num_epochs * per_epoch
        if self.is_first:
            check_writable("train", self.folder)
        self._bar: Any = None
        self._evaluations = len(solver.val_acc_history)
        self._saved_at = self._step_began = 0.0

    def check_unfinished(self) -> None:
        """Raise ValueError if nothing is left to do."""
        solver = self.solver
        if solver.is_over() and solver.iteration < self.total:
            raise ValueError(
                f"resume: early_stopping={solver.early_stopping} ended this run after epoch {solver.epoch} "
                f"of {solver.num_epochs}; expected some left to do; train again with a larger --early-stopping"
            )
        if solver.is_over():
            raise ValueError(
                f"resume: epochs={solver.num_epochs} are done; expected some left to do; "
                f"pass --epochs {2 * solver.num_epochs} to continue"
            )

    @property
    def folder(self) -> Path:
        return self.checkpoint.parent

    @property
    def picture(self) -> Path:
        return run_folder.picture_of(self.checkpoint)

    @property
    def resume_command(self) -> list[str]:
        """The arguments of the command that resumes this run."""
        if self.settings is None:
            return ["resume", str(self.checkpoint), *self.options]
        return ["resume", str(self.folder)]

    def introduction(self) -> list[tuple[str, str]]:
        """A description of the run, as labelled lines."""
        from fastnn.kernels.dispatch.switch import VARIABLE

        solver, settings = self.solver, self.settings
        count = sum(array.size for array in self.model.params.values())
        sizes = [len(self.data[name]) for name in ("X_train", "X_val", "X_test")]
        epochs = f"{solver.num_epochs} epoch{'s' * (solver.num_epochs != 1)}"
        done = f", {solver.iteration:,} done" if solver.iteration else ""
        details = "" if settings is None else f"{settings.describe_model()}, "
        schedule = "" if solver.schedule is None else f", {settings.schedule if settings else solver.schedule} schedule"
        rate = solver.optim_config.get("learning_rate")
        return [
            ("model", f"{type(self.model).__name__}: {details}{count:,} parameters"),
            ("data", "{}: {:,} training, {:,} validation, {:,} test images".format(self.data_name, *sizes)),
            ("backend", f"{self.backend} (select with {VARIABLE} or --backend)"),
            (
                "training",
                f"{epochs}, {self.total:,} steps of {solver.sampler.batch_size} images{done}; "
                f"{solver.update_rule.__name__}"
                + ("" if rate is None else f", learning rate {rate:g}")
                + schedule
                + ("" if solver.transform is None else ", augmented"),
            ),
            *([("ranks", f"{solver.comm.size}, for {solver.shards} shards of a batch")] if solver.shards > 1 else []),
        ]

    def train(self) -> float:
        """Train to the end, saving after each epoch; return the seconds needed."""
        began = self._saved_at = self._step_began = time.perf_counter()
        lock = locks.reserved(self.checkpoint) if self.is_first else contextlib.nullcontext()
        with lock, self._progress(), contextlib.redirect_stdout(self.log):
            self.solver.train()
        return time.perf_counter() - began

    def save(self) -> None:
        """Save the checkpoint on the first rank, delaying Ctrl-C until that is done."""
        if not self.is_first:
            return
        with interrupts.delayed():
            settings = {} if self.settings is None else {"settings": dataclasses.asdict(self.settings)}
            self.solver.save(self.checkpoint, **settings)
        self._saved_at = time.perf_counter()

    def result(self, command: str) -> dict[str, Any]:
        """Draw the picture; return accuracies of the best parameters, time per step and file names, for JSON."""
        solver, picture = self.solver, self.picture
        shape = self.data["X_train"].shape[1:]
        return {
            "validation_accuracy": solver.best_val_acc,
            "test_accuracy": solver.check_accuracy(self.data["X_test"], self.data["y_test"]),
            "epochs": solver.epoch,
            "steps": solver.iteration,
            "stopped_early": solver.iteration < self.total,
            "seconds_per_step": statistics.median(self.step_seconds) if self.step_seconds else None,
            "backend": self.backend,
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "picture": drawn(command, picture, lambda: draw(solver.state(), shape, picture)),
            "settings": None if self.settings is None else dataclasses.asdict(self.settings),
        }

    def _after_iteration(self, solver: Any) -> None:
        # steps with an evaluation, and the first one after an interruption, are not timed
        now = time.perf_counter()
        if len(solver.val_acc_history) == self._evaluations:
            self.step_seconds.append(now - self._step_began)
        self._evaluations = len(solver.val_acc_history)
        if self._bar is not None:
            self._show(solver)
        self.log.flush()  # a pipe buffers lines
        ranks = solver._parallel
        at_end_of_epoch = solver.iteration % solver.iterations_per_epoch == 0
        is_due = at_end_of_epoch or (self._is_late() if ranks is None else ranks.is_asked)
        if is_due and solver.checkpoint_name is None:  # else the Solver saves itself
            if ranks is not None:
                ranks.check_equal()
            self.save()
        if ranks is not None:  # all of them save after the next iteration
            ranks.asks = self.is_first and self._is_late()
        self._step_began = time.perf_counter()

    def _is_late(self) -> bool:
        return time.perf_counter() - self._saved_at > _SECONDS_BETWEEN_CHECKPOINTS

    def _show(self, solver: Any) -> None:
        validation = f", validation {solver.val_acc_history[-1]:.3f}" if solver.val_acc_history else ""
        self._bar.set_description_str(f"epoch {min(solver.epoch + 1, solver.num_epochs)}/{solver.num_epochs}", False)
        self._bar.set_postfix_str(f"loss {np.mean(solver.loss_history[-20:]):.3f}{validation}", False)
        self._bar.update(solver.iteration - self._bar.n)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[None]:
        if not self.on_terminal:
            yield
            return
        from tqdm.auto import tqdm

        with tqdm(total=self.total, initial=self.solver.iteration, unit="step", file=sys.stderr) as self._bar:
            try:
                yield
            finally:
                self._bar = None
