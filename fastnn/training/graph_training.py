"""Iterations of a Solver replayed as CUDA graphs.

On a GPU, an iteration of a small network takes less time than Python needs to launch its kernels. So two iterations
are traced; if they launch the same work, the third is captured, and later ones are replayed in one or two launches.
Inputs that differ between iterations (the rows of the batch, its augmentation, the learning rate) are uploaded in
advance for up to LENGTH iterations, and the losses are read after these. Nothing else is transferred.
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

LENGTH = 100  # largest number of iterations whose inputs are uploaded together


class GraphTraining:
    """Run the iterations of a solver whose model, data and update rule are on a GPU.

    reason: why the iterations cannot be captured, or None
    """

    def __init__(self, solver: Any) -> None:
        self.solver = solver
        self.reason = _reason(solver)
        self._stream = cuda_graphs.capture_stream()
        self.close()
        self._say_reason()

    def close(self) -> None:
        """Free the captured graphs and their memory; the next call of `advance` starts again with tracing."""
        self._loss: Any = None
        self._grads: Any = None
        self._inputs: Any = None
        self._arrays: list[Any] = []  # the arrays that the captured graphs use
        self._steps: Iterator[None] = iter(())

    def advance(self, count: int) -> None:
        """Do `count` iterations, at most LENGTH, as one unit of the solver's work.

        If a loss is not finite, the solver returns to its last snapshot, and checks every loss from there.
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
            say(f"(each kernel is launched individually: iterations cannot be captured, since {self.reason})")

    def _draw(self, iteration: int) -> list[np.ndarray]:
        """Draw the inputs of an iteration: the rows of its batch, and the arguments of the transform."""
        solver = self.solver
        positions = solver.sampler.draw(iteration, solver._generator).astype(np.int32)
        if solver.transform is None:
            return [positions]
        return [positions, *solver.transform._drawn((len(positions), *solver.X_train.shape[1:]), solver._generator)]

    def _run(self, drawn: list[list[np.ndarray]], rates: list[float | None]) -> list[float]:
        """Do an iteration for each of the drawn inputs and rates (None: the rate of the config); return the losses."""
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
        """Start again with tracing if parameters or buffers were replaced by other arrays."""
        solver = self.solver
        current = [*solver.model.params.values(), *solver.model.buffers.values()]
        current = [array for array in current if arrays.is_on_device(array)]
        if len(current) == len(self._arrays) and all(map(operator.is_, current, self._arrays)):
            return
        self.close()
        config, w = next(iter(solver.optim_configs.values())), next(iter(solver.model.params.values()))
        numbers = optim.next_numbers(solver.update_rule, dict(config))
        count = len(solver.optim_configs)
        self._inputs = cuda_graphs.graph_inputs(LENGTH, drawn, numbers, count, w.dtype)
        self._steps = self._iterations()
        self._arrays = current

    def _iterations(self) -> Iterator[None]:
        """Generator that does one iteration per step."""
        first = self._traced()
        self._update()
        yield
        second = self._traced()
        self._update()
        yield
        self.reason = self.reason or second.reason(first)
        compute_gradients, update = self._gradients, self._update
        if self.reason is None:  # from here on, gradients stay at the same addresses
            compute_gradients, self.reason = cuda_graphs.capture(self._gradients)
            compute_gradients()
            self._update()
            yield
        if self.reason is None:
            update, self.reason = cuda_graphs.capture(self._update)
        while True:
            compute_gradients()
            update()
            yield

    def _traced(self) -> Any:
        """Compute the gradients; return the trace of their kernel launches."""
        before = _on_host(self.solver.model.buffers)
        trace = cuda_graphs.trace(self._gradients)
        changed = [name for name, value in _on_host(self.solver.model.buffers).items() if value != before[name]]
        if changed:
            self.reason = f"it changes {changed[0]!r} in the host's memory"
        return trace

    def _gradients(self) -> None:
        solver = self.solver
        positions, *changes = self._inputs.drawn()
        images, labels = arrays.take(solver.X_train, positions), arrays.take(solver.y_train, positions)
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
    """Why the iterations of a solver cannot be captured, as far as its settings tell; None if they can."""
    if not all(map(arrays.is_on_device, (solver.X_train, solver.y_train, *solver.model.params.values()))):
        return "the training data or parameters are not in the GPU's memory"
    if any(getattr(module, "_is_recorded", False) for module in getattr(solver.model, "modules", tuple)()):
        return "the model has a forward of its own, which may do something else each time"
    if solver.update_rule not in optim.RULES.values():
        return "the update rule is a user-defined function"
    if solver.transform is not None and type(solver.transform) is not Augment:
        return "transform is a user-defined function"
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
    """The contents of the buffers that are in host memory."""
    return {name: value.tobytes() for name, value in buffers.items() if not arrays.is_on_device(value)}
