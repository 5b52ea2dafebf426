"""Hyperparameter search: many trials, each recorded when it ends, so that an interrupted sweep can be resumed.

The course's search for the learning rate and penalty of a linear classifier:

    from fastnn.classifiers import LinearSVM
    from fastnn.classifiers.linear_classifier import test_one_param_set
    from fastnn.sweep import best, grid, sweep

    def run(params):
        _, train_acc, val_acc = test_one_param_set(LinearSVM(), data, params["learning_rate"], params["reg"], 2000)
        return {"train_acc": train_acc, "val_acc": val_acc}

    trials = sweep(run, grid(learning_rate=[1e-3, 1e-2], reg=[1e-2, 1e-1, 1.0]), ledger="svm.jsonl")
    print(best(trials)["params"])

Random search instead: `random_search(20, seed=0, learning_rate=log_uniform(1e-4, 1e-1), reg=log_uniform(1e-3, 10))`.
`fastnn.vis_utils.plot_sweep(trials)` plots them. Several trials at a time, with `run` in a module:

    with workers(4) as executor:
        trials = sweep(run, trials, "svm.jsonl", executor)
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import signatures, validation
from fastnn.output.streams import Stream, say

from .executors import workers
from .results import Trials
from .trial import Outcome, brief, failed, outcomes, terms
from .trial_log import FAILED, FINISHED, NOT_RUN, TrialLog, load_ledger, plain
from .trials import choice, grid, integers, log_uniform, random_search, uniform

__all__ = [
    "best",
    "choice",
    "grid",
    "integers",
    "load_ledger",
    "log_uniform",
    "random_search",
    "sweep",
    "uniform",
    "workers",
]


@signatures.checked
def sweep(
    run: Callable[[dict[str, Any]], Mapping[str, Any]],
    trials: Iterable[Mapping[str, Any]],
    ledger: str | os.PathLike | None = None,
    executor: Executor | None = None,
    *,
    seed: Any = None,
    retry_failed: bool = False,
    verbose: bool = True,
) -> list[dict[str, Any]]:
    """Run every trial that is not in the ledger yet; return the records of all of them, in the order of `trials`.

    run: function of the params of a trial that returns a dict with `val_acc`, usually `train_acc`, and other values
        that JSON can represent (NumPy numbers and arrays are converted)
    trials: dicts of params, all with the same names, as from `grid` or `random_search`; equal ones run once
    ledger: file to which each record is appended when its trial is done, see `fastnn.sweep.trial_log`; None: no file
    executor: a `concurrent.futures.Executor` that runs the trials, such as one of `workers`; None: they run here, one
        after the other
    seed: see `fastnn.rng`; each trial begins with NumPy's global state seeded with it and the trial's number, so that
        records do not depend on the executor
    retry_failed: run trials again that are recorded as failed
    verbose: print a line for each trial, and on a terminal a progress bar

    Returns a list of records.

    A record is {"params": {...}, "status": "finished", "failed" or "not run", "reason": None or text, "train_acc": ...,
    "val_acc": ..., other results of `run`, "seconds": ..., "number": place in `trials`, counted from 1, or after those
    of an earlier sweep in the same ledger}. A trial fails if `run` raises an exception, returns a number that is not
    finite (recorded as None), or if its worker dies; the sweep continues with the next one. Within `run`, training that
    diverges raises FloatingPointError, as with on_nonfinite="raise". Ctrl-C stops the sweep and cancels the trials that
    wait; finished trials are kept.

    With an executor, only this process writes the ledger. `run` is pickled once, and loaded once in each worker, so its
    module, or an object that loads data when it is unpickled, loads them once there. The trials have the backend that
    is active here; workers share the cores of their machine, unless FASTNN_NUM_THREADS or OMP_NUM_THREADS is set. What
    runs in threads of one process shares NumPy's global state: there, give seeds to models and Solvers.

    Raises TypeError or ValueError for trials with different names, for params or results that JSON cannot represent,
    for a result without `val_acc`, for what cannot be sent to workers or loaded there, and for a file that is not a
    ledger with these names, which is not changed; BlockingIOError for a ledger that another process writes; OSError if
    the file cannot be written; BrokenExecutor if the executor did not run all trials: the others are recorded as not
    run.
    """
    arguments.function("sweep", "run", run)
    retry_failed = validation.flag("sweep", "retry_failed", retry_failed)
    verbose = validation.flag("sweep", "verbose", verbose)
    arguments.path_or_none("sweep", "ledger", ledger)
    if executor is not None:
        arguments.attributes("sweep", "executor", executor, "submit", expected="an executor such as workers(4)")
    common = terms(int.from_bytes(rng.generator(seed).bytes(4), "little"), executor)
    requested = _distinct(arguments.listed("sweep", "trials", trials, "dicts of params"))
    names = next((list(params) for params in requested.values()), [])
    with TrialLog(ledger, names) as records, _global_state_kept():
        numbers = records.numbers(requested)
        pending = {
            key: (numbers[key], params)
            for key, params in requested.items()
            if not _is_done(records.get(key), retry_failed)
        }
        done = len(requested) - len(pending)
        if verbose and done:
            say(f"{done} of {len(requested)} trials are in {str(ledger)!r} already", flush=True)
        try:
            with (
                _progress(len(requested), done, verbose) as show,
                contextlib.closing(outcomes(run, dict(pending), common, executor)) as found,
            ):
                for key, outcome in found:
                    if outcome.error is not None:
                        raise outcome.error
                    record = _record(*pending.pop(key), outcome)
                    records.add({key: record})
                    show(f"{len(requested) - len(pending)}/{len(requested)}  {_summary(record)}")
        except BrokenExecutor as error:
            reason = brief(error)
            records.add({key: _record(*waiting, failed(reason), NOT_RUN) for key, waiting in pending.items()})
            raise BrokenExecutor(
                f"sweep: {len(pending)} of {len(requested)} trials were not run, because the executor is broken "
                f"({reason}); expected one that runs until the end; run the sweep again with the same ledger and a new "
                f"executor: it goes on from here"
            ) from error
        return Trials(records[key] for key in requested)


@signatures.checked
def best(trials: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the finished trial with the highest `val_acc`; the first one of equals.

    trials: records of `sweep`, or the like
    Raises ValueError if none finished.
    """
    trials = arguments.listed("best", "trials", trials, "records of a sweep")
    for trial in trials:
        validation.keys("best", "trials", trial, required=("status", "val_acc"), optional=trial)
    finished = [trial for trial in trials if trial["status"] == FINISHED]
    if not finished:
        reasons = f", the first because of {trials[0]['reason']!r}" if trials else ""
        raise ValueError(
            f"best: none of the {len(trials)} trials finished{reasons}; expected at least one; try other params"
        )
    return max(finished, key=lambda trial: trial["val_acc"])


