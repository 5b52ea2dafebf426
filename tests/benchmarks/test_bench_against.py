"""`benchmarks/bench_against.py` in a small repository. No test depends on a time."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PASSED_OVER = shutil.ignore_patterns("__pycache__", "results")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository whose commit lacks NumPy's augmentation and whose working tree is a copy of this one."""
    root = tmp_path_factory.mktemp("repository")
    git = ["git", "-C", str(root), "-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    for name in ("fastnn", "kernels", "benchmarks"):
        shutil.copytree(ROOT / name, root / name, ignore=PASSED_OVER)
    kernel = root / "kernels" / "augment" / "vectorized.py"
    whole = kernel.read_text(encoding="utf-8")
    kernel.write_text('"""Nothing."""\n', encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    kernel.write_text(whole, encoding="utf-8")
    return root


@pytest.fixture
def against(repository, tmp_path):
    """A function that starts the comparison; teardown checks that no files are left."""

    def start(*arguments):
        command = [sys.executable, str(repository / "benchmarks" / "bench_against.py"), "--rounds", "1"]
        environment = {**os.environ, "FASTNN_BACKEND": "vectorized", "TMPDIR": str(tmp_path)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*command, "--settle", "0", *arguments], env=environment, text=True, **pipes)

    yield start
    listed = subprocess.run(["git", "-C", str(repository), "worktree", "list"], capture_output=True, text=True)
    assert len(listed.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_medians_and_their_ratio(against):
    process = against("HEAD", "--only", "3072-100", "--limit", "1000")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    heading, line, mean = out.splitlines()
    assert heading.split() == ["float32", "HEAD", "now", "now", "/", "then"]
    name, _, figures = line.partition(" step  ")
    assert name.strip() == "step of two-layer, 3072-100-10"
    then, _, now, _, ratio = figures.split()
    assert float(ratio) == pytest.approx(float(now) / float(then), abs=0.02)
    assert mean.split() == ["geometric", "mean", ratio]


def test_slower_cases_are_an_error_with_a_limit(against):
    process = against("HEAD", "--only", "3072-100", "--limit", "0.0001")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 1, err
    assert out.endswith("1 of 1 take more than 0.0001 times as long\n")


def test_cases_that_the_commit_cannot_run_are_named(against):
    process = against("HEAD", "--only", "augment")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "then: " in out
    assert "now: " not in out
    assert "geometric mean" not in out


def test_nothing_is_left_after_an_interruption(against):
    process = against("HEAD", "--only", "step of", "--rounds", "1000")
    assert process.stdout.readline().startswith("float32")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGINT


def test_commits_that_do_not_exist(against):
    process = against("nowhere", "--only", "3072-100")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith("bench_against: git worktree add ")
    assert "nowhere" in err


def test_cases_that_do_not_exist(against):
    process = against("HEAD", "--only", "nothing is named so")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert err.startswith("bench_against: no case name contains one of ['nothing is named so']; expected")
