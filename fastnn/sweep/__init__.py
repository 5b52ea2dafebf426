"""Hyperparameter search: many trials, each recorded when it finishes, so that an interrupted sweep can be resumed.

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
`fastnn.vis_utils.plot_sweep(trials)` plots them.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation
from fastnn.output.streams import say
from fastnn.training import nonfinite

from .trial_log import FINISHED, TrialLog, load_ledger, plain
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
]

_OWN = ("params", "status", "reason", "seconds", "number")


@signatures.checked
def sweep(
    run: Callable[[dict[str, Any]], Mapping[str, Any]],
    trials: Iterable[Mapping[str, Any]],
    ledger: str | os.PathLike | None = None,
    *,
    retry_failed: bool = False,
    verbose: bool = True,
) -> list[dict[str, Any]]:
    """Run every trial that is not in the ledger yet; return the records of all of them, in the order of `trials`.

    run: function of the params of a trial that returns a dict with `val_acc`, usually `train_acc`, and other values
        that JSON can represent (NumPy numbers and arrays are converted)
    trials: dicts of params, all with the same names, as from `grid` or `random_search`; equal ones run once
    ledger: file to which each record is appended when its trial is done, see `fastnn.sweep.trial_log`; None: no file
    retry_failed: run trials again that are recorded as failed
    verbose: print a line for each trial

    A record is {"params": {...}, "status": "finished" or "failed", "reason": None or text, "train_acc": ...,
    "val_acc": ..., other results of `run`, "seconds": ..., "number": counted from 1}. A trial fails if `run` raises an
    exception, or returns a number that is not finite (recorded as None); the sweep continues with the next one. Within
    `run`, training that diverges raises FloatingPointError, as with on_nonfinite="raise". Ctrl-C stops the sweep;
    finished trials are kept.

    Raises TypeError or ValueError for trials with different names, for params or results that JSON cannot represent,
    for a result without `val_acc`, and for a file that is not a ledger with these names, which is not changed;
    BlockingIOError for a ledger that another process writes; OSError if the file cannot be written.
    """
    arguments.function("sweep", "run", run)
    retry_failed = validation.flag("sweep", "retry_failed", retry_failed)
    verbose = validation.flag("sweep", "verbose", verbose)
    arguments.path_or_none("sweep", "ledger", ledger)
    requested = _distinct(arguments.listed("sweep", "trials", trials, "dicts of params"))
    names = next((list(params) for params in requested.values()), [])
    with TrialLog(ledger, names) as records:
        pending = [key for key in requested if not _is_done(records.get(key), retry_failed)]
        if verbose and len(pending) < len(requested):
            say(
                f"{len(requested) - len(pending)} of {len(requested)} trials are in {str(ledger)!r} already", flush=True
            )
        for done, key in enumerate(pending, len(requested) - len(pending) + 1):
            earlier = records.get(key)
            number = earlier["number"] if earlier else len(records) + 1
            record = _run_one(run, requested[key], number)
            records.add(key, record)
            if verbose:
                say(f"{done}/{len(requested)}  {_outcome(record)}", flush=True)
        return [records[key] for key in requested]


@signatures.checked
def best(trials: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the finished trial with the highest `val_acc`; the first one of equals.

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
    return record is not None and (record["status"] == FINISHED or not retry_failed)


def _run_one(run: Callable, params: dict[str, Any], number: int) -> dict[str, Any]:
    """Run one trial and return its record."""
    recorded = _plain_params(params)
    reason, result = None, {"val_acc": None}
    began = time.perf_counter()
    try:
        with nonfinite.raising():
            returned = run(dict(params))
    except Exception as error:
        lines = str(error).splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}".rstrip(": ")
    seconds = time.perf_counter() - began
    if reason is None:
        not_finite: list[str] = []
        result = _checked_result(returned, not_finite)
        if not_finite:
            reason = f"{not_finite[0]} is not finite"
    return {
        "params": recorded,
        "status": "failed" if reason else FINISHED,
        "reason": reason,
        "train_acc": None,
        **result,
        "seconds": seconds,
        "number": number,
    }


def _checked_result(returned: Any, not_finite: list[str]) -> dict[str, Any]:
    """Check what `run` returned, and convert it to plain values."""
    if not isinstance(returned, Mapping) or "val_acc" not in returned:
        raise TypeError(
            f"sweep: run returned {returned!r}; expected a dict with 'val_acc'; "
            f"return {{'train_acc': ..., 'val_acc': ...}}"
        )
    result = plain("sweep", "result", returned, not_finite)
    for name in _OWN:
        if name in result:
            raise ValueError(
                f"sweep: run returned {name!r}, which the sweep records itself; expected other names; rename it"
            )
    value = result["val_acc"]
    if not not_finite and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"sweep: run returned val_acc={value!r}; expected a number; return the validation accuracy")
    return result


def _outcome(record: dict[str, Any]) -> str:
    outcome = f"failed: {record['reason']}" if record["reason"] else f"val_acc {record['val_acc']:.4f}"
    return f"{describe(record['params'])}  {outcome}  ({record['seconds']:.1f} s)"
