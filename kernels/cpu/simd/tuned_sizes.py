"""The file of `fastnn warmup --tune`: which sizes of blocks were faster than the model's on this machine.

It lies among the machine code of the kernels, as JSON:

    key      what the timings depend on: processor, caches, versions, and a digest of the kernels' sources
    rates    measured peak rates: "B/s" of a copy, "FLOP/s" in each dtype
    dtypes   for each tuned dtype: date, threads, and for each class that was tuned its size, value and gain

Its name contains a digest of the key, so that other processors and versions do not find it, and the key is compared
too. A file that cannot be used is ignored with a warning. Nothing in it can make a kernel read or write elsewhere:
sizes only limit blocks, and are checked against `size_model.LIMITS`.
"""

import functools
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numba.core.registry import cpu_target

from ...cache import code_cache, sources
from .. import processor
from .size_model import CLASSES, DTYPES, LIMITS


def overrides() -> dict[str, dict[str, int]]:
    """Return the tuned sizes by dtype and class, or an empty dict if there is no file."""
    return {
        f"{dtype} {name}": {chosen["size"]: chosen["value"]}
        for dtype, tuned in record().get("dtypes", {}).items()
        for name, chosen in tuned["classes"].items()
    }


def record() -> dict[str, Any]:
    """Return the content of the file, or an empty dict."""
    found = path()
    return {} if found is None else _read(found)


def path() -> Path | None:
    """Return the file of this machine, in the first folder that has one; None if there is none."""
    folders, _ = code_cache.folders_of(__name__, __file__)
    return next((folder / _name() for folder in folders if (folder / _name()).is_file()), None)


def write(dtypes: Mapping[str, Mapping], rates: Mapping[str, Any]) -> Path | None:
    """Write the file, and keep its other dtypes; return its path, or None if no folder can be written.

    dtypes: {"float32": {"date": ..., "threads": ..., "classes": {"dw small": {"size", "value", "gain"}}}}
    """
    folders, writable = code_cache.folders_of(__name__, __file__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged file is replaced
        old = record() or {"rates": {"FLOP/s": {}}, "dtypes": {}}
    flops = {**old["rates"]["FLOP/s"], **rates["FLOP/s"]}
    content = {
        "key": key(),
        "rates": {"B/s": rates["B/s"], "FLOP/s": flops},
        "dtypes": {**old["dtypes"], **dtypes},
    }
    for folder in folders if writable else ():
        is_read_first = folder == folders[-1] or (folder / _name()).exists()
        if is_read_first and code_cache.write(folder / _name(), json.dumps(content, indent=1).encode()):
            return folder / _name()
    return None


@functools.cache
def key() -> dict[str, Any]:
    """Return what the timings depend on."""
    features = "".join(cpu_target.target_context.codegen().magic_tuple()[1:])
    return {
        "processor": processor.name(),
        "features": hashlib.sha256(features.encode()).hexdigest()[:16],
        "caches": processor.caches(),
        "versions": list(code_cache.VERSIONS),
        "sources": sources.digest(),
    }


def _name() -> str:
    return f"tuned-{hashlib.sha256(json.dumps(key()).encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _check(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(
            f"fastnn: the tuned sizes in {os.fspath(path)!r} are ignored ({reason}), and kernels use those of the "
            f"model; run `fastnn warmup --tune` again, or delete the file",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}
    return content


def _check(content: Any) -> None:
    """Raise an error unless the content is a record of this machine with sizes in their limits."""
    if content["key"] != key():
        raise ValueError("it belongs to another processor or version")
    rates = content["rates"]["B/s"], *content["rates"]["FLOP/s"].values()
    if any(type(rate) is not float for rate in rates):
        raise ValueError("its rates are not numbers")
    for dtype, tuned in content["dtypes"].items():
        if dtype not in DTYPES or type(tuned["date"]) is not str or type(tuned["threads"]) is not int:
            raise ValueError(f"{dtype!r} is not a description of a tuned dtype")
        for name, chosen in tuned["classes"].items():
            value, gain = chosen["value"], chosen["gain"]
            if name not in CLASSES or chosen["size"] not in LIMITS:
                raise ValueError(f"{name!r} or {chosen['size']!r} is unknown")
            least, most = LIMITS[chosen["size"]]
            if type(value) is not int or not least <= value <= most or type(gain) is not float:
                raise ValueError(f"{chosen['size']} of {name} is {value!r}; expected {least} to {most}")
