"""The site in docs/: every public name has an entry, and the pages on how to begin run."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from argument_errors import walk

from fastnn import nn

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
WITHOUT_CALLS = ("autograd", "courses", "nn.functional", "testing")  # modules that `walk` leaves to tests of their own


def extension(name):
    """Import an extension of Sphinx from docs/_ext."""
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site without the notebooks, with warnings as errors."""
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    out = tmp_path_factory.mktemp("docs") / "site"
    options = ["-q", "-W", "--keep-going", "-D", "nb_execution_mode=off"]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_public_name_has_an_entry(site):
    from sphinx.util.inventory import InventoryFile

    data = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    entries = {name for kind, names in data.items() if kind.startswith("py:") for name in names}
    wanted = {
        *walk.public(),
        *(f"{name}.{one}" for name in WITHOUT_CALLS for one in importlib.import_module(f"fastnn.{name}").__all__),
    }
    said_by_the_class = {name for name in wanted if name.endswith(".__call__") and not walk.resolved(name).__doc__}
    missing = {name for name in wanted - said_by_the_class if not _spellings(name) & entries}
    assert len(wanted) > 300 and not missing


def _spellings(name):
    """The name, and for a method those of the classes that it may come from."""
    owner, _, method = name.rpartition(".")
    kinds = walk.resolved(owner).__mro__ if owner and _is_class(owner) else ()
    module = owner.rpartition(".")[0]
    return {f"fastnn.{name}", *(f"fastnn.{module}.{kind.__name__}.{method}" for kind in kinds)}


def _is_class(name):
    try:
        return inspect.isclass(walk.resolved(name))
    except AttributeError:
        return False


def test_examples_are_on_the_pages(site):
    pages = site / "api" / "generated"
    for path in EXAMPLES.glob("*.txt"):
        shown = re.findall(r"^# ([\w, ]+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        page = (pages / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count('class="rubric">Example<') >= sum(len(names.split(", ")) for names in shown) > 0, path.name


def test_internal_links_lead_somewhere(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page.resolve(): set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    for page, text in pages.items():
        for link in re.findall(r'<a[^>]* href="([^":]+)"', text):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page.resolve()
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or target not in anchors or anchor in anchors[target], f"{page.name}: {link}"


# ---- NumPy's and PyTorch's documentation ----


@pytest.mark.parametrize("package", ["numpy", "torch"])
def test_names_of_an_inventory_exist(package):
    pytest.importorskip(package)
    for name, kind in extension("namesakes").names(package).items():
        value = pkgutil.resolve_name(name)
        assert (kind == "mod") == inspect.ismodule(value), name
        # annotations refer to classes, also to the union ArrayLike
        assert kind != "class" or inspect.isclass(value) or name == "numpy.typing.ArrayLike", name


def test_names_of_numpy_and_torch_are_links(site):
    """All of them that a page refers to, and each name of an inventory at least once."""
    linked, unlinked = set(), set()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        linked |= set(re.findall(r'<a [^>]*href="https://(?:numpy|pytorch)\.org/[^"#]+#(?:module-)?([^"]+)"', text))
        texts = re.findall(
            r'(<a [^>]*>)?<code class="xref py [^>]*><span class="pre">((?:np|numpy|torch)\.[^<]+)', text
        )
        unlinked |= {name for link, name in texts if not link}
    assert unlinked <= {"numpy.single", "numpy.double", "numpy.long", "numpy.intp"}  # in NumPy's own docstrings
    names = {name for package in ("numpy", "torch") for name in extension("namesakes").names(package)}
    assert linked == names and len(names) > 100


def test_layers_link_their_namesakes_in_torch(site):
    torch = pytest.importorskip("torch")
    page = (site / "api" / "generated" / "fastnn.nn.html").read_text(encoding="utf-8")
    namesakes = [name for name in nn.__all__ if inspect.isclass(getattr(torch.nn, name, None))]
    assert len(namesakes) > 20
    for name in namesakes:
        assert re.search(rf'href="[^"]+#torch\.nn\.(parameter\.)?{name}"', page), name


def test_signatures_are_short():
    signatures = extension("signatures")
    text = f"(x: {signatures.ARRAY_LIKE}, y: {signatures.ARRAY_LIKE} | None = None, z: ~typing.Any = 1, "
    text += "u: dict[str, ~typing.Any], v: ~typing.Any | None, *more: ~typing.Any)"
    assert signatures.short(text) == (
        "(x: ~numpy.typing.ArrayLike, y: ~numpy.typing.ArrayLike | None = None, z=1, "
        "u: dict[str, ~typing.Any], v: ~typing.Any | None, *more)"
    )


# ---- pictures, and pages that run ----


def test_pictures_have_alternative_texts(site):
    for page in site.rglob("*.html"):
        for picture in re.findall(r"<img[^>]*>", page.read_text(encoding="utf-8")):
            alternative = re.search(r'alt="([^"]*)"', picture)
            assert alternative and len(alternative[1].split()) > 3, f"{page.name}: {picture}"


def test_every_picture_of_a_tutorial_has_an_alternative_text():
    for page in (DOCS / "tutorials").glob("*.md"):
        for cell in re.findall(r"```\{code-cell\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            draws = "plt.show()" in cell or re.search(r"^vis_utils\.(plot|show)_", cell, re.MULTILINE) is not None
            assert draws == ("alt: " in cell), cell


def test_the_quick_start_runs(monkeypatch):
    from fastnn import data_utils

    get_shapes_data = data_utils.get_shapes_data
    monkeypatch.setattr(data_utils, "get_shapes_data", lambda: get_shapes_data(200, 50, 50))
    names: dict = {}
    np.random.seed(0)  # some blocks draw from the global state
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "quickstart.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, "quickstart.md", "exec"), names)
    assert names["loss"].item() < 3
    assert names["solver"].iteration in (4, 6)  # of 6, unless it stops early


def test_docstrings_become_sections():
    """The extension that renders docstrings, on one with everything in it."""
    plain_docstrings = extension("plain_docstrings")
    docstring = """Scale x by *one* number.

        scale(x, 2)

    x (N, D): an array, `np.ndarray`,
        that stays as it is
    factor, offset: numbers_
    Source: a book.
    Returns an array (N, D).
    Raises ValueError if x has
    no rows.

    out = factor * x
    """
    assert plain_docstrings.rst(docstring, ("x", "factor")) == [
        r"Scale x by \*one\* number.", "",
        ".. code-block:: python", "", "    scale(x, 2)", "",
        ":Parameters:",
        "    ``x`` (N, D)", r"        an array, \ :py:obj:`np.ndarray <numpy.ndarray>`\ , that stays as it is", "",
        "    ``factor``, ``offset``", r"        numbers\_", "",
        ":References:", "    a book.", "",
        ":Returns:", "    an array (N, D).", "",
        ":Raises:", "    ValueError if x has no rows.", "",
        ".. code-block:: none", "", "    out = factor * x", "", "",
    ]  # fmt: skip
