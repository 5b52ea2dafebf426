"""The command `fastnn sweep`."""

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastnn import get_backend, use_backend
from fastnn.kernels.dispatch import validation
from fastnn.kernels.dispatch.switch import VARIABLE
from fastnn.output import atomic

from .common import add_common, add_settings, check_writable, command, drawn, numbered, prepare, say_to, typed
from .models import MODELS, Model
from .parser import READERS, positive
from .settings import OPTIONS, SWEEP_DEFAULTS, Settings

LEDGER, PICTURE, RECORD = "ledger.jsonl", "sweep.png", "sweep.json"

_EXAMPLES = """examples:
  fastnn sweep                                              20 trials on generated images, about a minute
  fastnn sweep --learning-rate 1e-4 1e-3 1e-2 --reg 0 1e-3 --epochs 1
  fastnn sweep --random 20 --learning-rate 1e-4:1e-2 --reg 1e-5:1e-1
  fastnn sweep --random 20 --hidden-dim 50:500 --update-rule adam nesterov --out runs/widths
  fastnn sweep --workers 4                                  four trials at a time
  mpiexec -n 5 python -m mpi4py.futures -m fastnn sweep --workers mpi
  fastnn sweep --workers tcp://scheduler:8786               on a Dask cluster
Lists of values are tried in all combinations. With --random, LOW:HIGH draws log-uniform numbers, and from a list one
value is drawn. Each trial is recorded when it is done: after an interruption the same command resumes the sweep, and
with other values it adds trials to the table."""

_SWEPT = [name for name in OPTIONS if name not in ("epochs", "num_train")]
_ALWAYS = ("learning_rate", "reg")  # the axes of the picture


def add_parser(commands: Any) -> None:
    parser = command(commands, "sweep", "train with many learning rates, penalties and sizes", _EXAMPLES, run_sweep)
    add = parser.add_argument
    add("--random", type=int, metavar="N", help="draw N trials at random instead of trying all combinations")
    add("--retry-failed", action="store_true", help="run failed trials again")
    add("--workers", type=_workers, metavar="W", help="N processes, mpi, or the address of a Dask scheduler")
    add("--out", metavar="DIR", help="folder for the ledger and the picture; default runs/sweep-DATA-MODEL")
    own = {name: {**model.defaults, **_tried(model)} for name, model in MODELS.items()}
    usual = _tried(next(iter(MODELS.values())))
    add_settings(
        parser, {data: {**table, **usual} for data, table in SWEEP_DEFAULTS.items()}, _SWEPT, _value_or_range, own
    )
    add_common(parser, f"default: {VARIABLE}")


