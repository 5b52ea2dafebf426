"""Notebooks of a few cells, written to a folder and run in a kernel."""

import json

from fastnn.courses import notebooks


def write_notebook(folder, *cells, version=4):
    """Write a notebook of code cells, in format 3 (with worksheets) or 4; return its path."""
    if version == 4:
        made = [
            {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
            for cell in cells
        ]
        content = {"cells": made, "nbformat": 4, "nbformat_minor": 4}
    else:
        made = [
            {
                "cell_type": "code",
                "input": cell,
                "metadata": {},
                "outputs": [],
                "language": "python",
                "collapsed": False,
            }
            for cell in cells
        ]
        content = {"worksheets": [{"cells": made, "metadata": {}}], "nbformat": 3, "nbformat_minor": 0}
    path = folder / "notebook.ipynb"
    path.write_text(json.dumps({"metadata": {}, **content}))
    return path


def outputs_of(folder, *cells, first=notebooks.EXTENSION):
    """Run cells in one kernel, with fastnn's course packages; return what each printed.

    A cell that fails is an error.
    """
    done = notebooks.run_notebook(write_notebook(folder, *cells), timeout=300, first=first)
    failed = [f"cell {cell.number}: {cell.note}" for cell in done if cell.status != notebooks.OK]
    assert not failed, "\n".join(failed)
    assert len(done) == len(cells)
    return [cell.output for cell in done]
