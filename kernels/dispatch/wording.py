"""Parts of error messages: values on one line, and the nearest known name."""

import difflib
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any


def suggestion(value: Any, words: Iterable[str]) -> str:
    """The closing words of an error about an unknown name: `; did you mean 'njit'?`, or what to do instead."""
    near = difflib.get_close_matches(str(value), list(words), n=1)
    return f"; did you mean {near[0]!r}?" if near else "; use one of these"


def brief(value: Any) -> str:
    """A value in an error: on one line, cut where it is long."""
    whole = isinstance(value, numbers.Number) or (isinstance(value, str) and len(value) <= 200)
    return repr(value) if whole else " ".join(reprlib.repr(value).split())
