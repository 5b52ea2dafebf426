"""How Sphinx builds the site: `sphinx-build -W docs site`."""

import importlib
import inspect
import os
import re
import sys
from pathlib import Path

import fastnn

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("FASTNN_NUM_THREADS", "2")  # tutorials show figures of two threads

project = "fastnn"
author = "the authors of fastnn"
copyright = "the authors of fastnn; MIT license"
version = release = fastnn.__version__

extensions = [
    "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.intersphinx", "myst_nb",
    "plain_docstrings", "signatures", "namesakes", "examples",
]  # fmt: skip
exclude_patterns = ["_ext", "_inventories", "_templates", "examples", "jupyter_execute"]
templates_path = ["_templates"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 120
autodoc_inherit_docstrings = False  # a method without one does what its base says, and is listed there
autodoc_preserve_defaults = True
autosummary_ignore_module_all = False
autosummary_imported_members = True

intersphinx_mapping = {  # with inventories of our own: the network is not needed
    "numpy": ("https://numpy.org/doc/stable/", "_inventories/numpy.inv"),
    "torch": ("https://pytorch.org/docs/stable/", "_inventories/torch.inv"),
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

html_theme = "furo"
html_title = f"fastnn {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_domain_indices = False


def _show_what_users_see() -> None:
    """Let autodoc find names that modules import lazily, and methods that public classes have from internal bases."""
    pages = re.findall(r"^   (fastnn[\w.]*)$", (Path(__file__).parent / "api" / "index.rst").read_text(), re.MULTILINE)
    modules = [importlib.import_module(page) for page in pages]
    public = {id(getattr(module, name)) for module in modules for name in getattr(module, "__all__", ())}
    for module in modules:
        for name in getattr(module, "__all__", ()):
            setattr(module, name, value := getattr(module, name))
            if not inspect.isclass(value) or issubclass(value, (tuple, Exception)):
                continue
            for owner in value.__mro__[1:-1]:
                if id(owner) in public:
                    break
                for method, function in vars(owner).items():
                    is_public = not method.startswith("_") or method == "__call__"
                    is_method = inspect.isfunction(function) or isinstance(function, (classmethod, staticmethod))
                    if is_method and is_public and method not in vars(value):
                        setattr(value, method, function)


_show_what_users_see()
