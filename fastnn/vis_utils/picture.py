"""The Figure that every picture is: the only module here that imports matplotlib as soon as it is imported itself.

A picture depends neither on the backend that is configured, for a window or a notebook, nor on the user's matplotlibrc.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

try:
    import matplotlib
except ValueError:  # MPLBACKEND names a backend that is not installed here; none is needed
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        del sys.modules[name]  # half imported
    configured = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if configured is not None:
            os.environ["MPLBACKEND"] = configured
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg


@contextlib.contextmanager
def default_style() -> Iterator[None]:
    """Inside the block matplotlib's own settings hold: its fonts, no LaTeX, no style sheet."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


class Figure(matplotlib.figure.Figure):
    """A Figure that a notebook shows also where pyplot, which teaches IPython to draw Figures, was never imported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        FigureCanvasAgg(self)

    def savefig(self, fname: Any, **options: Any) -> None:
        with default_style():
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=100)
        return buffer.getvalue()
