"""One training run in its folder: progress, checkpoints, and what is said at the end."""

import contextlib
import dataclasses
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .common import check_writable
from .settings import Settings

CHECKPOINT, PICTURE = "checkpoint.h5", "training.png"

_SECONDS_BETWEEN_CHECKPOINTS = 300  # within an epoch; one is written at its end in any case


class Run:
    """A Solver with the callback that records and saves it.

    settings, data: what to train and on what; backend: the active one, for the record
    folder: where the checkpoint and the picture go
    state: of a Solver to go on from, or None to begin
    log: where lines about progress go; with a terminal on stderr, a progress bar takes their place
    """

    def __init__(
        self, settings: Settings, data: dict, backend: str, folder: Path, state: dict | None, log: Any
    ) -> None:
        self.settings, self.data, self.backend, self.folder, self.log = settings, data, backend, folder, log
        self.on_terminal = sys.stderr.isatty()
        self.step_seconds: list[float] = []
        self.solver = settings.build_solver(data, verbose=not self.on_terminal)
        self.model = self.solver.model
        self.solver.callbacks.append(self._after_iteration)
        per_epoch = self.solver.iterations_per_epoch
        self.solver.print_every = max(n for n in (1, 2, 5, 10, 20, 50, 100) if n == 1 or 8 * n <= per_epoch)
        self.total = settings.epochs * self.solver.iterations_per_epoch
        if state is not None:
            self.solver.load_state(state)
            if self.solver.is_over() and self.solver.iteration < self.total:
                raise ValueError(
                    f"resume: early_stopping={settings.early_stopping} ended this run after epoch {self.solver.epoch} "
                    f"of {settings.epochs}; expected some left to do; train anew with a larger --early-stopping"
                )
            if self.solver.is_over():
                raise ValueError(
                    f"resume: epochs={settings.epochs} are done; expected some left to do; "
                    f"pass --epochs {2 * settings.epochs} to go on"
                )
        check_writable("train", folder)
        self._bar: Any = None
        self._evaluations = len(self.solver.val_acc_history)
        self._saved_at = self._step_began = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def introduction(self) -> list[tuple[str, str]]:
        """What is about to be trained, as labelled lines."""
        from fastnn.kernels.switch import VARIABLE

        settings = self.settings
        count = sum(array.size for array in self.model.params.values())
        sizes = [len(self.data[name]) for name in ("X_train", "X_val", "X_test")]
        epochs = f"{settings.epochs} epoch{'s' * (settings.epochs != 1)}"
        done = f", {self.solver.iteration:,} done" if self.solver.iteration else ""
        return [
            ("model", f"{type(self.model).__name__}: {settings.describe_model()}, {count:,} parameters"),
            ("data", "{}: {:,} training, {:,} validation, {:,} test images".format(settings.data, *sizes)),
            ("backend", f"{self.backend} (choose with {VARIABLE} or --backend)"),
            (
                "training",
                f"{epochs}, {self.total:,} steps of {settings.batch_size} images{done}; "
                f"{settings.update_rule}, learning rate {settings.learning_rate:g}"
                + ("" if settings.schedule == "none" else f", {settings.schedule} schedule")
                + (", augmented" if settings.augment else ""),
            ),
        ]

    def train(self) -> float:
        """Train to the end, saving after each epoch; returns the seconds that took."""
        self.folder.mkdir(parents=True, exist_ok=True)
        began = self._saved_at = self._step_began = time.perf_counter()
        with self._progress(), contextlib.redirect_stdout(self.log):
            self.solver.train()
        return time.perf_counter() - began

    def save(self) -> None:
        """Write the checkpoint; Ctrl-C waits until that is done."""
        from fastnn import checkpoint

        with _without_interruptions():
            settings = dataclasses.asdict(self.settings)
            tree = {"settings": settings, "backend": self.backend, "solver": self.solver.state()}
            checkpoint.save(self.checkpoint, tree)
        self._saved_at = time.perf_counter()

    def result(self) -> dict[str, Any]:
        """Accuracies of the best parameters, time per step and files, ready for JSON; draws the picture."""
        from fastnn import vis_utils

        solver, picture = self.solver, self.folder / PICTURE
        vis_utils.training_picture(solver, self.model, picture)
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
            "picture": str(picture),
            "settings": dataclasses.asdict(self.settings),
        }

    def _after_iteration(self, solver: Any) -> None:
        # a step that also checked accuracies, or the one after an interruption, is no measure of a step
        now = time.perf_counter()
        if len(solver.val_acc_history) == self._evaluations:
            self.step_seconds.append(now - self._step_began)
        self._evaluations = len(solver.val_acc_history)
        if self._bar is not None:
            self._show(solver)
        self.log.flush()  # a pipe would hold the lines back
        at_end_of_epoch = solver.iteration % solver.iterations_per_epoch == 0
        if at_end_of_epoch or now - self._saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
            self.save()
        self._step_began = time.perf_counter()

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
        from tqdm import tqdm

        with tqdm(total=self.total, initial=self.solver.iteration, unit="step", file=sys.stderr) as self._bar:
            try:
                yield
            finally:
                self._bar = None


@contextlib.contextmanager
def _without_interruptions() -> Iterator[None]:
    """Hold Ctrl-C back inside the block, and deliver it afterwards."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets it
        yield
        return
    pending: list[tuple] = []
    handler: Callable | int | None = signal.signal(signal.SIGINT, lambda *arguments: pending.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending and callable(handler):
        handler(*pending[0])