def run_sweep(arguments: argparse.Namespace) -> int:
    """Run all trials that are not done yet, and report all; return the exit code, 1 if none finished."""
    from concurrent.futures import BrokenExecutor

    from fastnn import sweep, vis_utils

    choices = _choices(arguments)
    settings = _settings(arguments, choices)
    trials = _trials(arguments, settings, choices)
    fixed = {name: value for name, value in dataclasses.asdict(settings).items() if name not in choices}
    folder = _folder(arguments, settings, {"over": list(choices), "settings": {**fixed, "data_root": None}})
    ledger = folder / LEDGER
    log = sys.stderr if arguments.json else sys.stdout
    say = say_to(log)

    with use_backend(arguments.backend) if arguments.backend else contextlib.nullcontext():
        backend = get_backend()
        run = _Trial(settings, backend)
        data = run.data
        say("data", f"{settings.data}: {len(data['X_train']):,} training, {len(data['X_val']):,} validation images")
        say("backend", f"{backend} (select with {VARIABLE} or --backend)")
        say("trials", f"{len(trials)} of {settings.epochs} epoch{'s' * (settings.epochs != 1)}, {settings.model}")
        first = dataclasses.replace(settings, **trials[0])
        prepare(first.build_model(0, data), first.solver_arguments(), data, log)
        workers = contextlib.nullcontext() if arguments.workers is None else sweep.workers(arguments.workers)
        try:
            with contextlib.redirect_stdout(log), workers as executor:
                sweep.sweep(run, trials, ledger, executor, seed=settings.seed, retry_failed=arguments.retry_failed)
        except (KeyboardInterrupt, BrokenExecutor) as error:
            records = sweep.load_ledger(ledger) if ledger.exists() else []
            ended = [record for record in records if record["status"] != "not run"]
            print(file=log)
            say("interrupted", f"after {len(ended)} trials")
            say("saved", str(ledger))
            say("resume with", _resume_command(arguments, folder))
            if isinstance(error, KeyboardInterrupt):
                return 130
            print(f"fastnn sweep: {error}", file=sys.stderr)
            return 1
    records = sorted(sweep.load_ledger(ledger), key=lambda record: -(record["val_acc"] or 0.0))
    records.sort(key=lambda record: record["status"] != "finished")
    print(f"\n{_table(records, list(choices))}\n", file=log)
    picture = drawn("sweep", folder / PICTURE, lambda: vis_utils.plot_sweep(records, folder / PICTURE))
    say("ledger", str(ledger))
    if picture is not None:
        say("picture", picture)
    best = records[0] if records[0]["status"] == "finished" else None
    if best:
        say("best", f"validation accuracy {best['val_acc']:.3f} with {sweep.describe(best['params'])}")
    if arguments.json:
        paths = {"folder": str(folder), "ledger": str(ledger), "picture": picture}
        result = {"best": best, "trials": records, **paths, "backend": backend, "settings": fixed}
        print(json.dumps(result, indent=2))
    if best is None:
        print(f"fastnn sweep: none of {len(records)} trials finished; {records[0]['reason']}", file=sys.stderr)
    return 0 if best else 1


class _Trial:
    """What a trial does; the data are loaded when it is made, also in a worker, where its copy is made once."""

    def __init__(self, settings: Settings, backend: str) -> None:
        self.settings, self.backend = settings, backend
        self.data = settings.load_data()

    def __reduce__(self) -> tuple:
        return _Trial, (self.settings, self.backend)

    def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        """Run one trial; the accuracies are those of the parameters with the best validation accuracy."""
        solver = dataclasses.replace(self.settings, **params).build_solver(self.data)
        solver.train()
        best = solver.val_acc_history.index(solver.best_val_acc)
        return {
            "train_acc": solver.train_acc_history[best],
            "val_acc": solver.best_val_acc,
            "loss": solver.loss_history[-1],
            "steps": solver.iteration,
            "backend": self.backend,
        }


def _workers(text: str) -> int | str:
    return text if text == "mpi" or "://" in text else positive(text)


def _value_or_range(kind: Callable) -> Callable:
    number = READERS[kind]

    def read(text: str) -> Any:
        low, colon, high = text.partition(":")
        return (number(low), number(high)) if colon else number(text)

    return read


def _tried(model: Model) -> dict[str, str]:
    """Return the values that are tried with a model by default, for --help."""
    texts = {}
    for name in _ALWAYS:
        low, high = model.ranges[name][0]
        texts[name] = f"{' '.join(f'{value:g}' for value in model.grid[name])}, with --random {low:g}:{high:g}"
    return texts


def _choices(arguments: argparse.Namespace) -> dict[str, list]:
    """The values and ranges of the swept options, by name."""
    choices, model = {}, MODELS[arguments.model]
    for name in _SWEPT:
        values = getattr(arguments, name)
        if values is None and name in _ALWAYS:
            values = (model.grid if arguments.random is None else model.ranges)[name]
        if values is None:
            continue
        option, is_range = "--" + name.replace("_", "-"), [isinstance(value, tuple) for value in values]
        if any(is_range) and (arguments.random is None or len(values) > 1):
            raise ValueError(
                f"sweep: {option} has a range with other values, or without --random; expected values, or with "
                f"--random one range LOW:HIGH; add --random 20, or list values"
            )
        for value in values[0] if any(is_range) else values:
            _check(name, value)
        if len(values) > 1 or any(is_range) or name in _ALWAYS:
            choices[name] = values
    return choices


def _check(name: str, value: Any) -> None:
    """Raise an error for a value that no trial could run with, before the first trial."""
    if OPTIONS[name][0] is int:
        validation.integer("sweep", name, value, minimum=1)
    elif name == "learning_rate":
        validation.number("sweep", name, value, above=0)
    elif OPTIONS[name][0] is float:
        validation.number("sweep", name, value, minimum=0)


