"""An iteration, an evaluation and a checkpoint of a Solver on its ranks."""

import contextlib
import math
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.augment import Augment
from fastnn.devices import is_ours
from fastnn.kernels import augment
from fastnn.kernels.dispatch import arrays, validation
from fastnn.nn import early
from fastnn.nn.dropout import of_shard
from fastnn.nn.module import Module
from fastnn.output.streams import say

from . import agreement, cores
from .communicator import Communicator
from .flat import Flat
from .ranks import RankError, Ranks
from .tree import Tree

# the loss of a shard; a checksum of its buffers of integers; whether its rank asks for a checkpoint
_LOSS, _STATE, _ASKS = "loss", "state", "asks"
_NOTHING_ON_DEVICE = (
    "Solver: comm={comm} carries arrays in GPU memory, and the model has none there; expected the backend cuda, and a "
    "model of fastnn's modules; choose them, or pass the communicator of mpi4py itself"
)


@contextlib.contextmanager
def session(solver: Any) -> Iterator[Any]:
    """Let a Solver train on its ranks during the block; None if there is only one rank, and one shard."""
    if solver.comm.size == 1 and solver.shards == 1:
        yield None
        return
    parallel = DataParallel(solver)
    ranks = parallel.ranks
    try:
        with cores.shared(ranks):
            parallel.begin()
            yield parallel
    except BaseException as error:
        if not parallel.is_agreed:
            ranks.comm.abandon()
        if parallel.is_agreed or isinstance(error, RankError):
            time.sleep(0 if ranks.is_first and parallel.is_agreed else ranks.comm.grace)
        else:
            ranks.fail(error)
        raise
    finally:
        solver._parallel = None


