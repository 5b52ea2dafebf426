"""The Figure class of the plots, independent of the user's matplotlib backend and matplotlibrc.

This is the only module of the folder that imports matplotlib at import time.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

try:
    import matplotlib
except ValueError:  # MPLBACKEND names a backend that is not installed; it is not needed
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        del sys.modules[name]  # partially imported
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
    """Use matplotlib's default settings during the block: no user fonts, LaTeX or style sheets."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


class Figure(matplotlib.figure.Figure):
    """A Figure that notebooks can show even if pyplot, which registers Figures with IPython, was not imported."""

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
