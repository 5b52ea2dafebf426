"""A Sphinx extension that renders the docstrings of fastnn, which are plain text rather than reStructuredText.

What it understands:

    name: text            a parameter or attribute, continued by indented lines; also "a, b: text" and "x (N, D): text"
    Returns ...           a section, up to the next empty line; likewise Raises, and Source: Cost: Inputs: ...
    `name`                code, and a link if it is the name of something documented
    indented lines        after an empty line code, formulas or a table; else they belong to the line above

Everything else is prose, in which no character has a meaning for reStructuredText.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any

FULL = 95  # characters, from which on a line is one that the next may continue
_NAME = r'(?:\*{0,2}[A-Za-z_]\w*|"[^"]+")(?:\(\w+(?:, \w+)*\))?(?:\[[^\]]*\])?(?: \([^()]*\))?'
_ITEM = re.compile(rf"({_NAME}(?:(?:, | and | or ){_NAME})*): +(\S.*)")
_SECTION = re.compile(r"(?:(Returns|Raises|Yields)\b:?|(Sources?|Cost|Inputs|Parameters|Attributes):) *(.*)")
_LABELS = {"Source": "References", "Sources": "References", "Inputs": "Parameters", "Parameters": "Trained parameters"}
_FORMULA = re.compile(r"[A-Za-z]\w*'?(?:\[[^\]]*\])?(?:, \w+'?)* = \S")


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(_app: Any, _what: str, _name: str, documented: Any, _options: Any, lines: list[str]) -> None:
    try:
        parameters = set(inspect.signature(documented).parameters)
    except (TypeError, ValueError):
        parameters = set()
    lines[:] = rst("\n".join(lines), parameters)


def rst(docstring: str, parameters: Collection[str] = ()) -> list[str]:
    """Convert a docstring to lines of reStructuredText; items named as `parameters` get the heading Parameters."""
    lines = _unwrapped([line.rstrip() for line in inspect.cleandoc(docstring).splitlines()])
    summary, position = _take(lines, 1, lambda one: bool(one) and not _starts(one.strip()))
    summary = [*lines[:1], *summary]
    return [
        *_tidy([inline(" ".join(line.strip() for line in summary)), "", *_blocks(lines[position:], parameters)]),
        "",
    ]


def _unwrapped(lines: list[str]) -> list[str]:
    """Join indented lines to a full line before them, if they begin like an item but go on with its sentence."""
    joined: list[str] = []
    for line in lines:
        before = joined[-1] if joined else ""
        indented = line.startswith(" ") and before.strip()
        if indented and len(before) > FULL and _starts(line.strip()) and _indent(before) < _indent(line):
            joined[-1] = f"{before} {line.strip()}"
        else:
            joined.append(line)
    return joined


def _tidy(lines: Iterable[str]) -> Iterator[str]:
    """Lines without repeated empty ones, and without one between a term and what defines it."""
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


def _blocks(lines: list[str], parameters: Collection[str] = ()) -> Iterator[str]:
    """Convert lines whose smallest indentation is 0."""
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line:
            position += 1
        elif line[0] == " ":
            after_blank = position > 0 and not lines[position - 1]
            block, position = _take(lines, position, lambda one: not one or one[0] == " ")
            yield from _code(block) if after_blank else _blocks(_dedented(block))
        elif section := _SECTION.fullmatch(line):
            block, position = _take(lines, position + 1, lambda one: bool(one) and not _starts(one))
            label, body = section[1] or section[2], _dedented(block)
            text = _blocks(body)
            if section[3]:
                wrapped, end = _take(block, 0, lambda one: not _starts(one.strip()))
                text = chain(
                    [inline(" ".join([section[3], *(one.strip() for one in wrapped)])), ""],
                    _blocks(_dedented(block[end:])),
                )
            yield from ["", f":{_LABELS.get(label, label)}:", *_indented(text), ""]
        elif _ITEM.fullmatch(line):
            names, items = set(), []
            while position < len(lines) and (item := _ITEM.fullmatch(lines[position])):
                block, position = _take(lines, position + 1, lambda one: bool(one) and one[0] == " ")
                wrapped, end = _take(block, 0, lambda one: not _starts(one.strip()))
                text = inline(" ".join([item[2], *(one.strip() for one in wrapped)]))
                items += [_names(item[1]), f"    {text}", "", *_indented(_blocks(_dedented(block[end:]))), ""]
                names |= set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\(.*?\)", "", item[1])))
            yield from ["", ":Parameters:", *_indented(items)] if names & set(parameters) else ["", *items]
        else:
            block, position = _take(lines, position, lambda one: bool(one) and not _starts(one.strip()))
            yield from _prose(block)


def _starts(line: str) -> bool:
    """Whether something other than prose begins with this line."""
    return bool(_SECTION.fullmatch(line) or _ITEM.fullmatch(line))


def _take(lines: list[str], position: int, belongs: Callable[[str], bool]) -> tuple[list[str], int]:
    """Lines from position on, as far as they belong together, and the position after them."""
    end = position
    while end < len(lines) and belongs(lines[end]):
        end += 1
    while end > position and not lines[end - 1].strip():
        end -= 1
    return lines[position:end], end


def _dedented(lines: list[str]) -> list[str]:
    width = min((_indent(line) for line in lines if line.strip()), default=0)
    return [line[width:] for line in lines]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else ""


def _code(lines: list[str]) -> Iterator[str]:
    block = _dedented(lines)
    try:
        compile("\n".join(block), "docstring", "exec")
        language = "python"
    except SyntaxError:
        language = "none"
    yield from ["", f".. code-block:: {language}", "", *_indented(block), ""]


def _prose(lines: list[str]) -> Iterator[str]:
    if all(_FORMULA.match(line) for line in lines):
        yield from ["", ".. code-block:: none", "", *_indented(lines), ""]
    else:
        yield from ["", inline(" ".join(line.strip() for line in lines)), ""]


def _names(text: str) -> str:
    """The names of an item as code, what stands in parentheses as text."""
    parts = re.split(r"( \([^()]*\)|, | and )", text)
    return "".join(_escaped(part) if place % 2 else f"``{part}``" for place, part in enumerate(parts) if part)


def inline(text: str) -> str:
    """Prose in reStructuredText: code as a link or literal, **words** as they are, everything else escaped."""
    parts = re.split(r"(``[^`]+``|`[^`]+`|\*\*[^*\s](?:[^*]*[^*\s])?\*\*)", text)
    return "".join(_marked(part) if place % 2 else _escaped(part) for place, part in enumerate(parts)).removesuffix(
        "\\ "
    )


def _marked(part: str) -> str:
    if part.startswith("**"):
        return rf"\ **{_escaped(part[2:-2])}**\ "
    code = part.strip("`")
    if re.fullmatch(r"[A-Za-z_][\w.]*", code):
        return rf"\ :py:obj:`{code}`\ "
    return rf"\ ``{code}``\ "


def _escaped(text: str) -> str:
    text = re.sub(r"([\\*|_`])", r"\\\1", text)
    return re.sub(r"^([-+>.:]|\w+\.)(?= )|^(\.\.)", lambda match: "\\" + match[0], text)
