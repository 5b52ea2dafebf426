"""The text of a network: one line for each module, with the shapes and number of its parameters."""

from typing import Any

from fastnn.output import html


def text(module: Any) -> str:
    """Return the table of a module."""
    rows = _rows(module, "")
    width, shapes_width = (max((len(row[column]) for row in rows if row[2]), default=0) for column in (0, 1))
    count = f"{sum(value.size for value in module.params.values()):,}"
    lines = [
        f"{text:<{width}}    {shapes:<{shapes_width}}    {size:>{len(count)}}" if size else text
        for text, shapes, size in rows
    ]
    return "\n".join([f"{type(module).__name__}(", *lines, f")  {count} parameters"])


def as_html(module: Any) -> str:
    """Return the table of a module as HTML."""
    count = f"{sum(value.size for value in module.params.values()):,}"
    rows = [(text[2:], *others) for text, *others in _rows(module, "")]
    return html.table(("layer", "parameters", "count"), rows, f"{type(module).__name__}: {count} parameters")


def _rows(module: Any, indent: str) -> list[tuple[str, str, str]]:
    """One row for each array of the module and each layer inside it: text, shapes of the parameters, their number."""
    inner = indent + "  "
    rows = [
        (f"{inner}({name}) Parameter", str(values[key].shape), f"{values[key].size:,}")
        for name, (values, key) in module._own("params").items()
    ]
    for name, child in module.named_children().items():
        inside = _rows(child, inner) if child.named_children() or child._is_recorded else []
        if inside:
            rows += [(f"{inner}({name}) {type(child).__name__}(", "", ""), *inside, (f"{inner})", "", "")]
        else:
            shapes = ", ".join(f"{key} {value.shape}" for key, value in child.params.items())
            size = f"{sum(value.size for value in child.params.values()):,}" if child.params else ""
            rows.append((f"{inner}({name}) {child!r}", shapes, size))
    return rows
