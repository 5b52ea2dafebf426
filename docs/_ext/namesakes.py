"""A Sphinx extension that links functions and classes to PyTorch's documentation of their namesakes, as "See also".

Namesakes are the names of docs/_inventories/torch.inv, which holds the addresses of those that fastnn's pages refer to,
as numpy.inv does for NumPy: text in the first format of Sphinx's inventories, so that a build needs no network.
"""

from pathlib import Path
from typing import Any

INVENTORIES = Path(__file__).parents[1] / "_inventories"
MODULES = {  # where PyTorch has what a module of fastnn has
    "fastnn.autograd": ("torch", "torch.autograd", "torch.nn.functional"),
    "fastnn.data_utils": ("torch.utils.data",),
    "fastnn.nn": ("torch.nn", "torch.nn.parameter"),
    "fastnn.nn.functional": ("torch.nn.functional", "torch"),
    "fastnn.nn.init": ("torch.nn.init",),
    "fastnn.optim": ("torch.optim",),
}


def setup(app: Any) -> dict[str, bool]:
    """Register the extension; it follows plain_docstrings."""
    torch = set(names("torch"))

    def process(_app: Any, _what: str, name: str, _documented: Any, _options: Any, lines: list[str]) -> None:
        module, _, own = name.rpartition(".")
        candidates = [f"{place}.{spelling}" for place in MODULES.get(module, ()) for spelling in (own, f"{own}_")]
        if found := next((candidate for candidate in candidates if candidate in torch), None):
            lines += ["", ":See also:", f"    :py:obj:`{found}`", ""]

    app.connect("autodoc-process-docstring", process, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def names(package: str) -> dict[str, str]:
    """The names in a package's inventory, each with its kind."""
    lines = (INVENTORIES / f"{package}.inv").read_text(encoding="utf-8").splitlines()
    return {name: kind for name, kind, _ in map(str.split, filter(lambda line: line[0] != "#", lines))}
