"""Parts of error messages: values on one line, suggestions of the nearest known name."""

import difflib
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any


def suggestion(value: Any, words: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: `; did you mean 'njit'?` or `; use one of these`."""
    near = difflib.get_close_matches(str(value), list(words), n=1)
    return f"; did you mean {near[0]!r}?" if near else "; use one of these"


def brief(value: Any) -> str:
    """Return the repr of a value on one line, shortened if it is long."""
    whole = isinstance(value, numbers.Number) or (isinstance(value, str) and len(value) <= 200)
    return repr(value) if whole else " ".join(reprlib.repr(value).split())
