"""Docstrings of public names, in numpydoc's form, pass its validation."""

import functools
import sys
from pathlib import Path

import pytest
from argument_errors import walk

numpydoc = pytest.importorskip("numpydoc.validate", reason="it comes with the extra test")
docscrape = pytest.importorskip("numpydoc.docscrape", reason="it comes with the extra test")

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"
sys.path.insert(0, str(EXTENSIONS))
try:
    import examples
    import numpydoc_form
finally:
    sys.path.remove(str(EXTENSIONS))

NOT_ASKED = {
    "ES01": "a summary that says everything needs no second paragraph",
    "SA01": "pages link names where a sentence mentions them; lists of related names would repeat the index",
    "SS05": "takes every first word in -s for a verb, such as in 'Gradients of ...' or 'Ones of a shape'",
    "YD01": "takes every context manager for a generator; they yield nothing",
}


class Form(numpydoc.Validator):
    """What `numpydoc.validate` checks: a function or class with its docstring in numpydoc's form."""

    name = ""  # the base class takes it from documented.__name__, which not all have

    def __init__(self, obj_name, documented, text):
        super().__init__(docscrape.get_doc_object(documented, doc=text))
        self.raw_doc = self.clean_doc = text


@functools.cache
def documented():
    """Public functions, classes and methods by their full names, each with its example; None for a method.

    Without `__call__` of classes that say themselves what a call does.
    """
    pages = examples.public()
    shown = {
        id(values[name]): text
        for page, values in pages.items()
        for name, text in examples.examples(page).items()
        if name in values
    }
    found = {f"{page}.{name}": value for page, values in pages.items() for name, value in values.items()}
    found |= {f"fastnn.{name}": value for name, value in walk.public().items()}
    names: dict[int, str] = {}
    for name, value in found.items():
        ours = value.__module__ != "numpy"  # which `autograd.float32` is from
        if ours and (value.__doc__ or not name.endswith(".__call__")):
            names.setdefault(id(value), name)
    return {name: (found[name], shown.get(key)) for key, name in names.items()}


def faults(name, value, example=""):
    """The codes that numpydoc reports and that are asked for, with its messages."""
    text = numpydoc_form.numpydoc(value, example or "")
    errors = numpydoc.validate(name, validator_cls=Form, documented=value, text=text)["errors"]
    not_asked = {*NOT_ASKED, "EX01"} if example is None else NOT_ASKED
    return {code: message for code, message in errors if code not in not_asked}


def test_docstrings_are_valid():
    names = documented()
    found = {name: faults(name, *value) for name, value in names.items()}
    assert len(names) > 450
    assert not any(found.values()), "\n".join(f"{name}: {' '.join(one.values())}" for name, one in found.items() if one)


def scale(x, factor=2.0, *others, **options):
    """Scale x by one number. It stays as it is.

    x (N, D), others: arrays
    factor: a number;
        not 0
    options: as of `numpydoc_form.numpydoc`
    Returns an array (N, D). Raises ValueError if x has no rows, TypeError for a text.

        out = factor * x

    Source: Euclid.
    """
    return x * factor


def test_a_docstring_becomes_sections():
    assert numpydoc_form.numpydoc(scale, ">>> scale(1)\n2.0\n") == (
        "\nScale x by one number.\n\n"
        "Parameters\n----------\n"
        "x : shape (N, D)\n    Arrays.\n"
        "factor : float\n    A number; not 0.\n"
        "*others : array_like\n    Arrays.\n"
        "**options : array_like\n    As of `numpydoc_form.numpydoc`.\n\n"
        "Returns\n-------\nobject\n    An array (N, D).\n\n"
        "Raises\n------\nValueError\n    If x has no rows.\nTypeError\n    For a text.\n\n"
        "Notes\n-----\nIt stays as it is.\n\n    out = factor * x\n\n"
        "References\n----------\nSource: Euclid.\n\n"
        "Examples\n--------\n>>> scale(1)\n2.0\n"
    )
    assert not faults("scale", scale, ">>> scale(1)\n2.0")


def scale_naive(x, factor=2.0, *others, **options):
    """`scale` as a loop."""
    return scale(x, factor)


def scale_backward(dout, x, factor):
    """Gradients of `scale`.

    Inputs (float32): dout (N, D); x (N, D), factor as given to it
    """
    return scale(dout, factor)


def test_a_docstring_may_name_what_says_the_rest():
    assert not faults("scale_naive", scale_naive, None)
    assert "factor : array_like\n    As given to it." in numpydoc_form.numpydoc(scale_backward)
    assert "Returns\n-------\nobject\n    Gradients of `scale`.\n\nNotes" in numpydoc_form.numpydoc(scale_backward)
    assert not faults("scale_backward", scale_backward, None)


def test_faults_are_reported():
    def scale_badly(x, factor):
        """Multiply

        factor: a number
        """
        return x * factor

    assert set(faults("scale_badly", scale_badly)) == {"SS03", "PR01", "RT01", "EX01"}
    assert set(faults("scale_badly", scale_badly, None)) == {"SS03", "PR01", "RT01"}
    scale_badly.__doc__ = None
    assert set(faults("scale_badly", scale_badly)) == {"GL08"}
