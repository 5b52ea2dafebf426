"""The trial log of a sweep: kills, incomplete lines, interruptions, two writers, invalid files."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fastnn.sweep import grid, load_ledger, sweep

TRIALS = grid(a=[1, 2, 3, 4, 5], b=["x\ny", "\u00e9"])

# Records which trials began; after a given number, the next one runs until it is killed.
PROGRAM = """
import sys, time
from fastnn.sweep import sweep, grid

left = int(sys.argv[1])

def run(params):
    global left
    with open("ran.txt", "a") as file:
        print("began", params["a"], ascii(params["b"]), file=file)
    while not left:
        time.sleep(1)
    left -= 1
    return {"val_acc": params["a"] / 8, "train_acc": 0.5}

sweep(run, grid(a=[1, 2, 3, 4, 5], b=["x\\ny", "\\u00e9"]), "ledger.jsonl")
"""


def succeed(params):
    return {"val_acc": params["a"] / 8, "train_acc": 0.5}


def forbidden(params):
    raise AssertionError("a trial that was done ran again")


def run_all(run=succeed, trials=TRIALS, ledger="ledger.jsonl", **options):
    return sweep(run, trials, ledger, verbose=False, **options)


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def content(path="ledger.jsonl"):
    with open(path, "rb") as file:
        return file.read()


def assert_complete(records):
    """Assert that the log has every trial once, in order, on lines of strict JSON."""
    assert [record["params"] for record in records] == TRIALS
    assert [record["val_acc"] for record in records] == [params["a"] / 8 for params in TRIALS]
    assert [record["number"] for record in records] == list(range(1, len(TRIALS) + 1))
    assert content().endswith(b"\n")
    lines = content().split(b"\n")[:-1]
    assert [json.loads(line) for line in lines] == records == load_ledger("ledger.jsonl")


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_kills_lose_nothing_and_run_nothing_twice():
    def count():
        return content().count(b"\n") if os.path.exists("ledger.jsonl") else 0

    began_and_killed = 0
    for done in (2, 5):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(done - count())], stdout=subprocess.DEVNULL)
        try:
            while count() < done:
                assert process.poll() is None
                time.sleep(0.001)
            with pytest.raises(BlockingIOError, match="is being written by another sweep; expected one sweep at a"):
                run_all(forbidden)
            assert len(load_ledger("ledger.jsonl")) == done
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        began_and_killed += 1
    subprocess.run([sys.executable, "-c", PROGRAM, "-1"], check=True, stdout=subprocess.DEVNULL)
    assert_complete(run_all(forbidden))
    with open("ran.txt") as file:
        began = file.read().splitlines()
    assert len(set(began)) == len(TRIALS)
    assert len(began) <= len(TRIALS) + began_and_killed  # only the interrupted trial is run again


def test_line_that_was_torn_is_repaired():
    run_all(trials=TRIALS[:2])
    whole = content()
    first, second = whole.splitlines(keepends=True)
    ends = {end + step for end in (0, len(first), len(whole)) for step in (-2, -1, 0, 1, 2)}
    for length in sorted(ends & set(range(len(whole))) | set(range(0, len(whole), 7))):
        with open("ledger.jsonl", "wb") as file:
            file.write(whole[:length])
        kept = (length >= len(first) - 1) + (length >= len(whole) - 1)
        assert len(load_ledger("ledger.jsonl")) == kept
        assert content() == whole[:length]
        ran = []
        run_all(lambda params: ran.append(params) or succeed(params), trials=TRIALS[:2])  # noqa: B023
        assert ran == TRIALS[kept:2]
        assert len(load_ledger("ledger.jsonl")) == content().count(b"\n") == 2
        assert content().startswith(whole[: len(first)] if kept else b"{")
    assert second in content()


def test_end_without_a_newline_and_blank_lines_are_read():
    run_all(trials=TRIALS[:2])
    first, second = content().splitlines()
    with open("ledger.jsonl", "wb") as file:
        file.write(b"\n" + first + b"\r\n\n" + second)
    assert [record["number"] for record in run_all()] == list(range(1, len(TRIALS) + 1))


def test_interruption_keeps_what_is_done():
    def run(params):
        if params == TRIALS[3]:
            signal.raise_signal(signal.SIGINT)
        return succeed(params)

    with pytest.raises(KeyboardInterrupt):
        run_all(run)
    assert [record["params"] for record in load_ledger("ledger.jsonl")] == TRIALS[:3]
    assert_complete(run_all())


def test_one_sweep_writes_at_a_time():
    def run(params):
        with pytest.raises(BlockingIOError, match=r"ledger='ledger.jsonl' is being written by another sweep"):
            run_all(forbidden)
        return succeed(params)

    assert_complete(run_all(run))


def test_file_system_without_locks(monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(file, flags):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"ledger='ledger.jsonl' cannot be locked: .*No locks available; expected a file"):
        run_all(forbidden)


def test_full_disk_leaves_whole_lines(monkeypatch):
    run_all(trials=TRIALS[:1])
    before = content()

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(
        OSError, match=r"ledger='ledger.jsonl' could not be written: .*No space left .*; expected a fil"
    ):
        run_all()
    assert content() == before
    monkeypatch.undo()


def test_path_that_cannot_be_written():
    open("file", "w").close()
    os.mkdir("folder")
    for ledger in ("file/ledger.jsonl", "folder"):
        with pytest.raises(OSError, match=f"sweep: ledger='{ledger}' could not be written: .*; expected a file in a"):
            run_all(forbidden, ledger=ledger)


FOREIGN = {
    "text": b"Dear diary,\n",
    "text without a newline": b"Dear diary",
    "binary": b"\x89HDF\r\n\x1a\n\0\0\xff",
    "zeros": b"\0" * 64,
    "other JSON": b'{"params": {"a": 1}}\n',
    "other JSON without a newline": b'{"params": {"a": 1}}',
    "list": b"[1, 2]\n",
    "nested": b"[" * 100_000 + b"\n",
    "NaN": b'{"params": {"a": 1}, "status": "finished", "reason": null, "train_acc": NaN, "val_acc": 0, "seconds": 0, '
    b'"number": 1}\n',
    "no accuracy": b'{"params": {"a": 1}, "status": "finished", "reason": null, "train_acc": 0, "val_acc": null, '
    b'"seconds": 0, "number": 1}\n',
    "status": b'{"params": {"a": 1}, "status": "odd", "reason": null, "train_acc": 0, "val_acc": 0, "seconds": 0, '
    b'"number": 1}\n',
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_are_not_trial_logs_are_not_changed(name):
    with open("ledger.jsonl", "wb") as file:
        file.write(FOREIGN[name])
    with pytest.raises(
        ValueError, match=r"sweep: line 1 of ledger='ledger.jsonl' is not a record of a trial: .* expected"
    ):
        run_all(forbidden)
    with pytest.raises(ValueError, match=r"load_ledger: line 1 of ledger='ledger.jsonl' is not a record of a trial"):
        load_ledger("ledger.jsonl")
    assert content() == FOREIGN[name]


def test_damage_in_the_middle_is_named():
    run_all(trials=TRIALS[:3])
    lines = content().splitlines(keepends=True)
    damaged = lines[0] + lines[1][:20] + b"\n" + lines[2][:30]
    with open("ledger.jsonl", "wb") as file:
        file.write(damaged)
    with pytest.raises(
        ValueError, match=r"line 2 of ledger='ledger.jsonl' is not a record of a trial: .* remove the line"
    ):
        run_all(forbidden)
    assert content() == damaged


def test_trial_log_of_another_sweep_is_not_changed():
    run_all()
    before = content()[:-5]
    with open("ledger.jsonl", "wb") as file:
        file.write(before)
    with pytest.raises(
        ValueError, match=r"contains trials over \['a', 'b'\]; expected \['a'\] as in this sweep; choose"
    ):
        run_all(forbidden, grid(a=[1]))
    assert content() == before


def test_missing_trial_log():
    with pytest.raises(
        FileNotFoundError, match="load_ledger: path='nowhere' is not a file; expected the ledger of a sweep"
    ):
        load_ledger("nowhere")
