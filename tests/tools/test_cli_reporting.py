"""Failing output, such as closed streams or pictures that cannot be drawn, does not lose finished work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY
from runs import solver_state
from small_solver import make

from fastnn import checkpoint, sweep
from fastnn.cli import common, main
from fastnn.output import streams
from fastnn.sweep import load_ledger

pytestmark = [
    pytest.mark.usefixtures("tiny_runs"),
    pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by a POSIX shell"),
]

# the commands on tiny cases; `/` separates several commands in the arguments
PROGRAM = f"""
import sys
from fastnn.benchmarking import cases, roofline
from fastnn.cli import main, settings

for table in (*settings.DEFAULTS.values(), *settings.SWEEP_DEFAULTS.values()):
    table.update({TINY})
affine = cases.select(["affine"])[0]
cases.HEADLINE = (cases.Case("affine", affine.timed, (2, 3), dict(M=4)),)
roofline.measured = lambda: {{"FLOP/s": {{"float32": 1e12, "float64": 5e11}}, "B/s": 1e11}}
commands, codes = " ".join(sys.argv[1:]).split(" / "), []
for command in commands:
    codes.append(main(command.split()))
    if len(commands) > 1:
        print("==", command.split()[0], codes[-1])
sys.exit(max(codes))
"""
COMMANDS = {
    "train": "train --model two-layer --out größe",
    "resume": "resume größe --epochs 3",
    "plot": "plot größe",
    "sweep": "sweep --model two-layer --learning-rate 1e-3 --reg 0 --epochs 1 --out größe",
    "bench": "bench --quick --repeat 1 --no-torch --backend vectorized --json größe/bench.json --chart größe/bench.png",
}
SAID = {
    "train": "validation accuracy",
    "resume": "validation accuracy",
    "plot": "/training.png",
    "sweep": "best                 validation accuracy",
    "bench": "affine 2x3x4",
}
PICTURES = {"sweep": "sweep.png", "bench": "bench.png"}
FOLDER = Path("größe")


def run(command, redirections="", **environment):
    """Run a process with streams as from a shell."""
    words = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", PROGRAM, *command.split()]
    return subprocess.run(words, capture_output=True, encoding="utf-8", env={**os.environ, **environment})


def prepared(command):
    if command in ("resume", "plot"):
        assert main(COMMANDS["train"].split()) == 0
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / PICTURES.get(command, "training.png")).unlink(missing_ok=True)


def is_complete(command):
    """Whether all files of a command exist and are complete."""
    assert (FOLDER / PICTURES.get(command, "training.png")).read_bytes().startswith(b"\x89PNG")
    if command in ("train", "resume"):
        assert solver_state(FOLDER)["epoch"] == (2 if command == "train" else 3)
    if command == "sweep":
        assert [record["status"] for record in load_ledger(FOLDER / "ledger.jsonl")] == ["finished"]
    if command == "bench":
        assert json.loads((FOLDER / "bench.json").read_text())["results"]


ALL = " / ".join(COMMANDS.values())


# ---- streams ----


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "0>&- >&- 2>&-"])
def test_closed_streams(redirections):
    FOLDER.mkdir()
    done = run(ALL, redirections)
    assert (done.returncode, done.stderr) == (0, "")
    if redirections == "2>&-":
        assert all(f"== {command} 0\n" in done.stdout and SAID[command] in done.stdout for command in COMMANDS)
    else:
        assert done.stdout == ""
    for command in ("resume", "sweep", "bench"):
        is_complete(command)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_stdout_is_an_error_at_the_end(command):
    prepared(command)
    done = run(COMMANDS[command], ">/dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith(f"fastnn {command}: error: stdout could not be written: ")
    assert len(done.stderr.splitlines()) == 1
    is_complete(command)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_a_full_disk_behind_stderr_is_not_an_error():
    done = run(COMMANDS["train"] + " --json", "2>/dev/full")
    assert done.returncode == 0
    assert json.loads(done.stdout)["epochs"] == 2
    is_complete("train")


def test_names_that_the_encoding_lacks_are_escaped():
    FOLDER.mkdir()
    done = run(ALL, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"== {command} 0\n" in done.stdout and SAID[command] in done.stdout for command in COMMANDS)
    for command in ("resume", "sweep", "bench"):
        is_complete(command)


def test_an_error_about_such_a_name_is_one_line_too():
    done = run("resume größe", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.startswith(r"fastnn resume: error: load: path='gr\xf6\xdfe' is not a file")


def test_a_reader_that_leaves_during_training_does_not_stop_it():
    words = [sys.executable, "-c", PROGRAM, *COMMANDS["train"].split()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    is_complete("train")


class Broken:
    """A stream whose terminal is closed."""

    encoding = "utf-8"

    def write(self, text):
        raise OSError(5, "Input/output error")

    flush = isatty = lambda self: None


def test_a_broken_stdout_stops_neither_solver_nor_sweep_of_a_script(monkeypatch):
    expected = make(num_epochs=2)
    expected.train()
    monkeypatch.setattr(sys, "stdout", Broken())
    solver = make(num_epochs=2, verbose=True, print_every=1)
    solver.train()
    assert solver.loss_history == expected.loss_history
    assert len(sweep.sweep(lambda _: {"val_acc": 0.5}, [{"a": 1}, {"a": 2}], "ledger.jsonl")) == 2


def test_a_stream_that_the_script_closed(monkeypatch):
    with open("log", "w") as closed:
        pass
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        streams.say("is there anybody?", flush=True)
        assert not streams.Stream(stream).isatty()


def test_main_leaves_the_streams_as_they_were(capsys):
    before = sys.stdout, sys.stderr
    assert main(["info"]) == 0
    assert (sys.stdout, sys.stderr) == before


# ---- pictures ----


def module(text):
    """Return a folder for PYTHONPATH with a fake matplotlib of these lines."""
    Path("broken").mkdir()
    Path("broken/matplotlib.py").write_text(text)
    return {"PYTHONPATH": "broken"}


def matplotlibrc(text):
    Path("matplotlibrc").write_bytes(text)
    return {}


DRAWN = {
    "backend of a notebook": lambda: {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "backend with windows": lambda: {"MPLBACKEND": "TkAgg"},
    "unknown backend": lambda: {"MPLBACKEND": "nonsense"},
    "missing font": lambda: matplotlibrc(b"font.family: Nowhere\nmathtext.fontset: custom\n"),
    "missing style": lambda: matplotlibrc(b"style: nowhere\naxes.prop_cycle: nonsense\n"),
    "LaTeX that is not there": lambda: matplotlibrc(b"text.usetex: True\n"),
}
NOT_DRAWN = {
    "matplotlibrc that is not text": (lambda: matplotlibrc(b"\xff\xfe\x00"), "UnicodeDecodeError: "),
    "no matplotlib": (lambda: module("raise ModuleNotFoundError('no matplotlib')"), "ModuleNotFoundError: no matplo"),
    "broken matplotlib": (lambda: module("1 / 0"), "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("situation", DRAWN)
def test_pictures_are_drawn_whatever_is_configured(situation):
    FOLDER.mkdir()
    done = run(f"{COMMANDS['train']} / {COMMANDS['bench']}", **DRAWN[situation]())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "could not be drawn" not in done.stderr
    for command in ("train", "bench"):
        is_complete(command)


@pytest.mark.parametrize("situation", NOT_DRAWN)
def test_work_is_done_where_no_picture_can_be_drawn(situation):
    FOLDER.mkdir()
    prepare, reason = NOT_DRAWN[situation]
    done = run(ALL, **prepare())
    said = [line for line in done.stderr.splitlines() if "could not be drawn" in line]
    for line, command in zip(said, COMMANDS, strict=True):
        kind, picture = "error" if command == "plot" else "warning", PICTURES.get(command, "training.png")
        beginning = f"fastnn {command}: {kind}: the picture 'größe/{picture}' could not be drawn: {reason}"
        assert line.startswith(beginning)
        assert f"== {command} {2 if command == 'plot' else 0}\n" in done.stdout
        assert command == "plot" or SAID[command] in done.stdout
    assert "Traceback" not in done.stderr
    assert not list(FOLDER.glob("*.png*"))
    assert solver_state(FOLDER)["epoch"] == 3


def test_a_folder_in_the_place_of_a_picture():
    for name in ("training.png", *PICTURES.values()):
        (FOLDER / name).mkdir(parents=True)
    done = run(ALL)
    for line, command in zip(done.stderr.splitlines(), COMMANDS, strict=True):
        picture = FOLDER / PICTURES.get(command, "training.png")
        assert f"the picture '{picture}' could not be drawn: IsADirectoryError: " in line
        assert f"== {command} {2 if command == 'plot' else 0}\n" in done.stdout
        assert command == "plot" or SAID[command] in done.stdout


def test_the_result_as_json_says_that_there_is_no_picture(monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no fonts")

    for name in ("cli.run.draw", "cli.plot.draw", "vis_utils.plot_sweep"):
        monkeypatch.setattr(f"fastnn.{name}", fail)
    for command, folder, code in (("train", "part", 0), ("plot", "part", 2), ("sweep", "sweep", 0)):
        assert main([*COMMANDS[command].replace("größe", folder).split(), "--json"]) == code
        out, err = capsys.readouterr()
        assert json.loads(out)["picture"] is None
        assert "could not be drawn: RuntimeError: no fonts" in err
    assert checkpoint.load("part/checkpoint.h5")["solver"]["epoch"] == 2


def test_what_to_type_next_is_said_where_the_folder_has_no_path(monkeypatch):
    def fail(_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as on Windows

    monkeypatch.setattr(os.path, "relpath", fail)
    monkeypatch.setattr(sys, "argv", ["/somewhere/fastnn"])
    monkeypatch.setattr(common.shutil, "which", lambda _: None)
    assert common.typed("resume", "part") == "/somewhere/fastnn resume part"
