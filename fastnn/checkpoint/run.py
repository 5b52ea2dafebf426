"""The checkpoint of a training run, as written by `Solver.save` and read by `Solver.resume`.

Schema 2 of the tree (`fastnn.checkpoint` describes how it is stored):

    schema      2
    solver      `Solver.state()`: params, buffers, best_params, best_buffers; optim_configs, with the state of the
                update rule for each parameter; generator; order, the permutation of this epoch; iteration, epoch and
                other counters; loss_history, train_acc_history, val_acc_history
    model       description of the network (see `config`), or {"unknown": name} for a user's class
    options     the keywords of `Solver`; schedule, transform and update_rule described like the model
    data        num_train, num_val; input_shape and dtype of an image; digest, a checksum of the first and last rows;
                optionally mean_image, scale, class_names
    backend, threads, processor, versions, denormals, block_sizes    what the bits of the results depend on
    ranks       of a run with shards: numbers of ranks and shards; waiting, the part of each epoch that each waited;
                deterministic, False if gradients were added over ranks in any order
    settings    the options of `fastnn train`, in its runs only

Files of schema 1, which had no number, contain `solver` or its members only. They can be plotted, and loaded with
`Solver.load_state`; `fastnn resume` resumes those that have settings.
"""

import contextlib
import functools
import os
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import arguments, checkpoint
from fastnn.devices import is_ours
from fastnn.kernels import get_backend, to_numpy
from fastnn.kernels.dispatch import switch, validation
from fastnn.output import atomic

from . import config

SCHEMA = 2
COMPARED = ("num_val", "input_shape", "dtype", "digest")  # of data; num_train is checked with the state
PREPROCESSING = ("mean_image", "scale", "class_names")

_OPTIONS = (
    "update_rule", "lr_decay", "schedule", "num_epochs", "num_train_samples", "num_val_samples", "early_stopping",
    "checkpoint_every", "print_every", "verbose", "transform", "clip_norm", "on_nonfinite",
    "shards",
)  # fmt: skip
_STATE = {"params", "loss_history", "train_acc_history", "val_acc_history"}
_ENVIRONMENT = ("backend", "threads", "processor", "versions", "denormals", "block_sizes")
_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def tree(solver: Any) -> dict[str, Any]:
    """Everything that is needed to resume a Solver later."""
    ranks = {
        "ranks": solver.comm.size,
        "shards": solver.shards,
        "waiting": solver.waiting_history,
        "deterministic": solver.comm.deterministic,
    }
    return {
        "schema": SCHEMA,
        "solver": solver.state(),
        **description(solver),
        **environment(),
        **({"ranks": ranks} if solver.shards > 1 else {}),
    }


def description(solver: Any) -> dict[str, Any]:
    """The model, the keywords and the data of a Solver."""
    options = {name: _described(getattr(solver, name)) for name in _OPTIONS}
    name = solver.checkpoint_name
    return {
        "model": _described(solver.model, config.describe_model),
        "options": {
            **options,
            "optim_config": solver.optim_config,
            "batch_size": solver.sampler.batch_size,
            "sampling": solver.sampler.method,
            "checkpoint_name": None if name is None else os.path.basename(name),
            "callbacks": [config.called(one) for one in solver.callbacks if not is_ours(one)],
        },
        "data": about(_data(solver)),
    }


def read(function: str, path: str | os.PathLike) -> dict[str, Any]:
    """Read the tree of a file of any schema; it always has `solver` and `schema`. ValueError for other checkpoints."""
    found = checkpoint.load(path)
    if "schema" not in found:
        found = {"schema": 1, **(found if "solver" in found else {"solver": found})}
    if found["schema"] != 1 and found["schema"] != SCHEMA:
        raise ValueError(
            f"{function}: path={str(path)!r} has schema {found['schema']!r}; expected at most {SCHEMA}; it was written "
            f"by a later fastnn: update this one"
        )
    state = found.get("solver")
    if not isinstance(state, dict) or not set(state) >= _STATE:
        has = list(state if isinstance(state, dict) else found)
        raise ValueError(
            f"{function}: path={str(path)!r} is not a checkpoint of a run (it has {has}); expected one that a Solver "
            f"or `fastnn train` wrote; check the name"
        )
    return found