class DataParallel:
    """The ranks of a Solver, and its shards.

    is_agreed: all ranks are about to raise the same error
    asks, is_asked: whether this rank asks for a checkpoint; whether any had when the last iteration began
    """

    def __init__(self, solver: Any) -> None:
        self.solver = solver
        self.ranks = Ranks(solver.comm)
        self.shards: int = solver.shards
        self.is_agreed = self.asks = self.is_asked = False
        self.is_evaluating = False  # an evaluation of which each rank does a part
        self._is_finite = True  # the losses of this rank's shards
        self._global_state = (0, 0)  # of NumPy's random numbers, after the batch was drawn
        self._tree: Tree | None = None
        model = solver.model  # whose gradients are new arrays, unless other arrays on the tape share their memory
        self._gives_new = isinstance(model, Module) and is_ours(model) and not model._is_recorded
        self._images, self._labels = np.empty(0), np.empty(0)
        self._epoch_began, self._waited = time.perf_counter(), 0.0

    def begin(self) -> None:
        """Compare the ranks, and give all of them the state of the first."""
        self.solver._recover()
        if self.ranks.size > 1:
            self._raise_on_all(agreement.difference(self.ranks, self.solver))
            agreement.share_state(self.ranks, self.solver)
        if not self.ranks.comm.deterministic and self.ranks.is_first and self.solver.verbose:
            say("(gradients are added over ranks in any order: other runs may have other bits)")
        self._epoch_began, self._waited = time.perf_counter(), self.ranks.waited

    def _raise_on_all(self, problem: str | Exception | None) -> None:
        """Raise an error that all ranks have found alike, if there is one; for a text, a ValueError."""
        if problem is not None:
            self.is_agreed = True
            raise ValueError(problem) if isinstance(problem, str) else problem

    # ---- an iteration ----

    def gradients(self, iteration: int) -> tuple[np.ndarray, np.ndarray, float, dict[str, Any]]:
        """Draw a batch; return images and labels of this rank, and loss and gradients of the whole batch."""
        solver = self.solver
        self._images, self._labels = self._batch(iteration)
        if self._tree is None:
            shapes, device = self._shapes()
            if self.ranks.comm.takes_device and self.ranks.size > 1 and not device:
                self._raise_on_all(_NOTHING_ON_DEVICE.format(comm=type(self.ranks.comm).__name__))
            names = [("params", name) for name in reversed(solver.optim_configs)] if self._passes_on() else []
            self._tree = Tree(self.ranks, self.shards, shapes, device, names)
        held = solver._reading_from["buffers"]
        checksum, self._is_finite, self._global_state = 0, True, _global_state()

        def fill(shard: int, flat: Flat, ready: Callable[[Any], None]) -> None:
            nonlocal checksum
            checksum = self._fill(shard, flat, held, ready)

        flat = self._tree.mean(fill)
        if float(flat.arrays[_STATE]) != checksum:
            self._raise_for_integers(held)
        self.is_asked = bool(flat.arrays[_ASKS] > 0)
        self._set_buffers({name: flat.arrays["buffers", name] for name, value in held.items() if _is_real(value)})
        params = solver.model.params
        grads = {name: flat.arrays["params", name] for name in solver.optim_configs}
        grads = {name: arrays.on_same_device(grad, params[name]) for name, grad in grads.items()}
        return self._images, self._labels, float(flat.arrays[_LOSS]), grads

    def _batch(self, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of the shards of this rank; transformed as a part of the whole batch."""
        solver = self.solver
        transform, generator = solver.transform, solver._generator
        own = self._own(solver.sampler.length)
        data = solver.X_train, solver.y_train
        if transform is None or type(transform) is Augment:
            images, labels = solver.sampler.batch(iteration, generator, *data, part=own)
            if transform is not None:
                drawn = transform._drawn((len(images) * self.ranks.size, *images.shape[1:]), generator)
                images = augment.augment_images(images, *(values[own] for values in drawn))
            return images, labels
        images, labels = solver.sampler.batch(iteration, generator, *data)
        return transform(images, generator)[own], labels[own]

    def _own(self, count: int) -> slice:
        """The rows of this rank in a batch."""
        length = count // self.ranks.size
        return slice(self.ranks.rank * length, (self.ranks.rank + 1) * length)

    def _fill(self, shard: int, flat: Flat, held: dict[str, Any], ready: Callable[[Any], None]) -> int:
        """Compute a shard, from the buffers at the beginning of the iteration; return a checksum of its integers."""
        solver = self.solver
        number = shard % (self.shards // self.ranks.size)
        length = len(self._images) * self.ranks.size // self.shards
        rows = slice(number * length, (number + 1) * length)
        if number:
            self._set_buffers(held)
        receiver = self._receiver(flat, ready)
        with of_shard(shard), early.sent_to(receiver):
            loss, grads = solver._loss(self._images[rows], self._labels[rows])
        self._is_finite = self._is_finite and math.isfinite(loss)
        if _global_state() != self._global_state:
            raise ValueError(
                f"Solver: shards={self.shards} of a batch cannot be computed by a model that draws from NumPy's global "
                f"random state; expected masks with keys of their own; use nn.Dropout, or pass shards=1"
            )
        validation.keys("Solver", "gradients", grads, required=solver.optim_configs, optional=grads)
        for name in solver.optim_configs if receiver is None else ():
            self._put(flat, name, grads[name])
        checksum = 0
        for name, value in solver._buffers.items():
            if _is_real(value):
                flat.put(("buffers", name), value)
            else:
                checksum = zlib.crc32(arrays.to_numpy(value).tobytes(), checksum)
        flat.put(_LOSS, np.asarray(loss, np.float64))
        flat.put(_STATE, np.asarray(checksum, np.float64))
        flat.put(_ASKS, np.asarray(self.asks, np.float64))
        return checksum

    def _receiver(self, flat: Flat, ready: Callable[[Any], None]) -> early.Receiver | None:
        """Who puts gradients into a buffer as they are computed, if some of them can be sent then."""

        def place(name: str, gradient: Any) -> Any:
            if name not in self.solver.optim_configs:
                return gradient
            self._put(flat, name, gradient)
            return flat.arrays["params", name]

        tree: Any = self._tree
        if not tree.is_cut:
            return None
        return early.Receiver(self.solver.model, place, lambda name: ready(("params", name)), tree.hides)

    def _put(self, flat: Flat, name: str, gradient: Any) -> None:
        gradient = validation.array("Solver", f"gradients[{name!r}]", gradient)
        validation.shape("Solver", f"gradients[{name!r}]", gradient, np.shape(self.solver.model.params[name]))
        flat.put(("params", name), gradient, self._gives_new)

    def _passes_on(self) -> bool:
        """Whether the model's own `loss` passes its gradients on, and computes on the host."""
        model = self.solver.model
        has_own = isinstance(model, Module) and type(model).loss is Module.loss and "loss" not in vars(model)
        return has_own and not any(map(arrays.is_on_device, model.params.values()))

    def _shapes(self) -> tuple[dict[Any, tuple[tuple[int, ...], np.dtype]], dict[Any, Any]]:
        """The shapes and dtypes of what shards are added of, and those arrays that stay in GPU memory."""
        params = {("params", name): self.solver.model.params[name] for name in self.solver.optim_configs}
        buffers = {("buffers", name): value for name, value in self.solver._buffers.items() if _is_real(value)}
        number = (), np.dtype(np.float64)
        shapes = {name: (np.shape(value), np.dtype(value.dtype)) for name, value in {**params, **buffers}.items()}
        device = {name: value for name, value in {**params, **buffers}.items() if arrays.is_on_device(value)}
        return {_LOSS: number, _STATE: number, _ASKS: number, **shapes}, device if self.ranks.comm.takes_device else {}

    def _set_buffers(self, values: dict[str, Any]) -> None:
        buffers = self.solver._buffers
        for name, value in values.items():
            buffers[name] = arrays.on_same_device(arrays.copy(value, buffers[name].dtype), buffers[name])

    def _raise_for_integers(self, held: dict[str, Any]) -> None:
        names = [name for name, value in held.items() if not _is_real(value)]
        raise ValueError(
            f"Solver: shards={self.shards} of a batch changed the integers in the buffers {names} differently; "
            f"expected counters of batches; make them counters, or floats, of which shards take the mean"
        )

    # ---- errors, evaluations, checkpoints ----

    def first_cause(self, cause: list[str]) -> list[str]:
        """The explanation of the first rank whose own loss is not finite, or else of the first rank."""
        self.is_agreed = True
        found = self.ranks.gather((self._is_finite, cause))
        return next((texts for is_finite, texts in found if not is_finite), found[0][1])

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Let each rank do a part of the evaluations in this block."""
        self.is_evaluating = True
        try:
            yield
        finally:
            self.is_evaluating = False

    def count(self, correct: int, error: Exception | None) -> int:
        """The sum of the counts of all ranks. Raises the first of their errors."""
        found = self.ranks.gather((correct, error))
        self._raise_on_all(next((failed for _, failed in found if failed is not None), None))
        return sum(count for count, _ in found)

    def check_equal(self) -> None:
        """Raise ValueError if the parameters, buffers or states of the update rule differ between ranks."""
        if self.ranks.size > 1:
            self._raise_on_all(agreement.inequality(self.ranks, self.solver))

    def end_epoch(self) -> None:
        """Note the share of this epoch that each rank has waited."""
        if self.ranks.size == 1:
            return
        now = time.perf_counter()
        share = (self.ranks.waited - self._waited) / max(now - self._epoch_began, 1e-9)
        shares = self.ranks.gather(round(share, 4))
        self._epoch_began, self._waited = now, self.ranks.waited
        self.solver.waiting_history.append(shares)
        if self.solver._is_printing():
            slowest, most = shares.index(min(shares)), max(shares)
            say(f"(ranks waited for rank {slowest} in up to {100 * most:.0f} % of the epoch)")


def checked_shards(function: str, shards: Any, comm: Communicator, batch: int) -> int:
    """Check the argument `shards`, for a batch of `batch` images. Raises TypeError or ValueError."""
    shards = validation.integer(function, "shards", shards, minimum=1)
    if shards & (shards - 1):
        raise ValueError(
            f"{function}: shards={shards} is not a power of two; expected 1, 2, 4, 8, ...; the sum over shards is a "
            f"binary tree: pass shards={1 << (shards - 1).bit_length()}"
        )
    if shards % comm.size:
        possible = " or ".join(str(1 << level) for level in range(shards.bit_length()))
        raise ValueError(
            f"{function}: shards={shards} cannot be computed by {comm.size} ranks; expected equally many on each, so "
            f"{possible} rank{'s' * (shards > 1)}; start as many, or pass a larger power of two as shards"
        )
    if batch % shards:
        raise ValueError(
            f"{function}: a batch of {batch} images does not divide into shards={shards}; expected equally many images "
            f"in each; pass batch_size={max(shards, batch // shards * shards)}"
        )
    return shards


def _is_real(value: Any) -> bool:
    return value.dtype.kind == "f"


def _global_state() -> tuple[int, int]:
    """What changes in NumPy's global random state when something is drawn from it."""
    state: Any = np.random.get_state(legacy=False)
    inner = state["state"]
    return (inner["pos"], int(inner["key"][0])) if "pos" in inner else (0, 0)
