"""The README and the site show what the commands print, and their code runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"


def test_the_table_of_accuracies_is_the_one_of_the_results():
    command = [sys.executable, str(ROOT / "benchmarks" / "accuracy.py"), "--table", str(RESULTS)]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    actual = re.search(r"<!-- accuracy -->\n(.*)<!-- /accuracy -->", page, re.DOTALL)
    assert actual and actual[1] == expected


def test_the_figures_of_the_readme_are_those_of_the_report():
    text, report = (page.read_text(encoding="utf-8") for page in (README, ROOT / "benchmarks" / "REPORT.md"))
    figures = re.search(r"<!-- figures -->\n(.*)<!-- /figures -->", text, re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in figures[1].splitlines()[2:]]
    targets = "float32 default: convolutions, geometric mean", "the notebook's convolution"
    for row, target in zip(rows[:2], targets, strict=True):
        assert row[1:] == re.findall(rf"^\|[^|]*{target} \|[^|]*\| (\S+) \|", report, re.MULTILINE)
    (residual,) = (one for one in json.loads(RESULTS.read_text())["results"] if one["name"].startswith("residual"))
    assert rows[2][1] == f"{residual['test_accuracy']:.3f}"
    assert f" {residual['seconds']:.0f} seconds" in rows[2][0]


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 75


def test_the_code_of_the_readme_runs(monkeypatch):
    """Run the Python block, with fewer images."""
    from fastnn import data_utils

    get_shapes_data = data_utils.get_shapes_data
    monkeypatch.setattr(data_utils, "get_shapes_data", lambda: get_shapes_data(200, 50, 50))
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    np.random.seed(0)  # weights and batches are drawn from the global state
    exec(compile(block, "README.md", "exec"), names)
    assert names["solver"].iteration == 12


def test_the_code_of_the_page_on_autograd_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "autograd.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "autograd.md", "exec"), names)
    assert capsys.readouterr().out.strip() in " ".join(text.replace("`", "").split())
    assert (tmp_path / "tape.png").stat().st_size > 5000


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