def resume(kind: type, path: str | os.PathLike, data: Mapping[str, Any], model: Any, changed: dict[str, Any]) -> Any:
    """Implement `Solver.resume`; kind: the class of the Solver."""
    function = f"{kind.__name__}.resume"
    path = arguments.path(function, "path", path)
    found = read(function, path)
    if "options" not in found:
        raise ValueError(
            f"{function}: path={str(path)!r} was written by an older fastnn, which did not store how model and Solver "
            f"were made; expected schema {SCHEMA}; make both again, and call solver.load_state(checkpoint.load(path))"
        )
    with _whole(function, path):
        options, unknown = _options(found["options"], changed)
        if model is None:
            model, missing = _built("model", found["model"], config.build_model)
            unknown = {**missing, **unknown}
        if options.get("checkpoint_name") is not None and "checkpoint_name" not in changed:
            options["checkpoint_name"] = _name(Path(path), options)
        if "seed" not in changed:
            options["seed"] = _generator(found["solver"]["generator"])
    if unknown:
        raise ValueError(
            f"{function}: path={str(path)!r} was saved with {', '.join(f'{k}: {v}' for k, v in unknown.items())}, "
            f"which cannot be stored in a file; expected the same objects again; pass them as in "
            f"{function}(path, data, {', '.join(f'{name}=...' for name in unknown)})"
        )
    solver = kind(model() if isinstance(model, type) else model, data, **options)
    with _whole(function, path):
        solver.load_state(found["solver"])
        solver._saved = os.path.realpath(path), solver.iteration
        waiting = found.get("ranks", {}).get("waiting", [])
        solver.waiting_history = [[float(part) for part in epoch] for epoch in waiting]
        changes = differences(found, {**environment(), "data": about(_data(solver))})
    for text in changes:
        warnings.warn(f"{function}: {text}", stacklevel=3)
    return solver


@contextlib.contextmanager
def _whole(function: str, path: str | os.PathLike) -> Iterator[None]:
    """Report errors in this block as an incomplete checkpoint."""
    try:
        yield
    except (KeyError, AttributeError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{function}: path={str(path)!r} does not describe a Solver that can be rebuilt ({error!r}); expected a "
            f"checkpoint that a Solver wrote; use {atomic.previous(Path(path))!r} or an older copy"
        ) from error


def environment() -> dict[str, Any]:
    """The environment that the bits of the results depend on."""
    return {
        "backend": get_backend(),
        "threads": _threads(),
        "processor": _processor(),
        "versions": dict(_versions()),
        "denormals": _denormals(),
        "block_sizes": _block_sizes(),
    }


