"""The training loop of the course. `fastnn.training.state` describes interruption and resumption."""

import contextlib
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.kernels.gpu import cuda_graphs

from . import arguments, optim, rng
from .checkpoint import run
from .distributed import data_parallel, mpi
from .optim.repeated import Repeated
from .output.streams import say
from .schedules import Position, Schedule
from .training import evaluation, nonfinite
from .training.graph_training import GraphTraining
from .training.placement import on_device
from .training.sampling import Sampler, part
from .training.state import copied
from .training.stopping import Stopping

__all__ = ["Solver"]


class Solver(Stopping):
    """Train a model on data with an update rule; the model ends with the best parameters.

        solver = Solver(model, data, update_rule="adam", optim_config={"learning_rate": 1e-3}, num_epochs=2)
        solver.train()

    model: any object with
        params: dict of arrays, which are updated, in place if C-contiguous
        loss(X) -> scores (N, K), in eval mode; loss(X, y) -> (loss, dict of gradients with the keys of params)
        buffers: optional; a dict of arrays that loss(X, y) changes (running statistics, counters), saved and restored
            with the parameters. Results may depend on no other state that changes.
    data: dict with X_train, y_train, X_val, y_val; arrays, or data sets such as h5py's, which are read batch by batch:
        real numbers of any dtype that the model accepts, and integer labels. Optional mean_image, scale and
        class_names are saved in checkpoints for `fastnn predict`: an input is (pixels - mean_image) * scale
    update_rule: name of a rule in `fastnn.optim`, applied in place, or a function (w, dw, config) -> (next_w, config)
    optim_config: hyperparameters of the rule
    lr_decay: factor for the learning rate after each epoch
    schedule: function of a `fastnn.schedules.Position` that returns a further factor in each iteration; None: 1
    batch_size: number of images in a batch
    num_epochs: passes over the training set in one call of `train`
    num_train_samples, num_val_samples: number of images drawn to estimate the accuracies; None: all
    early_stopping: stop a call of `train` after so many epochs without a better validation accuracy; None: never
    checkpoint_name: a file such as "run.h5" for `Solver.resume`; the previous one is kept as "run.h5.prev". A name
        without .h5, if checkpoint_every is None, gives one file per epoch, as in the course:
        <checkpoint_name>_epoch_<epoch>.h5
    checkpoint_every: iterations between checkpoints, of which there is also one at the end; None: one per epoch
    print_every: iterations between two printed losses; 0 or less: never
    verbose: False prints nothing
    seed: source of random numbers for batches and samples (see `fastnn.rng`)
    sampling: "with_replacement" draws each batch from all images; "epoch" goes through a permutation of them;
        "blocks" permutes blocks of neighbouring images, for data in files (see `training.sampling.Sampler`)
    transform: function (images, generator) -> images, applied to training batches only. It may modify the images,
        which are a copy; it should draw random numbers from the generator only, which is that of `seed`
    clip_norm: largest global norm of the gradients (see `optim.clip_by_norm`); None: no limit
    on_nonfinite: what `train` does if a loss, or a score in an evaluation, is not finite: "warn" stops it with a
        RuntimeWarning, "raise" raises FloatingPointError
    callbacks: functions that are called with the solver after each iteration
    comm: communicator of the ranks that train together, such as mpi4py's MPI.COMM_WORLD; each makes the same Solver.
        Rank 0 alone prints and saves. `fastnn.distributed.nccl` has one for ranks with GPUs. None: this process only
    shards: a power of two, the number of equal parts of each batch that have batch statistics and dropout masks of
        their own; the bits of the results depend on it, and not on the number of ranks, which divides it

    Attributes: epoch and iteration (numbers of finished ones), loss_history, train_acc_history, val_acc_history,
    best_val_acc, best_params, best_buffers; optim_configs, whose "learning_rate" is that of the last update; stopped, a
    sentence that says why the last `train` ended early, or None. Raises TypeError or ValueError for wrong arguments.
    """

    @signatures.checked
    def __init__(
        self,
        model: Any,
        data: dict[str, Any],
        *,
        update_rule: str | Callable = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        schedule: Schedule | None = None,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        early_stopping: int | None = None,
        checkpoint_name: str | os.PathLike | None = None,
        checkpoint_every: int | None = None,
        print_every: int = 10,
        verbose: bool = True,
        seed: Any = None,
        sampling: str = "with_replacement",
        transform: Callable | None = None,
        clip_norm: float | None = None,
        on_nonfinite: str = "warn",
        callbacks: Iterable[Callable] = (),
        comm: Any = None,
        shards: int = 1,
    ) -> None:
        super().__init__(rng.generator(seed))
        self.model = arguments.attributes("Solver", "model", model, "params", "loss", expected="a model")
        self.X_train, self.y_train = part("Solver", data, "train")
        self.X_val, self.y_val = part("Solver", data, "val")
        self.preprocessing = {name: data[name] for name in run.PREPROCESSING if name in data}
        self.update_rule = optim.find("Solver", update_rule)
        self.optim_config = optim.checked_config("Solver", self.update_rule, optim_config)
        self.optim_configs = {name: arguments.unshared(self.optim_config) for name in model.params}
        self._update = Repeated()
        self.lr_decay = validation.number("Solver", "lr_decay", lr_decay, above=0)
        self.schedule = arguments.function_or_none("Solver", "schedule", schedule)
        self._base_rate = None if schedule is None else optim.base_rate("Solver", self.update_rule, self.optim_config)
        self.sampler = Sampler("Solver", len(self.X_train), batch_size, sampling)
        self.iterations_per_epoch = self.sampler.batches
        self.num_epochs = validation.integer("Solver", "num_epochs", num_epochs, minimum=1)
        self.num_train_samples = arguments.count_or_none("Solver", "num_train_samples", num_train_samples)
        self.num_val_samples = arguments.count_or_none("Solver", "num_val_samples", num_val_samples)
        self.early_stopping = arguments.count_or_none("Solver", "early_stopping", early_stopping)
        arguments.path_or_none("Solver", "checkpoint_name", checkpoint_name)
        self.checkpoint_name = checkpoint_name
        self.checkpoint_every = arguments.count_or_none("Solver", "checkpoint_every", checkpoint_every)
        if checkpoint_every is not None and checkpoint_name is None:
            raise ValueError(
                f"Solver: checkpoint_every={checkpoint_every!r} has no file to write; expected a checkpoint_name with "
                f"it; pass checkpoint_name='run.h5', or leave checkpoint_every out"
            )
        self.print_every = max(0, validation.integer("Solver", "print_every", print_every))
        self.verbose = validation.flag("Solver", "verbose", verbose)
        self.transform = arguments.function_or_none("Solver", "transform", transform)
        self.clip_norm = None if clip_norm is None else validation.number("Solver", "clip_norm", clip_norm, above=0)
        nonfinite.raises("Solver", on_nonfinite)
        self.on_nonfinite = on_nonfinite
        self.callbacks = arguments.callbacks("Solver", "callbacks", callbacks)
        self.comm = mpi.of("Solver", comm)
        self.shards = data_parallel.checked_shards("Solver", shards, self.comm, self.sampler.length)

    @signatures.checked
    def train(self) -> None:
        """Train for num_epochs epochs, or until early stopping; a further call trains for as many epochs again.

        After an interruption, or with a state saved before the end, training resumes and runs to that end. Exceptions
        (Ctrl-C, an error in the model) propagate, and leave model and solver in a state between two iterations.

        If a loss is not finite, or a score in an evaluation, training stops. The model then has the best parameters
        (those from before this call if there was no evaluation), and with a checkpoint_name the state before the
        failure is saved. One RuntimeWarning names iteration, layer or image, and says what to do, as does `stopped`;
        loss_history ends with this loss, or with NaN if it was finite; and if there was no evaluation, accuracies of
        the parameters put back are appended to their histories. A further call resumes from there, without these
        values. With on_nonfinite="raise", FloatingPointError with this message is raised instead.

        Raises ValueError for a label without a score, OSError if a checkpoint cannot be written (BlockingIOError if
        another run saves under the same name).

        If the active backend computes on a GPU and the model can too (`fastnn.nn.Module.resident`), everything that an
        iteration reads and writes is in GPU memory during the call: callbacks see device arrays, and get NumPy arrays
        from `state()`.
        """
        self._graph_training: GraphTraining | None = None
        with data_parallel.session(self) as self._parallel, self._reserved(), on_device(self):
            self._forget_stop()
            try:
                self._train()
            except nonfinite.Stopped as stop:
                self._stop(stop)
            finally:
                if self._graph_training is not None:
                    self._graph_training.close()
        if self._lengths and self.comm.rank == 0:
            nonfinite.warn(str(self.stopped))

    def _train(self) -> None:
        self._recover()
        self._snapshot = self._state()
        self._quiet_until = 0  # up to this iteration, everything was printed before
        if self.finished:
            self.start_iteration = self.iteration
            self.finished = False
        try:
            if self.iteration > self.start_iteration:  # the last state may not have been saved
                self._save_checkpoint()
            while not self.is_over():
                if not self._evaluation_is_due():
                    self._advance()
                    self._print_loss()
                if self._evaluation_is_due():
                    self._evaluate()
                self._save_checkpoint()
                for callback in self.callbacks:
                    callback(self)
            if self.iteration < self._end():
                self.stopped = f"no better val_acc for {self.early_stopping} epoch{'s' * (self.early_stopping != 1)}"
                if self.verbose and self.comm.rank == 0:
                    say(f"(Epoch {self.epoch} / {self.num_epochs}) stopped early: {self.stopped}")
            self._put_back(self.best_params, self.best_buffers, finished=True)
            self._update = Repeated()  # frees the arrays of the last step
            self._snapshot = None
        except BaseException:
            self._recover()
            raise

    @signatures.checked
    def check_accuracy(self, X: Any, y: Any, num_samples: int | None = None, batch_size: int = 100) -> float:
        """Return the accuracy: the fraction of images whose highest score is that of their label.

        X, y: images and labels, as in `data`
        num_samples: number of images to draw, if there are more; None: all
        batch_size: images in one call of the model
        Raises FloatingPointError if the highest score of an image is NaN or infinite, ValueError for a label without a
        score.
        """
        return evaluation.accuracy(self, X, y, num_samples, batch_size)

    def _advance(self) -> None:
        """Do one iteration, or with CUDA graphs as many as can be done before a result is needed."""
        is_first = self.iteration == self.start_iteration
        if self._graph_training is None and self._parallel is None and not is_first and cuda_graphs.is_possible():
            self._graph_training = GraphTraining(self)
        if self._graph_training is None or self._graph_training.reason:
            self._iterate()
        else:
            self._graph_training.advance(self._count_undisturbed())

    def _count_undisturbed(self) -> int:
        """The number of iterations until a loss is printed, a checkpoint saved, or an epoch ends."""
        done = self.iteration - self.start_iteration
        counts = [self._end() - self.iteration, self.iterations_per_epoch - self.iteration % self.iterations_per_epoch]
        if self.verbose and self.print_every:
            counts.append(self.print_every - (done - 1) % self.print_every)
        if self.checkpoint_every is not None:
            counts.append(self.checkpoint_every - self.iteration % self.checkpoint_every)
        return 1 if self.callbacks else max(1, min(counts))

    def _iterate(self) -> None:
        """Do one iteration: draw a batch, compute loss and gradients, update every parameter."""
        self._begin_reading()
        rate = self._scheduled_rate(self.iteration)
        if self._parallel is None:
            images, labels = self.sampler.batch(self.iteration, self._generator, self.X_train, self.y_train)
            if self.transform is not None:
                images = self.transform(images, self._generator)
            loss, grads = self._loss(images, labels)
        else:
            images, labels, loss, grads = self._parallel.gradients(self.iteration)
        self._check_finite("loss", loss, images, labels, grads)
        if self.clip_norm is not None:
            grads, norm = optim.clip_by_norm(grads, self.clip_norm)
            self._check_finite("norm of the gradients", norm, images, labels, grads)
        if type(grads) is not dict or not grads.keys() >= self.optim_configs.keys():
            validation.keys("Solver", "gradients", grads, required=self.optim_configs, optional=grads)

        self._begin_writing()
        if rate is not None:
            for config in self.optim_configs.values():
                config["learning_rate"] = rate
        self._update(self.update_rule, self.model.params, grads, self.optim_configs)
        self.loss_history.append(loss)
        self.iteration += 1
        self._end_writing()

    def _scheduled_rate(self, iteration: int) -> float | None:
        """The learning rate of an iteration according to the schedule; None without one."""
        if self.schedule is None or self._base_rate is None:
            return None
        position = Position(
            iteration - self.start_iteration,
            self._end() - self.start_iteration,
            self.iterations_per_epoch,
            tuple(self.val_acc_history),
        )
        factor = validation.number("Solver", "schedule(position)", self.schedule(position), minimum=0)
        return self._base_rate * self.lr_decay**self.epoch * factor

    def is_over(self) -> bool:
        """Whether this call of `train` has done all its iterations and evaluations."""
        enough = self.iteration >= self._end() or self._is_stopped_early()
        return enough and not self._evaluation_is_due()

    def _end(self) -> int:
        """The iteration at which this call of `train` ends, unless it stops early."""
        return self.start_iteration + self.num_epochs * self.iterations_per_epoch

    def _evaluation_is_due(self) -> bool:
        """Whether to compute accuracies: after the first iteration of `train` and at the end of each epoch."""
        first, ends_epoch = self.iteration == self.start_iteration + 1, self.iteration % self.iterations_per_epoch == 0
        return self.last_evaluation != self.iteration and (first or ends_epoch)

    def _evaluate(self) -> None:
        """Compute both accuracies, keep the best parameters, and finish the epoch if it is over."""
        self._begin_reading()
        try:
            with contextlib.nullcontext() if self._parallel is None else self._parallel.evaluation():
                train_acc = self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
                val_acc = self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)
        except FloatingPointError as error:
            cause = nonfinite.cause_of_scores(self.model, str(error), self._rate())
            self._give_up(math.nan, f"{error} (after iteration {self.iteration})", cause)
        is_best = val_acc > self.best_val_acc or not self.best_params
        best_params = copied(self.model.params) if is_best else self.best_params
        best_buffers = copied(self._buffers) if is_best else self.best_buffers
        ends_epoch = self.iteration % self.iterations_per_epoch == 0

        self._begin_writing()
        if ends_epoch:
            self.epoch += 1
            self._decay()
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)
        self.best_val_acc, self.best_params = max(val_acc, self.best_val_acc), best_params
        self.best_buffers = best_buffers
        self.last_evaluation = self.iteration
        self._end_writing()

        if self._is_printing():
            say(f"(Epoch {self.epoch} / {self.num_epochs}) train acc: {train_acc:f}; val_acc: {val_acc:f}")
        if ends_epoch and self._parallel is not None:
            self._parallel.end_epoch()

    def _decay(self) -> None:
        if self.schedule is not None:  # _scheduled_rate includes the decay
            return
        for config in self.optim_configs.values():
            if "learning_rate" in config:
                config["learning_rate"] = config["learning_rate"] * self.lr_decay  # not in place: it may be an array

    def _print_loss(self) -> None:
        number = self.iteration - self.start_iteration
        if self._is_printing() and self.print_every and (number - 1) % self.print_every == 0:
            say(f"(Iteration {number} / {self._end() - self.start_iteration}) loss: {self.loss_history[-1]:f}")

    def _is_printing(self) -> bool:
        return self.verbose and self.iteration > self._quiet_until and self.comm.rank == 0

    def _loss(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, dict]:
        """The model's loss, as a float, and its gradients."""
        returned = self.model.loss(images, labels)
        if type(returned) is tuple and len(returned) == 2 and type(returned[0]) is float:
            return returned
        if not isinstance(returned, tuple) or len(returned) != 2 or np.ndim(returned[0]) != 0:
            raise TypeError(
                f"Solver: model.loss(X, y) returned {validation.brief(returned)}; expected (loss, gradients), the loss "
                f"a number; return both"
            )
        return float(arrays.to_numpy(returned[0])), returned[1]
