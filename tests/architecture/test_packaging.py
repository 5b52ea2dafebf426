"""Version, citation and changelog agree; the workflows are the files that they should be."""

import re
import tomllib
from pathlib import Path

import fastnn

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere():
    with open(ROOT / "pyproject.toml", "rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert fastnn.__version__ == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.MULTILINE)
    newest = re.search(r"^## \[?([\d.]+)\]? - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == version


def test_sections_of_the_changelog_are_those_of_keep_a_changelog():
    sections = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections and set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_workflows_run_the_pythons_that_the_package_is_for():
    with open(ROOT / "pyproject.toml", "rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    pythons = [one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)]
    tests = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    matrix = re.search(r"python: \[(.*)\]", tests)
    assert matrix and re.findall(r"[\d.]+", matrix[1]) == pythons


def test_nothing_but_the_publishing_job_may_ask_for_a_token():
    for page in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = page.read_text(encoding="utf-8")
        assert text.count("id-token: write") == (page.stem == "publish")
        assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE) and "secrets." not in text
