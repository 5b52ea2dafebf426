"""After kills and full disks while a checkpoint is written, the last complete one is readable."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fastnn import checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no SIGKILL, no limits")

# fork for every line of Python that saving executes, and kill the child at that line
EVERY_LINE = """
    import os, signal, sys
    import numpy as np
    from fastnn import checkpoint
    from fastnn.checkpoint import locks, tree as saving

    path = sys.argv[1]
    files = (saving.__file__, locks.__file__)

    def tree(number):
        return {"number": number, "array": np.full(3, number)}

    def save(number, last=None):
        left = [last]

        def lines(frame, event, argument):
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return lines

        sys.settrace(lambda frame, *_: lines if frame.f_code.co_filename in files else None)
        checkpoint.save(path, tree(number))
        sys.settrace(None)

    checkpoint.save(path, tree(0))
    checkpoint.save(path, tree(1))
    number, line, kept = 1, 0, {True: 0, False: 0}
    while True:
        line += 1
        child = os.fork()
        if not child:
            save(number + 1, line)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        found, before = checkpoint.load(path), checkpoint.load(path + ".prev")
        assert found["number"] in (number, number + 1), (line, found)
        assert before["number"] in (number - 1, number), (line, before)
        assert (found["array"] == found["number"]).all()
        kept[found["number"] == number] += 1
        checkpoint.save(path, tree(number + 2))
        assert sorted(os.listdir(os.path.dirname(path))) == ["run.h5", "run.h5.prev"], line
        number += 2
        checkpoint.save(path + ".prev", tree(number - 1))
        os.remove(path + ".prev.prev")
        if not killed:
            break
    print(line, kept[True], kept[False])
"""
FULL = """
    import resource, sys
    import numpy as np
    from fastnn import checkpoint

    path, room = sys.argv[1], int(sys.argv[2])
    checkpoint.save(path, {"number": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        checkpoint.save(path, {"number": 2, "array": np.random.default_rng(0).standard_normal(30_000)})
    except OSError as error:
        print(error)
"""
UNWRITABLE = """
    import os, tempfile
    from fastnn import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.h5")
        checkpoint.save(path, {"number": 1})
        os.chmod(folder, 0o555)
        if os.geteuid() == 0:  # who may write anywhere
            os.seteuid(65534)
        try:
            checkpoint.save(path, {"number": 2})
        except OSError as error:
            print(type(error).__name__, error)
        print(checkpoint.load(path), os.listdir(folder))
        if os.getuid() == 0:
            os.seteuid(0)
        os.chmod(folder, 0o755)
"""


def run(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_at_any_line_of_saving_nothing_is_lost(tmp_path):
    lines, old, new = map(int, run(EVERY_LINE, tmp_path / "run.h5").split())
    assert lines == old + new > 100
    assert old > 50 and new > 2  # kills before the rename, and after it


@pytest.mark.parametrize("room", [0, 100, 20_000, 200_000])
def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, room):
    said = run(FULL, tmp_path / "run.h5", room)
    assert said.startswith(f"save: path='{tmp_path / 'run.h5'}' could not be written: ")
    assert said.endswith("; expected a writable folder with enough space; choose another path\n")
    assert checkpoint.load(tmp_path / "run.h5") == {"number": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]


def test_a_folder_that_cannot_be_written_is_reported():
    said, kept = run(UNWRITABLE).splitlines()
    assert re.fullmatch(
        r"PermissionError save: path='.*run\.h5' could not be written: .*Permission denied.*; "
        r"expected a writable folder with enough space; choose another path",
        said,
    )
    assert kept == "{'number': 1} ['run.h5']"


def test_a_difference_after_kills_would_be_named(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from kills import differing

    tree = {"solver": {"params": {"W": np.ones(3)}, "loss_history": [1.0, np.inf]}, "schema": 2}
    other = {"solver": {"params": {"W": np.array([1, 1, 1 + 2**-52])}, "loss_history": [1.0]}, "schema": 2}
    assert differing(tree, tree) == []
    assert differing(tree, other) == ["/solver/params/W", "/solver/loss_history"]
    assert differing(tree, {"solver": tree["solver"]}) == ["/"]


def test_twelve_kills_of_a_run_leave_no_trace(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    command = [sys.executable, str(script), "--backend", "vectorized", "--out", str(tmp_path / "kills"), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("12 kills: the last checkpoint is identical to that of an uninterrupted run.\n")