def about(data: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a data set: its sizes, a checksum to recognize it by, and its preprocessing, if given."""
    X_train, X_val = data["X_train"], data["X_val"]
    digest = 0
    for rows in (X_train, data["y_train"], X_val, data["y_val"]):
        for index in (0, len(rows) - 1):
            digest = zlib.crc32(np.ascontiguousarray(to_numpy(rows[index : index + 1])).tobytes(), digest)
    found: dict[str, Any] = {
        "num_train": len(X_train),
        "num_val": len(X_val),
        "input_shape": [int(length) for length in np.shape(X_train)[1:]],
        "dtype": str(to_numpy(X_train[:1]).dtype),
        "digest": digest,
    }
    if "mean_image" in data:
        found["mean_image"], found["scale"] = (
            validation.array("Solver", "data['mean_image']", data["mean_image"]),
            float(data.get("scale", 1.0)),
        )
    if "class_names" in data:
        found["class_names"] = [str(name) for name in data["class_names"]]
    return found


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Sentences that explain why a resumed run may end with different bits."""
    changes = []
    is_sharded = saved.get("options", {}).get("shards", 1) > 1  # ranks share cores, which no bit depends on
    for name in _ENVIRONMENT:
        if name == "threads" and is_sharded:
            continue
        old, new = saved.get(name), current[name]
        if isinstance(old, dict):
            changes += [f"{key} {value} (now {new[key]})" for key, value in old.items() if new.get(key, value) != value]
        elif old is not None and new is not None and old != new:
            changes.append(f"{name.replace('_', ' ')} {old} (now {new})")
    texts = []
    if changes:
        texts.append(
            f"the run was saved with {', '.join(changes)}: it resumes, but its last bits may differ from those of an "
            f"uninterrupted run"
        )
        sizes = [str(tree.get("block_sizes")).partition("-")[0] for tree in (saved, current)]
        if sizes == ["model", "tuned"]:
            texts[0] += "; with FASTNN_TUNED=0 block sizes are those of the model again"
    if any(saved["data"].get(name) != current["data"][name] for name in COMPARED):
        texts.append(
            "the data, their order or their preprocessing differ from those that the run was saved with: it resumes, "
            "but not with the results of an uninterrupted run"
        )
    return texts


def _described(value: Any, describe: Any = config.describe) -> Any:
    try:
        return describe(value)
    except config.NotDescribed as error:
        return {"unknown": str(error)}


def _data(solver: Any) -> dict[str, Any]:
    parts = {name: getattr(solver, name) for name in ("X_train", "y_train", "X_val", "y_val")}
    return {**parts, **solver.preprocessing}


def _options(stored: dict[str, Any], changed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The keywords of the Solver, and the names and descriptions of those that have to be passed again."""
    options, unknown = dict(changed), {}
    for name, value in stored.items():
        if name in changed or (name == "checkpoint_every" and changed.get("checkpoint_name", value) is None):
            continue
        if name == "optim_config":
            options[name] = value
        elif name == "callbacks":
            unknown.update({name: ", ".join(value)} if value else {})
        else:
            options[name], missing = _built(name, value)
            unknown.update(missing)
    return options, unknown


def _built(name: str, described: Any, build: Callable = config.build) -> tuple[Any, dict[str, str]]:
    """The described object; or None, and its name and description, if it has to be passed again."""
    if isinstance(described, dict) and "unknown" in described:
        return None, {name: described["unknown"]}
    try:
        return build(described), {}
    except config.NotDescribed as error:
        return None, {name: str(error)}


def _name(path: Path, options: dict[str, Any]) -> str:
    """The checkpoint_name of a run resumed from `path`: the same file, or the series of files that it belongs to."""
    is_one_of_many = options.get("checkpoint_every") is None and not options["checkpoint_name"].endswith(".h5")
    path = atomic.target(path) if is_one_of_many else path
    name = path.name.removesuffix(".prev")
    epoch = re.fullmatch(r"(.*)_epoch_\d+\.h5", name)
    return str(path.with_name(epoch[1] if epoch and is_one_of_many else name))


def _generator(state: dict[str, Any]) -> Any:
    """A generator of the same kind as the state; None for NumPy's global one."""
    if "has_gauss" in state:
        return None
    name = validation.choice("Solver.resume", "generator", state["bit_generator"], _GENERATORS)
    return np.random.Generator(getattr(np.random, name)(0))


def _threads() -> int:
    """The number of threads of the kernels, found without importing their compiler."""
    from fastnn import environment as machine

    kernels = sys.modules.get("fastnn.kernels.cpu.threads")
    return machine.threads() if kernels is None else kernels.get_num_threads()


def _denormals() -> str:
    """Whether this thread keeps denormal numbers or flushes them to zero, which libraries may switch on."""
    return "kept" if sys.float_info.min / 2 else "flushed"


def _block_sizes() -> str | None:
    """The name of the sizes of blocks that the kernels of this process use (`fastnn info` shows them), if they do."""
    if get_backend() != switch.DEFAULT:
        return None
    from fastnn.kernels.cpu import block_sizes

    return block_sizes.identifier()


@functools.cache
def _processor() -> str:
    from fastnn import environment as machine

    return machine.cpu_name()


@functools.cache
def _versions() -> dict[str, str]:
    from fastnn import environment as machine

    return {name: version or "none" for name, version in machine.versions().items() if name != "torch"}
