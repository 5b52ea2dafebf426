"""Files beside the courses' notebooks: two pictures, a script that would download CIFAR-10, and EECS 498's modules.

A cell that names one of them finds it: it is written, and this is said, before the cell runs. A module such as knn.py,
whose time of change some cells print, imports fastnn's.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from . import table

_MODULES = {f"{name}.py": module for name, module in table.COURSES["eecs598"].others.items()}
_NAMED = re.compile(
    r"(?:[\w.-]+/)*(?:notebook_images/(?:kitten|puppy)\.jpg|get_datasets\.sh|"
    rf"""(?<=["'/])(?:{"|".join(map(re.escape, _MODULES))})(?=["']))"""
)
_GOES_TO = re.compile(r"^\s*[!%]?cd\s+([\w./-]*datasets)\b", re.MULTILINE)  # with `%cd`, and then back
_SCRIPT = 'echo "CIFAR-10 is found by fastnn: in FASTNN_DATA, or downloaded once by fastnn.data_utils.load_CIFAR10"\n'
_SIZE, _WIDE = 400, 500  # pixels; the courses' cells make the kitten square


def provide(info: Any) -> None:
    """Write the files that a cell names and that do not exist; IPython calls this before it runs a cell."""
    cell = info.raw_cell or ""
    folder = _GOES_TO.search(cell)
    for name in sorted(set(_NAMED.findall(cell))):
        path = Path(name)
        if folder and path.parent == Path() and path.suffix == ".sh":
            path = Path(folder[1]) / path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".sh":
                path.write_text(_SCRIPT)
            elif path.name in _MODULES:
                path.write_text(f"from {_MODULES[path.name]} import *  # noqa: F403\n")
            else:
                _draw(path, warm=path.stem == "kitten")
            print(f"fastnn.courses: wrote {path}, which was missing")


def _draw(path: Path, warm: bool) -> None:
    """Write a picture of a face: a disc with eyes, and triangular ears if `warm`, on a soft background."""
    from PIL import Image

    width = _WIDE if warm else _SIZE
    edge = width / _SIZE
    y, x = np.mgrid[-1 : 1 : _SIZE * 1j, -edge : edge : width * 1j]
    picture = np.empty((_SIZE, width, 3))
    picture[:] = (150, 190, 160) if warm else (150, 170, 210)
    picture += (40 * y)[:, :, None]
    ears = (
        (abs(abs(x) - 0.4) < 0.35 * (y + 0.9)) & (y < -0.2)
        if warm
        else ((abs(x) - 0.6) / 0.2) ** 2 + (y / 0.5) ** 2 < 1
    )
    parts = [
        (ears, (190, 120, 60) if warm else (90, 60, 40)),
        (x**2 + y**2 < 0.4, (230, 160, 90) if warm else (200, 170, 130)),
    ]
    parts.append(((abs(x) - 0.25) ** 2 + (y + 0.1) ** 2 < 0.008, (30, 30, 30)))
    parts.append((x**2 / 0.02 + (y - 0.2) ** 2 / 0.006 < 1, (60, 40, 40)))
    for inside, colour in parts:
        picture[inside] = colour
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
