"""Iterations of a Solver that are replayed as CUDA graphs, once they were seen to do the same each time.

On a GPU an iteration of a small network takes less time than Python needs to launch it. So two iterations are traced;
if they did the same work, the third is captured, and those after it are a launch or two each. What differs between
them, the rows of the batch, its augmentation and the learning rate, is uploaded in advance for up to LENGTH iterations;
losses are read at the end of these. Nothing else moves between host and device.
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

LENGTH = 100  # iterations for which inputs are uploaded at once, at most


class GraphTraining:
    """The iterations of a solver whose model, data and update rule are on a GPU.

    reason: why they cannot be repeated without Python, or None
    """

    def __init__(self, solver: Any) -> None:
        self.solver = solver
        self.reason = _reason(solver)
        self._stream = cuda_graphs.capture_stream()
        self._inputs: Any = None
        self._steps: Iterator[None]
        self._arrays: list[Any] = []  # that what was recorded is about
        self._say_reason()

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
            self.reason = "a loss was not finite"
            solver._quiet_until = solver.iteration
            solver._recover()
            return
        solver.loss_history += losses
        solver.iteration += len(losses)
        solver._end_writing()
        self._say_reason()

    def _say_reason(self) -> None:
        if self.solver.verbose and self.reason:
            say(f"(each kernel is launched by itself: iterations cannot be recorded, since {self.reason})")

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
        with self._stream:
            self._inputs.begin(drawn, numbers)
            for _ in drawn:
                next(self._steps)
            losses = self._inputs.losses(len(drawn))
        changed = {key: one[key] for key in ("t", "learning_rate") if key in one}
        for config in solver.optim_configs.values():
            config.update(changed)
        return losses

    def _prepare(self, drawn: list[np.ndarray]) -> None:
        """Begin anew where arrays were exchanged, so that what was recorded is about others."""
        solver = self.solver
        now = [*solver.model.params.values(), *solver.model.buffers.values()]
        now = [array for array in now if arrays.is_on_device(array)]
        if len(now) == len(self._arrays) and all(map(operator.is_, now, self._arrays)):
            return
        config, w = next(iter(solver.optim_configs.values())), next(iter(solver.model.params.values()))
        numbers = optim.next_numbers(solver.update_rule, dict(config))
        count = len(solver.optim_configs)
        self._inputs = cuda_graphs.graph_inputs(LENGTH, drawn, numbers, count, w.dtype)
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
        self.reason = self.reason or second.reason(first)
        while self.reason:
            self._gradients()
            self._update()
            yield
        compute_gradients = cuda_graphs.capture(self._gradients)  # from here on they are always in the same memory
        compute_gradients()
        self._update()
        yield
        update = cuda_graphs.capture(self._update)
        while True:
            compute_gradients()
            update()
            yield

    def _watched(self) -> Any:
        """Compute the gradients; notes of that."""
        before = _on_host(self.solver.model.buffers)
        notes = cuda_graphs.trace(self._gradients)
        changed = [name for name, value in _on_host(self.solver.model.buffers).items() if value != before[name]]
        if changed:
            self.reason = f"it changes {changed[0]!r} in the host's memory"
        return notes

    def _gradients(self) -> None:
        solver = self.solver
        places, *changes = self._inputs.drawn()
        images, labels = arrays.take(solver.X_train, places), arrays.take(solver.y_train, places)
        if changes:
            images = augment.augment_images(images, *changes)
        self._loss, self._grads = solver.model.loss(images, labels)

    def _update(self) -> None:
        solver = self.solver
        configs = {name: dict(config) for name, config in solver.optim_configs.items()}
        with cuda_graphs.supplied(self._inputs.supply):
            optim.update(solver.update_rule, solver.model.params, self._grads, configs)
        self._inputs.end(self._loss)


def _reason(solver: Any) -> str | None:
    """Why the iterations of a solver cannot be repeated, as far as that can be known beforehand."""
    if not all(map(arrays.is_on_device, (solver.X_train, solver.y_train, *solver.model.params.values()))):
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
    numbers = [{key: value for key, value in config.items() if not arrays.is_on_device(value)} for config in configs]
    if any(one != numbers[0] for one in numbers):
        return "the parameters differ in their hyperparameters"
    return None


def _on_host(buffers: Any) -> dict[str, bytes]:
    """The contents of buffers in the host's memory."""
    return {name: value.tobytes() for name, value in buffers.items() if not arrays.is_on_device(value)}
