"""A Sphinx extension that keeps signatures short: what NumPy takes for an array is ArrayLike, and Any is left out."""

import re
from typing import Any

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")  # a union of a line and a half


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-signature", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(
    _app: Any, _what: str, _name: str, _documented: Any, _options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    return signature and short(signature), None if result == "~typing.Any" else result and short(result)


def short(signature: str) -> str:
    """The signature with NumPy's name for its union, and without Any where it is all that is said of a parameter."""
    signature = signature.replace(ARRAY_LIKE, "~numpy.typing.ArrayLike")
    return re.sub(r": ~typing\.Any(?: (=) )?(?=[^ |\]])", lambda match: match[1] or "", signature)
