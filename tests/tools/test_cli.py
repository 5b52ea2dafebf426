"""The command line: errors, usage, info; mostly in process."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import checkpoint
from fastnn.cli import info, main, settings
from fastnn.kernels.dispatch import switch

pytestmark = pytest.mark.usefixtures("tiny_runs")


# errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--batch-size", "0"], "batch_size=0 is out of range; expected at least 1"),
        (["train", "--epochs", "0"], "num_epochs=0 is out of range"),
        (["train", "--learning-rate", "-1"], "['learning_rate']=-1"),
        (["train", "--num-train", "0"], "num_training=0 is out of range"),
        (["train", "--hidden-dim", "0"], "expected at least 1"),
        (["train", "--seed", "-1"], "seed=-1"),
        (
            ["train", "--model", "two-layer", "--num-filters", "4"],
            "--num-filters=4 does not apply to --model two-layer",
        ),
        (["train", "--out", "file/folder"], "train: out='file/folder' cannot be written, because of "),
        (["resume", "nowhere"], "load: path='nowhere' is not a file; expected a checkpoint"),
        (["resume", "other.h5"], "path='other.h5' is not a checkpoint of a run (it has ['params'])"),
        (["bench", "--json", "nowhere/results.json"], "nowhere"),
    ],
)
def test_errors_are_one_line(error_of, arguments, message):
    open("file", "w").close()
    checkpoint.save("other.h5", {"params": {}})
    assert message in error_of(*arguments)
    assert not os.path.exists("runs")


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line_too(capsys, monkeypatch):
    monkeypatch.setattr(settings.Settings, "load_data", lambda self: warnings.warn("watch out", stacklevel=2) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # unexpected errors keep their traceback
        main(["train"])
    assert capsys.readouterr().err == "fastnn train: warning: watch out\n"


def test_unknown_backend_in_the_environment(error_of, monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "vectorised")
    assert "backend='vectorised' is unknown; expected one of" in error_of("train")


@pytest.mark.parametrize("command", ["train", "sweep", "bench", "check"])
def test_backend_that_cannot_run(error_of, command):
    missing = [line.name for line in fastnn.backends() if not line.available]
    if not missing:
        pytest.skip("every backend runs here")
    assert f"backend={missing[0]!r} cannot run here" in error_of(command, "--backend", missing[0])


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["train", "--model", "transformer"], ["train", "--epochs", "many"], ["bench", "--repeat", "0"]],
)
def test_wrong_usage(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastnn") and ": error: " in line and line.endswith(" --help")


@pytest.mark.parametrize("command", ["train", "resume", "predict", "plot", "sweep", "warmup", "bench", "check"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert f"examples:\n  fastnn {command}" in out


# info


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"fastnn {fastnn.__version__}, python {sys.version.split()[0]}, numpy {np.__version__}" in out
    assert "active      vectorized, from the environment variable FASTNN_BACKEND" in out
    for line in fastnn.backends():
        assert f"{line.name:11} {'available' if line.available else 'not available: ' + line.reason}" in out


def test_info_says_on_what_and_why_not(capsys, monkeypatch):
    lines = [
        switch.Backend("slow", True, "", ""),
        switch.Backend("quick", True, "", "", "a large computer"),
        switch.Backend("quickest", False, "there is no such computer", "build it"),
    ]
    monkeypatch.setattr(info, "backends", lambda: lines)
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "backends    slow        available\n            quick       available: a large computer\n" in out
    assert "            quickest    not available: there is no such computer; build it\n" in out


def test_info_of_a_backend_that_cannot_run(capsys, monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "mend it") if name == "cuda" else None)
    monkeypatch.setenv("FASTNN_BACKEND", "cuda")
    assert main(["info"]) == 0
    origin = "active      the environment variable FASTNN_BACKEND"
    assert f"{origin}: backend='cuda' cannot run here: it is broken; mend it\n" in capsys.readouterr().out


def test_info_as_json(capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "")
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["active"]["origin"] == "the default"
    assert {line["name"] for line in found["backends"]} >= {"naive", "vectorized"}
    assert found["machine"]["cores"] >= 1


def test_info_of_an_unknown_backend(capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "gpu")
    assert main(["info"]) == 0
    assert "active      the environment variable FASTNN_BACKEND: backend='gpu' is unknown" in capsys.readouterr().out


def test_info_says_where_cifar10_is(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    assert main(["info"]) == 0
    assert f"not in {tmp_path / 'data'} or {tmp_path / 'cache'}" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


# the process


def test_process_imports_only_what_it_needs():
    code = (
        "import sys; from fastnn.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'numba', 'matplotlib', 'h5py', 'tqdm', 'torch', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


def test_process_says_that_the_gpu_is_simulated():
    pytest.importorskip("numba", reason="the backend cuda needs numba")
    command = [sys.executable, "-m", "fastnn", "info"]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "FASTNN_BACKEND": "cuda"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "cuda        available: simulated by numba, slowly, because NUMBA_ENABLE_CUDASIM is set\n" in done.stdout
    assert "active      cuda, from the environment variable FASTNN_BACKEND\n" in done.stdout


def test_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "fastnn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fastnn {fastnn.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes behave otherwise")
def test_reader_that_leaves_early():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "fastnn", "info"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