def _settings(arguments: argparse.Namespace, choices: dict[str, list]) -> Settings:
    """The settings that all trials share, with the first values of the swept options."""
    first: dict[str, Any] = {}
    for name in _SWEPT:
        values = choices.get(name) or getattr(arguments, name) or [None]
        first[name] = values[0][0] if isinstance(values[0], tuple) else values[0]
    settings = Settings.from_arguments(argparse.Namespace(**{**vars(arguments), **first}), SWEEP_DEFAULTS)
    validation.integer("sweep", "epochs", settings.epochs, minimum=1)
    validation.integer("sweep", "num_train", settings.num_train, minimum=1)
    return settings


def _trials(arguments: argparse.Namespace, settings: Settings, choices: dict[str, list]) -> list[dict[str, Any]]:
    from fastnn import sweep

    if arguments.random is None:
        return sweep.grid(**choices)
    distributions: dict[str, Any] = dict(choices)
    for name, values in choices.items():
        if isinstance(values[0], tuple):
            low, high = values[0]
            is_whole = OPTIONS[name][0] is int
            distributions[name] = sweep.integers(low, high, log=True) if is_whole else sweep.log_uniform(low, high)
    return sweep.random_search(arguments.random, settings.seed, **distributions)


def _folder(arguments: argparse.Namespace, settings: Settings, record: dict[str, Any]) -> Path:
    """The folder of an equal sweep, or a new one with a record of the shared settings."""
    if arguments.out is None:
        folders = numbered(Path("runs", f"sweep-{settings.data}-{settings.model}"))
        folder = next(one for one in folders if _recorded(one) in (None, record))
    else:
        folder = Path(arguments.out)
    check_writable("sweep", folder)
    found = _recorded(folder)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    elif found != record:
        raise ValueError(
            f"sweep: out={str(folder)!r} contains another sweep: {_difference(found, record)}; expected one over the "
            f"same names with the same settings; choose another --out"
        )
    return folder


def _recorded(folder: Path) -> Any:
    """The record of the sweep in a folder; None if there is none."""
    path = folder / RECORD
    if path.is_file():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return "a file that is not readable"
    return "a ledger without " + RECORD if (folder / LEDGER).exists() else None


def _difference(found: Any, record: dict[str, Any]) -> str:
    if not isinstance(found, dict) or found.keys() != record.keys():
        return str(found)
    if found["over"] != record["over"]:
        return f"over {found['over']}, not {record['over']}"
    old, new = found["settings"], record["settings"]
    different = [name for name in new if old.get(name) != new[name]]
    return ", ".join(f"{name}={old.get(name)!r}, not {new[name]!r}" for name in different)


def _resume_command(arguments: argparse.Namespace, folder: Path) -> str:
    """The command that resumes this sweep."""
    words = ["sweep", "--out", str(folder)]
    for name, value in vars(arguments).items():
        if name in ("command", "run", "out", "json") or value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        for one in [] if value is True else value if isinstance(value, list) else [value]:
            words.append(":".join(map(str, one)) if isinstance(one, tuple) else str(one))
    if arguments.workers == "mpi":
        from mpi4py import MPI

        ranks = str(MPI.COMM_WORLD.Get_size())
        return shlex.join(["mpiexec", "-n", ranks, "python", "-m", "mpi4py.futures", "-m", "fastnn", *words])
    return typed(*words)


def _table(records: list[dict[str, Any]], names: list[str]) -> str:
    """Format records as aligned columns."""
    heads = ["trial", *names, "train acc", "val acc", "seconds", ""]
    rows = [heads]
    for record in records:
        values = [record["params"][name] for name in names]
        params = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
        accuracies = ["-" if record[name] is None else f"{record[name]:.3f}" for name in ("train_acc", "val_acc")]
        seconds = f"{record['seconds']:.1f}"
        rows.append([str(record["number"]), *params, *accuracies, seconds, (record["reason"] or "").split(";")[0]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([*(f"{cell:>{width}}" for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
