"""The Figure that every picture is: the only module here that imports matplotlib as soon as it is imported itself."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """A Figure that a notebook shows also where pyplot, which teaches IPython to draw Figures, was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=100)
        return buffer.getvalue()
