"""Tables and curves as HTML and inline SVG, for notebooks."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

COLORS = ("#0072b2", "#d55e00")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 170, 46, 22, 22
_POINTS = 400  # of a curve; longer ones are thinned out


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """An HTML table; texts are escaped, and their leading spaces kept."""
    title = f'<caption style="text-align: left">{html.escape(caption)}</caption>' if caption else ""
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    return f"<table>{title}{''.join(lines)}</table>"


def paragraph(text: str) -> str:
    """A paragraph; the text is escaped."""
    return f"<p>{html.escape(text)}</p>"


def curves(title: str, axis: str, series: Mapping[str, Sequence[float]], first: int = 0) -> str:
    """One curve for each series, over the numbers from `first` on, as an SVG; gaps where values are not finite.

    axis: what the horizontal axis counts
    """
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    last = first + max(map(len, series.values())) - 1
    scale = (high - low) or 1.0
    parts, words = [], []
    for position, (name, values) in enumerate(series.items()):
        color = COLORS[position % len(COLORS)]
        parts += [_line(points, color) for points in _segments(values, last - first, low, scale)]
        x = _LEFT + 90 + 110 * position
        parts.append(_text(x, 14, f"● {name}", color) if len(series) > 1 else "")
        words.append(f"{name} ends at {values[-1]:.4g}" if len(values) else f"{name} has no values")
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - 8
    frame = f"M{_LEFT},{_TOP}V{bottom}H{right}"
    parts += [
        f'<path d="{frame}" fill="none" stroke="#8a8a8a"/>',
        _text(4, 14, title, "currentColor"),
        _text(4, _TOP + 10, f"{high:.3g}", "currentColor"),
        _text(4, bottom, f"{low:.3g}", "currentColor"),
        _text(_LEFT, _HEIGHT - 6, str(first), "currentColor"),
        _text(right - 90, _HEIGHT - 6, f"{axis} {last}", "currentColor"),
    ]
    label = html.escape(f"{title}: {'; '.join(words)}", quote=True)
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _row(kind: str, cells: Sequence[object]) -> str:
    style = ' style="text-align: left; white-space: pre"'
    return f"<tr>{''.join(f'<{kind}{style}>{html.escape(str(cell))}</{kind}>' for cell in cells)}</tr>"


def _segments(values: Sequence[float], length: int, low: float, scale: float) -> list[list[str]]:
    """The points of a curve, in pieces between values that are not finite."""
    step = max(1, -(-len(values) // _POINTS))
    kept = sorted({*range(0, len(values), step), len(values) - 1} - {-1})
    pieces: list[list[str]] = [[]]
    for index in kept:
        value = float(values[index])
        if not math.isfinite(value):
            pieces.append([])
            continue
        x = _LEFT + (_WIDTH - 8 - _LEFT) * index / max(length, 1)
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (value - low) / scale
        pieces[-1].append(f"{x:.1f},{y:.1f}")
    return [piece for piece in pieces if piece]


def _line(points: list[str], color: str) -> str:
    if len(points) == 1:
        x, _, y = points[0].partition(",")
        return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>'
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.6"/>'


def _text(x: float, y: float, text: str, color: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="11" font-family="sans-serif" fill="{color}">{html.escape(text)}</text>'
