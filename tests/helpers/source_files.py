"""The source files of the package, and the modules that they import."""

import ast
import functools
from pathlib import Path

import fastnn
from fastnn import kernels

PACKAGE, KERNELS = Path(fastnn.__file__).parent, Path(kernels.__file__).parent
SOURCES = [
    (("fastnn", *path.relative_to(PACKAGE).with_suffix("").parts), path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if KERNELS not in path.parents
] + [
    (("fastnn", "kernels", *path.relative_to(KERNELS).with_suffix("").parts), path)
    for path in sorted(KERNELS.rglob("*.py"))
]


@functools.cache
def nodes(path):
    """Return the syntax tree of a file, and all of its nodes, parsed once for all rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree, list(ast.walk(tree))


def last_name(function):
    """Return the last name of what is called: "jit" of `numba.jit`."""
    name = getattr(function, "attr", getattr(function, "id", None))
    return ast.unparse(function).split(".")[-1] if name is None else name


@functools.cache
def imported(module, path):
    """Return every module or name that a file imports, also inside functions, as tuples of absolute names."""
    return list(_imported(module, path))


def _imported(module, path):
    package = module if path.name == "__init__.py" else module[:-1]
    package = tuple(part for part in package if part != "__init__")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield tuple(name.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            start += tuple(node.module.split(".")) if node.module else ()
            for name in node.names:
                yield (*start, name.name)
        elif isinstance(node, ast.Call) and last_name(node.func).endswith(("import_module", "__import__")):
            yield tuple(ast.unparse(node.args[0]).strip("'.").split("."))
