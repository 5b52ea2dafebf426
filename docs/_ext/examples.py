"""A Sphinx extension that puts the examples of docs/examples on the pages of the names that they belong to.

A file there has the name of a module and holds examples for it, as `doctest` reads them: first lines that all examples
may need, then one block below the names of what it shows.

    >>> import numpy as np
    >>> from fastnn import layers

    # relu_forward, relu_backward
    >>> out, cache = layers.relu_forward(np.array([-2.0, 3.0]))
    >>> out.tolist()
    [0.0, 3.0]

On its page an example begins with those of the first lines that it needs. tests/architecture/test_examples.py runs all.
"""

import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "examples"
INDEX = Path(__file__).parents[1] / "api" / "index.rst"


def setup(app: Any) -> dict[str, bool]:
    """Register the extension; it follows plain_docstrings."""
    texts = {}
    for module, names in public().items():
        found = examples(module)
        texts.update({id(value): (module, found[name]) for name, value in names.items() if name in found})

    def process(app: Any, what: str, _name: str, documented: Any, _options: Any, lines: list[str]) -> None:
        if what != "module" and id(documented) in texts:
            module, text = texts[id(documented)]
            app.env.note_dependency(str(FOLDER / f"{module}.txt"))
            lines += ["", ".. rubric:: Example", "", *text.splitlines(), ""]

    app.connect("autodoc-process-docstring", process, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def public() -> dict[str, dict[str, Any]]:
    """The functions and classes on the pages of the reference, by module and name."""
    pages = re.findall(r"^   (fastnn[\w.]*)$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    return {page: dict(_documented(importlib.import_module(page))) for page in pages}


def _documented(module: Any) -> Iterator[tuple[str, Any]]:
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__)
    for name in getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]:
        value = getattr(module, name)
        if inspect.isroutine(value) or inspect.isclass(value):
            yield name, value


def examples(module: str) -> dict[str, str]:
    """The examples of a module by name; those that show several names come several times."""
    path = FOLDER / f"{module}.txt"
    if not path.exists():
        return {}
    first, *blocks = re.split(r"^# ([\w, ]+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = _statements(first)
    texts = {}
    for names, block in zip(blocks[::2], blocks[1::2], strict=True):
        text = "".join(map(_shown, _needed(lines, _statements(block)))) + block.strip() + "\n"
        for name in names.split(", "):
            assert name not in texts, f"{path.name}: more than one example of {name}"
            texts[name] = text
    return texts


def _statements(text: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(text)


def _needed(first: list[doctest.Example], block: list[doctest.Example]) -> list[doctest.Example]:
    """Those of the first lines that bind what the later ones use."""
    used, needed = _names(block, ast.Load), []
    for statement in reversed(first):
        if _names([statement], ast.Store) & used:
            used |= _names([statement], ast.Load)
            needed.insert(0, statement)
    return needed


def _names(statements: Iterable[doctest.Example], context: type) -> set[str]:
    """The names that statements use (`ast.Load`) or bind (`ast.Store`); `x[0] += 1` does both."""
    names: set[str] = set()
    for node in (node for statement in statements for node in ast.walk(ast.parse(statement.source))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            names.add(node.id)
        elif context is ast.Store and isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif context is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif context is ast.Store and isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            names |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
    return names


def _shown(statement: doctest.Example) -> str:
    lines = statement.source.splitlines()
    return "".join(f"{'...' if place else '>>>'} {line}\n" for place, line in enumerate(lines))
