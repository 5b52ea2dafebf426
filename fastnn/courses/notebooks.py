"""Run the courses' notebooks in a Jupyter kernel, cell by cell, and print which cells ran.

    python -m fastnn.courses.notebooks assignment2/*.ipynb
    python -m fastnn.courses.notebooks knn.ipynb --timeout 120 --json knn.json
    python -m fastnn.courses.notebooks knn.ipynb --no-extension     # with the course's own package beside it

    python -m fastnn.courses.notebooks drop.ipynb --first 'from fastnn.courses import *; install("cs231n", year=2017)'

A notebook runs in a temporary copy of its folder, so nothing beside it changes. `%load_ext fastnn.courses` is run
first, and the code of the course's own packages is left out of the copy: a package that can be imported is used
instead of fastnn. Their other files, such as pictures and data, stay. A cell that fails or takes too long does not
end the notebook. Lines that only work on Google Colab or install something are left out.

Needs nbclient, nbformat and ipykernel: `pip install "fastnn-numba[notebooks]"`.
"""

import argparse
import importlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import table

__all__ = ["Cell", "run_notebook"]

OK, FAIL, SKIPPED = "ok", "FAIL", "skipped"
EXTENSION = "%load_ext fastnn.courses"
_CODE = {".py", ".pyc", ".pyx", ".pyd", ".so", ".c"}
_COLAB = re.compile(
    r"google\.colab|drive\.mount|/content\b|drive/My|^\s*assert FOLDERNAME|os\.listdir\(GOOGLE_DRIVE|"
    r"^\s*[!%](git clone|(sudo )?(pip|apt|apt-get) |conda |wget )|^\s*[!%].*(\$FOLDERNAME|\$SYM_PATH|\$DRIVE_PATH)"
)
_SHELL = re.compile(r"^\s*(!|%(cd|cp|mkdir|mv|rm)\b)")  # left out too where a cell is about Colab
_DRIVE = re.compile(
    r"""^(\s*(?:FOLDERNAME|GOOGLE_DRIVE_PATH|\w+(?=\s*=\s*["']/content\b))\s*=\s*)[^\n]*$""", re.MULTILINE
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Cell(NamedTuple):
    """A code cell after its run.

    number counts code cells from 1; status is "ok", "FAIL" or "skipped"; note is the first line of the error, or why
    the cell or lines of it were left out; output is what it printed and its value as text.
    """

    number: int
    status: str
    seconds: float
    note: str
    output: str
    source: str


def run_notebook(
    path: str | Path,
    timeout: float = 45,
    extension: bool = True,
    folder: str | Path | None = None,
    first: str = EXTENSION,
) -> list[Cell]:
    """Run a notebook and return its code cells; pictures and files it writes are discarded.

    path: an .ipynb file of format 3 or 4
    timeout: seconds for each cell, which is then interrupted and fails
    extension: whether `first` runs before the notebook, and the courses' own packages are hidden
    folder: where it runs, unchanged, instead of a copy of the notebook's folder
    first: a cell that runs before the notebook's own, with `extension`

    Raises ImportError if nbclient, nbformat or ipykernel is missing, FileNotFoundError and ValueError for a file that
    is not a notebook, RuntimeError if `first` fails.
    """
    sources = _sources(path)
    with tempfile.TemporaryDirectory(prefix="notebook-") as temporary:
        if folder is None:
            folder = Path(temporary) / "folder"
            _copy_folder(Path(path).parent, folder, hide=extension)
        return list(_run(sources, str(folder), timeout, first if extension else ""))


def _sources(path: str | Path) -> list[str]:
    """Return the sources of the code cells of a notebook of format 3 (with worksheets) or 4."""
    nbformat = _needed("nbformat")
    try:
        notebook = nbformat.read(str(path), as_version=4)
    except (AttributeError, KeyError, ValueError, nbformat.ValidationError) as error:
        raise ValueError(
            f"run_notebook: {path} cannot be read as a notebook ({_first_line(str(error))}); expected an .ipynb file; "
            "open it in Jupyter and save it again"
        ) from error
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _copy_folder(source: Path, destination: Path, hide: bool) -> None:
    """Copy a notebook's folder; `hide` leaves out the code of packages that the courses provide. Links stay links."""
    provided: set[str] = set()
    for name, course in table.COURSES.items():
        provided.update(table.packages(name, name), course.packages)

    def left_out(folder: str, names: list[str]) -> list[str]:
        relative = Path(folder).resolve().relative_to(source.resolve())
        inside = relative.parts[:1] and relative.parts[0] in provided
        return [
            name
            for name in names
            if name in (".git", ".ipynb_checkpoints", "__pycache__")
            or (hide and inside and Path(name).suffix in _CODE)
            or (hide and not relative.parts and name.removesuffix(".py") in provided and name.endswith(".py"))
        ]

    shutil.copytree(source, destination, symlinks=True, ignore=left_out)


def _without_colab(source: str) -> tuple[str, int]:
    """Return a cell without the lines that only work on Colab, and how many these are.

    The folder on Google Drive becomes the working folder. A line becomes `pass`, so that an indented one may go.
    """
    count = 0
    about_colab = any(_COLAB.search(line) for line in source.splitlines())
    lines = []
    for line in _DRIVE.sub(r'\1"."', source).splitlines():
        if not line.lstrip().startswith("#") and (_COLAB.search(line) or (about_colab and _SHELL.match(line))):
            count += 1
            line = line[: len(line) - len(line.lstrip())] + "pass"
        lines.append(line)
    return "\n".join(lines), count


def _run(sources: Sequence[str], folder: str, timeout: float, first: str) -> Iterator[Cell]:
    nbclient, nbformat = _needed("nbclient"), _needed("nbformat")
    _needed("ipykernel")
    v4 = nbformat.v4
    client = nbclient.NotebookClient(
        v4.new_notebook(),
        timeout=timeout,
        interrupt_on_timeout=True,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
        extra_arguments=["--log-level=40"],  # errors only
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable  # this environment's, whatever kernel is registered
    with client.setup_kernel():

        def execute(source: str) -> tuple[str, str]:
            cell = v4.new_code_cell(source)
            client.nb.cells.append(cell)
            try:
                client.execute_cell(cell, len(client.nb.cells) - 1)
            except nbclient.exceptions.CellExecutionError as error:
                if error.ename in ("KeyboardInterrupt", "CellTimeoutError"):
                    return f"Timeout: took longer than {timeout:g} seconds", _text(cell)
                return _first_line(f"{error.ename}: {error.evalue}"), _text(cell)
            except nbclient.exceptions.DeadKernelError:
                return "DeadKernelError: the kernel died", _text(cell)
            return "", _text(cell)

        if first:
            error, output = execute(first)
            if error:
                raise RuntimeError(f"run_notebook: the first cell, {first!r}, failed with {error}\n{output}")
        for number, source in enumerate(sources, 1):
            reduced, count = _without_colab(source)
            note = f"Colab: {count} lines left out" if count else ""
            if all(line.strip() in ("", "pass") or line.lstrip().startswith("#") for line in reduced.splitlines()):
                yield Cell(number, SKIPPED, 0.0, note or "empty", "", source)
                continue
            began = time.perf_counter()
            error, output = execute(reduced)
            yield Cell(number, FAIL if error else OK, time.perf_counter() - began, error or note, output, source)


def _text(cell: Any) -> str:
    """Return what a cell printed, its values as text, and the traceback of its error."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(_COLOUR.sub("", "\n".join(output.traceback)))
        else:
            parts.append(output.get("data", {}).get("text/plain", "") + "\n")
    return "".join(parts)


def _first_line(text: str) -> str:
    return next((line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()), "")


def _needed(name: str) -> Any:
    """Import a package that only notebooks need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'run_notebook: {name} cannot be imported; notebooks need it; pip install "fastnn-numba[notebooks]"'
        ) from error


def _print_table(path: str, cells: Sequence[Cell]) -> None:
    """Print a line per cell, and how many ran, failed and were skipped."""
    print(path)
    for cell in cells:
        print(f"{cell.number:5}  {cell.status:7}  {cell.seconds:7.2f} s  {cell.note}"[:200].rstrip())
    counts = {status: sum(cell.status == status for cell in cells) for status in (OK, FAIL, SKIPPED)}
    print("       " + ", ".join(f"{count} {status}" for status, count in counts.items()), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks of a command line; return 1 if a cell failed."""
    parser = argparse.ArgumentParser(
        "python -m fastnn.courses.notebooks",
        description="Run the courses' notebooks, cell by cell, and print which cells ran.",
        allow_abbrev=False,
    )
    parser.add_argument("notebooks", nargs="+", metavar="FILE.ipynb")
    parser.add_argument("--timeout", type=float, default=45, help="seconds for each cell (default: %(default)g)")
    parser.add_argument("--json", metavar="FILE", help="write the cells, their outputs and errors here")
    parser.add_argument("--folder", help="run here instead of in a copy of the notebook's folder")
    parser.add_argument("--no-extension", action="store_true", help="use the courses' own packages, not fastnn")
    parser.add_argument("--first", metavar="CODE", default=EXTENSION, help="the first cell (default: the extension)")
    options = parser.parse_args(arguments)
    results = {}
    for path in options.notebooks:
        cells = run_notebook(path, options.timeout, not options.no_extension, options.folder, options.first)
        _print_table(path, cells)
        results[path] = [cell._asdict() for cell in cells]
        if options.json:
            Path(options.json).write_text(json.dumps(results, indent=1))
    return int(any(cell["status"] == FAIL for cells in results.values() for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
