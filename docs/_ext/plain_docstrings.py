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
from itertools import chain, groupby
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
    for kind, group in groupby(parts(lines), lambda part: part[0]):
        if kind == "item":
            yield from _items([(item, block) for _, item, block in group], parameters)
            continue
        for _, section, block in group:
            if kind == "code":
                yield from _code(block)
            elif kind == "further":
                yield from _blocks(_dedented(block))
            elif kind == "section":
                label, body = section[1] or section[2], _dedented(block)
                text = _blocks(body)
                if section[3]:
                    own, further = wrapped(section[3], body)
                    text = chain([inline(own), ""], _blocks(further))
                yield from ["", f":{_LABELS.get(label, label)}:", *_indented(text), ""]
            elif kind == "prose":
                yield from _prose(block)


def parts(lines: list[str]) -> Iterator[tuple[str, Any, list[str]]]:
    """Split lines whose smallest indentation is 0: the kind of each part, a match, and its lines.

    Kinds are "blank", "code" (indented lines after an empty one), "further" (other indented ones), "prose", and those
    with a match of their first line, "section" and "item".
    """
    position = 0
    while position < len(lines):
        line, match = lines[position], None
        if not line:
            kind, block, position = "blank", [], position + 1
        elif line[0] == " ":
            kind = "code" if position > 0 and not lines[position - 1] else "further"
            block, position = _take(lines, position, lambda one: not one or one[0] == " ")
        elif match := _SECTION.fullmatch(line):
            kind = "section"
            block, position = _take(lines, position + 1, lambda one: bool(one) and not _starts(one))
        elif match := _ITEM.fullmatch(line):
            kind = "item"
            block, position = _take(lines, position + 1, lambda one: bool(one) and one[0] == " ")
        else:
            kind = "prose"
            block, position = _take(lines, position, lambda one: bool(one) and not _starts(one.strip()))
        yield kind, match, block


def wrapped(first: str, block: list[str]) -> tuple[str, list[str]]:
    """A text with the lines that continue it, and the lines of the block after those."""
    own, end = _take(block, 0, lambda one: not _starts(one.strip()))
    return " ".join([first, *(one.strip() for one in own)]), _dedented(block[end:])


def _items(items: list[tuple[re.Match, list[str]]], parameters: Collection[str]) -> Iterator[str]:
    names, lines = set(), []
    for item, block in items:
        own, further = wrapped(item[2], block)
        lines += [_names(item[1]), f"    {inline(own)}", "", *_indented(_blocks(further)), ""]
        names |= set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\(.*?\)", "", item[1])))
    yield from ["", ":Parameters:", *_indented(lines)] if names & set(parameters) else ["", *lines]


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
    if code.startswith("np.") and re.fullmatch(r"[\w.]+", code):
        return rf"\ :py:obj:`{code} <numpy{code[2:]}>`\ "
    if re.fullmatch(r"[A-Za-z_][\w.]*", code):
        return rf"\ :py:obj:`{code}`\ "
    return rf"\ ``{code}``\ "


def _escaped(text: str) -> str:
    text = re.sub(r"([\\*|_`])", r"\\\1", text)
    return re.sub(r"^([-+>.:]|\w+\.)(?= )|^(\.\.)", lambda match: "\\" + match[0], text)
