"""Only one writer at a time: among processes and threads, and after a kill."""

import errno
import subprocess
import sys
import threading

import pytest
from small_solver import make

from fastnn import checkpoint
from fastnn.checkpoint import locks

pytestmark = pytest.mark.usefixtures("one_backend")

OWNER = """
import sys
from fastnn.checkpoint import locks
with locks.reserved(sys.argv[1]):
    print("reserved", flush=True)
    sys.stdin.read()
"""
WRITER = """
import sys
import numpy as np
from fastnn import checkpoint
done = refused = 0
while done < 8:
    try:
        checkpoint.save(sys.argv[1], {"writer": sys.argv[2], "array": np.full(20_000, int(sys.argv[2]))})
        done += 1
    except BlockingIOError:
        refused += 1
"""
BUSY = r"save: path=.*run\.h5' is being written by another run; expected one run at a time under a name; choose"


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def owner(tmp_path):
    """Start a process that reserves run.h5."""
    with start(OWNER, tmp_path / "run.h5") as process:
        assert process.stdout.readline() == "reserved\n"
        yield process
        process.kill()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_another_process_writes_is_left_alone(tmp_path, owner):
    with pytest.raises(BlockingIOError, match=BUSY):
        checkpoint.save(tmp_path / "run.h5", {})
    assert names(tmp_path) == ["run.h5.lock"]
    checkpoint.save(tmp_path / "other.h5", {})


@pytest.mark.parametrize("every", [None, 2])
def test_a_second_run_under_the_name_does_not_begin(tmp_path, owner, every):
    solver = make(checkpoint_name=tmp_path / "run.h5", checkpoint_every=every)
    with pytest.raises(BlockingIOError, match=BUSY):
        solver.train()
    assert solver.iteration == 0


def test_a_killed_process_reserves_nothing(tmp_path, owner):
    owner.kill()
    owner.wait()
    assert names(tmp_path) == ["run.h5.lock"]
    checkpoint.save(tmp_path / "run.h5", {})
    assert names(tmp_path) == ["run.h5"]


def test_a_run_reserves_its_name_from_beginning_to_end(tmp_path):
    refused = []

    def save_too(solver):
        def save():
            with pytest.raises(BlockingIOError, match=BUSY):
                checkpoint.save(tmp_path / "run.h5", {})
            refused.append(solver.iteration)

        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
        solver.save(tmp_path / "run.h5")

    make(checkpoint_name=tmp_path / "run", checkpoint_every=100, num_epochs=1, callbacks=[save_too]).train()
    assert refused == [1, 2, 3]
    assert names(tmp_path) == ["run.h5", "run.h5.prev"]


def test_a_name_that_cannot_be_written_is_known_before_the_first_iteration(tmp_path):
    (tmp_path / "file").touch()
    solver = make(checkpoint_name=tmp_path / "file" / "run.h5")
    with pytest.raises(OSError, match=r"save: path=.*run\.h5' could not be written: .*; expected a writable folder"):
        solver.train()
    assert solver.iteration == 0


def test_many_processes_that_save_under_one_name_leave_whole_files(tmp_path):
    writers = [start(WRITER, tmp_path / "run.h5", number) for number in range(3)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "run.h5").exists():
            tree = checkpoint.load(tmp_path / "run.h5")
            assert (tree["array"] == int(tree["writer"])).all()
            seen.add(tree["writer"])
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert seen <= {"0", "1", "2"} and seen
    assert names(tmp_path) == ["run.h5", "run.h5.prev"]


def test_a_lock_whose_file_is_gone_guards_nothing_and_is_taken_again(tmp_path, monkeypatch):
    take, taken = locks.take, []

    def removed_meanwhile(file):
        if not taken:
            (tmp_path / "run.h5.lock").unlink()
        taken.append(file)
        take(file)

    monkeypatch.setattr(locks, "take", removed_meanwhile)
    with locks.reserved(tmp_path / "run.h5"):
        assert (tmp_path / "run.h5.lock").exists()
    assert len(taken) == 2
    assert names(tmp_path) == []


def test_reservations_nest_in_one_thread(tmp_path):
    with locks.reserved(tmp_path / "run.h5"):
        with locks.reserved(tmp_path / "run.h5"):
            pass
        assert names(tmp_path) == ["run.h5.lock"]
    assert names(tmp_path) == []


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(file, flags):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    checkpoint.save(tmp_path / "run.h5", {"number": 1})
    assert checkpoint.load(tmp_path / "run.h5") == {"number": 1}
    assert names(tmp_path) == ["run.h5"]
