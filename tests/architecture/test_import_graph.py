"""Imports run one way: there are no import cycles, and the root of the package holds what users import."""

from pathlib import Path

import pytest
from source_files import PACKAGE, SOURCES, imported

ROOT = {  # what users import
    "augment", "autograd", "checkpoint", "classifiers", "courses", "data_utils", "fast_layers", "features",
    "gradient_check", "kernels", "layer_utils", "layers", "nn", "optim", "schedules", "solver", "sweep", "testing",
    "vis_utils",
}  # fmt: skip
ROOMS = {"benchmarking", "cli", "distributed", "output", "training"}
GROUND = {"arguments", "devices", "environment", "fixed_backend", "rng"}  # modules that many folders need


def graph(sources):
    """Return the modules that each module imports, also inside functions: {module: {module, ...}}."""
    files = {tuple(part for part in module if part != "__init__"): (module, path) for module, path in sources}
    edges = {}
    for name, (module, path) in files.items():
        found = set()
        for parts in imported(module, path):
            while parts and parts not in files:
                parts = parts[:-1]
            if parts and parts != name:
                found.add(parts)
        edges[name] = found
    return edges


def circles(edges):
    """Return the strongly connected components of more than one module (Tarjan's algorithm)."""
    numbers, lowest, stack, found = {}, {}, [], []

    def visit(module):
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for other in edges.get(module, ()):
            if other not in numbers:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], numbers[other])
        if lowest[module] == numbers[module]:
            group = stack[stack.index(module) :]
            del stack[len(stack) - len(group) :]
            if len(group) > 1:
                found.append(sorted(".".join(one) for one in group))

    for module in edges:
        if module not in numbers:
            visit(module)
    return found


def test_no_file_imports_in_a_circle():
    assert circles(graph(SOURCES)) == []


@pytest.mark.parametrize(
    "back", ["from . import a", "def f():\n    from fastnn.fake.a import g", "import fastnn.fake.a"]
)
def test_a_circle_is_found(tmp_path, back):
    texts = {"a": "from .b import f", "b": "from . import c", "c": back, "d": "from . import a"}
    sources = [(("fastnn", "fake", name), tmp_path / f"{name}.py") for name in texts]
    for (_, path), text in zip(sources, texts.values(), strict=True):
        path.write_text(text)
    assert circles(graph(sources)) == [["fastnn.fake.a", "fastnn.fake.b", "fastnn.fake.c"]]


def test_the_root_holds_what_users_import():
    paths = [path for path in Path(PACKAGE).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = {path.stem for path in paths} - {"__init__", "__main__"}
    assert names | {"kernels"} == ROOT | ROOMS | GROUND
    assert len(GROUND) <= 6


ORDER = [
    {"autograd"},
    {"data_utils"},
    {"layers", "layer_utils", "fast_layers", "nn"},
    {"training"},
    {"solver"},
    {"benchmarking", "cli"},
]


@pytest.mark.parametrize("place", range(len(ORDER)))
def test_imports_run_from_data_to_tools(place):
    later = set().union(*ORDER[place + 1 :])
    for module, others in graph(SOURCES).items():
        if len(module) > 1 and module[1] in ORDER[place]:
            assert not {other[1] for other in others if len(other) > 1} & later, ".".join(module)
