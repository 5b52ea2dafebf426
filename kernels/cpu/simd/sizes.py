"""The table of the sizes of blocks that plans read: those of `size_model`, or of `tuned_sizes` where there are any."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import tuned_sizes
from .size_model import CLASSES, DTYPES, Sizes, convolution_class, model, product_class

VARIABLE = "FASTNN_TUNED"  # 0: the sizes of the model

Table = Mapping[str, Sizes]  # by dtype and class, as in "float32 dw small"


def of_product(rows: int, columns: int, count: int, a_turned: bool, b_turned: bool, dtype: np.dtype) -> Sizes:
    """Return the sizes for a product of (rows, count) by (count, columns)."""
    return table()[product_class(rows, columns, count, a_turned, b_turned, dtype)]


def of_convolution(terms: int, dtype: np.dtype) -> Sizes:
    """Return the sizes for a convolution whose outputs are sums of `terms` terms."""
    return table()[convolution_class(terms, dtype)]


def block_of(shape: Any, dtype: np.dtype) -> int:
    """Return the elements of the planes of a task of a convolution with these C, KH and KW."""
    return of_convolution(shape.C * shape.KH * shape.KW, dtype).block // dtype.itemsize


def table() -> Table:
    """Return the sizes of all classes, which are read once in a process."""
    global _table
    if _table is None:
        _table = with_overrides(tuned())
    return _table


def with_overrides(overrides: Mapping[str, Mapping[str, int]]) -> dict[str, Sizes]:
    """Return the table of the model with some sizes replaced: {"float32 dw small": {"depth": 512}}."""
    names = (f"{dtype} {name}" for dtype in DTYPES for name in CLASSES)
    return {name: model()._replace(**overrides.get(name, {})) for name in names}


def tuned() -> Mapping[str, Mapping[str, int]]:
    """Return the tuned sizes of this machine, by class; empty without a file, or with FASTNN_TUNED=0."""
    return tuned_sizes.overrides() if is_used() else {}


def is_used() -> bool:
    """Return whether tuned sizes are used."""
    return os.environ.get(VARIABLE) != "0"


def identifier() -> str:
    """Return a name of the table: runs with the same name compute the same bits, as far as sizes matter."""
    found = {name: tuple(sizes) for name, sizes in table().items()}
    is_model = all(sizes == tuple(model()) for sizes in found.values())
    digest = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:8]
    return f"{'model' if is_model else 'tuned'}-{digest}"


@contextlib.contextmanager
def use(new: Table | None) -> Iterator[None]:
    """Replace the table inside a `with` block, for the whole process; None: read it again. Plans are made anew."""
    global _table
    before, _table = _table, new
    forget_plans()
    try:
        yield
    finally:
        _table = before
        forget_plans()


def cached_plans(maxsize: int) -> Callable[[Callable], Any]:
    """Decorate a function of shapes whose results depend on the table: an `lru_cache` that `use` empties."""

    def decorate(function: Callable) -> Any:
        cached = functools.lru_cache(maxsize=maxsize)(function)
        _caches.append(cached)
        return cached

    return decorate


def forget_plans() -> None:
    """Empty the caches of all plans."""
    for cached in _caches:
        cached.cache_clear()


_caches: list[Any] = []
_table: Table | None = None
