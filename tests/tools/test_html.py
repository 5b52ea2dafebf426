"""Tables and curves for notebooks."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np

from fastnn.output import html
from fastnn.sweep import grid, sweep


def polylines(svg):
    root = ElementTree.fromstring(svg)
    return [line.get("points").split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]


def test_texts_are_escaped():
    made = html.table(["a<b"], [["<script>"]], "x & y") + html.paragraph("<b>")
    for text in ("a&lt;b", "&lt;script&gt;", "x &amp; y", "<p>&lt;b&gt;</p>"):
        assert text in made
    assert '"' not in ElementTree.fromstring(html.curves('"', "<", {"<&": [1, 2]})).get("aria-label")[1:-1].strip('"')


def test_curves_rise_to_the_left_of_their_frame():
    (points,) = polylines(html.curves("loss", "iteration", {"loss": [1.0, 3.0, 2.0]}, first=1))
    x, y = np.array([point.split(",") for point in points], float).T
    assert list(x) == sorted(x)
    assert y[1] < y[2] < y[0]  # downwards


def test_gaps_where_values_are_not_finite():
    assert [len(line) for line in polylines(html.curves("", "", {"a": [1, 2, math.nan, 1, 2, 3, math.inf]}))] == [2, 3]


def test_a_single_value_is_a_dot_and_no_value_is_nothing():
    assert "<circle " in html.curves("", "", {"a": [1.0]})
    assert polylines(html.curves("", "", {"a": [], "b": [math.nan]})) == []


def test_long_curves_are_thinned_out_and_keep_their_end():
    svg = html.curves("", "", {"a": list(range(100_001))})
    (points,) = polylines(svg)
    assert len(points) <= 402
    assert points[-1].startswith("332.0,")


def test_failed_trials_come_last_with_their_reason():
    def run(params):
        return {"val_acc": 1 / params["x"]}

    made = sweep(run, grid(x=[0, 2]), verbose=False)
    assert isinstance(made, list) and [trial["val_acc"] for trial in made] == [None, 0.5]
    text = made._repr_html_()
    assert text.index("0.5") < text.index("ZeroDivisionError: division by zero")
