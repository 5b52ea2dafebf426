"""The README shows what the commands print."""

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
    actual = re.search(r"<!-- accuracy -->\n(.*)<!-- /accuracy -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert actual and actual[1] == expected


def test_the_code_of_the_readme_runs(monkeypatch):
    """Run all Python blocks in order, with fewer images."""
    from fastnn import data_utils

    get_shapes_data = data_utils.get_shapes_data
    monkeypatch.setattr(data_utils, "get_shapes_data", lambda: get_shapes_data(200, 50, 50))
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    np.random.seed(0)  # some blocks draw from the global state, and could stop early by chance
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["solver"].iteration in (4, 6)  # of 6, unless it stops early


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
