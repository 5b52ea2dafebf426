"""Iterations of a Solver that run without Python, once they were seen to do the same each time.

On a GPU an iteration of a small network is over before Python has said what it consists of. So two iterations are
watched; if they had the GPU do the same, the third is recorded, and those after it are a launch or two each (CUDA
graphs). What they differ in, the rows of the batch, its augmentation and the learning rate, is laid down for a whole
stretch of them beforehand; losses are read at its end. Nothing else moves between host and device.
"""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import optim
from fastnn.augment import Augment
from fastnn.devices import is_ours
from fastnn.kernels import augment
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import cuda_graphs
from fastnn.output.streams import say

LENGTH = 100  # iterations of a stretch at most


class Repeated:
    """The iterations of a solver whose model, data and update rule are on a GPU.

    obstacle: why they cannot be repeated without Python, or None
    """

    def __init__(self, solver: Any) -> None:
        self.solver = solver
        self.obstacle = _obstacle(solver)
        self._stage = cuda_graphs.stage()
        self._stretch: Any = None
        self._steps: Iterator[None]
        self._arrays: list[Any] = []  # that what was recorded is about
        self._say_obstacle()

    def advance(self, count: int) -> None:
        """Do as many iterations, up to a stretch, as one unit of the solver's work.

        Where a loss is not finite, the solver goes back to its last snapshot, and will look at each loss from there on.
        """
        solver = self.solver
        solver._begin_reading()
        iterations = range(solver.iteration, solver.iteration + min(count, LENGTH))
        drawn = [self._draw(iteration) for iteration in iterations]
        rates = [solver._scheduled_rate(iteration) for iteration in iterations]
        solver._begin_writing()
        losses = self._run(drawn, rates)
        if not np.isfinite(losses).all():
            self.obstacle = "a loss was not finite"
            solver._quiet_until = solver.iteration
            solver._recover()
            return
        solver.loss_history += losses
        solver.iteration += len(losses)
        solver._end_writing()
        self._say_obstacle()

    def _say_obstacle(self) -> None:
        if self.solver.verbose and self.obstacle:
            say(f"(each kernel is launched by itself: iterations cannot be recorded, since {self.obstacle})")

    def _draw(self, iteration: int) -> list[np.ndarray]:
        """What is drawn for an iteration: the rows of its batch, and what the transform does to them."""
        solver = self.solver
        places = solver.sampler.draw(iteration, solver._generator).astype(np.int32)
        if solver.transform is None:
            return [places]
        return [places, *solver.transform._drawn((len(places), *solver.X_train.shape[1:]), solver._generator)]

    def _run(self, drawn: list[list[np.ndarray]], rates: list[float | None]) -> list[float]:
        """Do an iteration for each of what was drawn and learning rate (None: that of the config); their losses."""
        solver = self.solver
        self._prepare(drawn[0])
        one = dict(next(iter(solver.optim_configs.values())))
        numbers = []
        for rate in rates:
            one.update({} if rate is None else {"learning_rate": rate})
            numbers.append(optim.next_numbers(solver.update_rule, one))
        with self._stage:
            self._stretch.begin(drawn, numbers)
            for _ in drawn:
                next(self._steps)
            losses = self._stretch.losses(len(drawn))
        changed = {key: one[key] for key in ("t", "learning_rate") if key in one}
        for config in solver.optim_configs.values():
            config.update(changed)
        return losses

    def _prepare(self, drawn: list[np.ndarray]) -> None:
        """Begin anew where arrays were exchanged, so that what was recorded is about others."""
        solver = self.solver
        now = [*solver.model.params.values(), *solver.model.buffers.values()]
        now = [array for array in now if arrays.is_resident(array)]
        if len(now) == len(self._arrays) and all(map(operator.is_, now, self._arrays)):
            return
        config, w = next(iter(solver.optim_configs.values())), next(iter(solver.model.params.values()))
        numbers = optim.next_numbers(solver.update_rule, dict(config))
        count = len(solver.optim_configs)
        self._stretch = cuda_graphs.stretch(LENGTH, drawn, numbers, count, w.dtype)
        self._steps = self._iterations()
        self._arrays = now

    def _iterations(self) -> Iterator[None]:
        """Does an iteration whenever it is asked for the next."""
        first = self._watched()
        self._update()
        yield
        second = self._watched()
        self._update()
        yield
        self.obstacle = self.obstacle or second.obstacle(first)
        while self.obstacle:
            self._gradients()
            self._update()
            yield
        compute_gradients = cuda_graphs.record(self._gradients)  # from here on they are always in the same memory
        compute_gradients()
        self._update()
        yield
        update = cuda_graphs.record(self._update)
        while True:
            compute_gradients()
            update()
            yield

    def _watched(self) -> Any:
        """Compute the gradients; notes of that."""
        before = _on_host(self.solver.model.buffers)
        notes = cuda_graphs.watch(self._gradients)
        changed = [name for name, value in _on_host(self.solver.model.buffers).items() if value != before[name]]
        if changed:
            self.obstacle = f"it changes {changed[0]!r} in the host's memory"
        return notes

    def _gradients(self) -> None:
        solver = self.solver
        places, *changes = self._stretch.drawn()
        images, labels = arrays.take(solver.X_train, places), arrays.take(solver.y_train, places)
        if changes:
            images = augment.augment_images(images, *changes)
        self._loss, self._grads = solver.model.loss(images, labels)

    def _update(self) -> None:
        solver = self.solver
        configs = {name: dict(config) for name, config in solver.optim_configs.items()}
        with cuda_graphs.supplied(self._stretch.supply):
            optim.update(solver.update_rule, solver.model.params, self._grads, configs)
        self._stretch.end(self._loss)


def _obstacle(solver: Any) -> str | None:
    """Why the iterations of a solver cannot be repeated, as far as that can be known beforehand."""
    if not all(map(arrays.is_resident, (solver.X_train, solver.y_train, *solver.model.params.values()))):
        return "the training data or parameters are not in the GPU's memory"
    if solver.update_rule not in optim.RULES.values():
        return "the update rule is a function of yours"
    if solver.transform is not None and type(solver.transform) is not Augment:
        return "transform is a function of yours"
    if solver.clip_norm is not None:
        return "clip_norm reads the norm of the gradients"
    if not all(map(is_ours, solver.callbacks)):
        return "callbacks may change anything"
    if len({w.dtype for w in solver.model.params.values()}) > 1:
        return "the parameters differ in their dtype"
    configs = solver.optim_configs.values()
    numbers = [{key: value for key, value in config.items() if not arrays.is_resident(value)} for config in configs]
    if any(one != numbers[0] for one in numbers):
        return "the parameters differ in their hyperparameters"
    return None


def _on_host(buffers: Any) -> dict[str, bytes]:
    """The contents of buffers in the host's memory."""
    return {name: value.tobytes() for name, value in buffers.items() if not arrays.is_resident(value)}