def describe(params: Mapping[str, Any]) -> str:
    """Format params as text: `learning_rate=0.001, reg=0`."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in params.items()}
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _distinct(trials: Iterable[Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """The params of all different trials, by their keys."""
    requested: dict[Any, dict[str, Any]] = {}
    names: set[str] | None = None
    for params in trials:
        if not isinstance(params, Mapping) or not params:
            raise TypeError(
                f"sweep: trials contains {params!r}; expected non-empty dicts of params; make them with grid or "
                f"random_search"
            )
        key = TrialLog.key(_plain_params(params))
        if names is not None and set(params) != names:
            raise ValueError(
                f"sweep: trials contains params with the names {list(params)} and {sorted(names)}; expected the same "
                f"names in all trials; run two sweeps"
            )
        names = set(params)
        requested.setdefault(key, dict(params))
    return requested


def _plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    not_finite: list[str] = []
    recorded = plain("sweep", "params", params, not_finite)
    if not_finite:
        raise ValueError(f"sweep: {not_finite[0]} is not finite; expected finite numbers; leave this trial out")
    return recorded


def _is_done(record: dict[str, Any] | None, retry_failed: bool) -> bool:
    return record is not None and (record["status"] == FINISHED or (record["status"] == FAILED and not retry_failed))


def _record(number: int, params: dict[str, Any], outcome: Outcome, status: str = FAILED) -> dict[str, Any]:
    """The record of a trial; status: if it has a reason."""
    return {
        "params": _plain_params(params),
        "status": status if outcome.reason else FINISHED,
        "reason": outcome.reason,
        "train_acc": None,
        **outcome.result,
        "seconds": outcome.seconds,
        "number": number,
    }


def _summary(record: dict[str, Any]) -> str:
    summary = f"failed: {record['reason']}" if record["reason"] else f"val_acc {record['val_acc']:.4f}"
    return f"{describe(record['params'])}  {summary}  ({record['seconds']:.1f} s)"


@contextlib.contextmanager
def _global_state_kept() -> Iterator[None]:
    """Restore NumPy's global state after trials in this process."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


@contextlib.contextmanager
def _progress(total: int, done: int, verbose: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints the line of a trial, above a progress bar if stderr is a terminal."""
    if not verbose or not Stream(sys.stderr).isatty():
        yield lambda line: say(line, flush=True) if verbose else None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="trial", file=sys.stderr) as bar:

        def show(line: str) -> None:
            with bar.external_write_mode(sys.stdout):
                say(line, flush=True)
            bar.update()

        yield show
