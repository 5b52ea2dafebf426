"""Writing to a symbolic link replaces the target, and keeps the link and the permissions."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from runs import assert_identical, solver_state
from small_solver import Model, data, make

from fastnn import checkpoint, data_utils, sweep, vis_utils
from fastnn.checkpoint import locks
from fastnn.checkpoint import run as run_file
from fastnn.classifiers import Softmax, SparseAutoencoder, TwoLayerNet
from fastnn.cli import bench, check, main
from fastnn.nn import weights_io
from fastnn.solver import Solver

pytestmark = [
    pytest.mark.usefixtures("tiny_runs"),
    pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there"),
]

# ---- every kind of link ----

LINKS = {
    "in the same folder": {"link": "file"},
    "to another folder": {"link": "other/file"},
    "absolute": {"link": "{here}/other/file"},
    "to a folder above": {"other/link": "../file"},
    "chain": {"link": "other/second", "other/second": "third", "other/third": "../file"},
    "through a linked folder": {"link": "folder/file", "folder": "other"},
}


@pytest.fixture(params=LINKS)
def link(request):
    """Create a symbolic link to a file that does not exist, in an existing folder."""
    os.mkdir("other")
    for name, target in LINKS[request.param].items():
        os.symlink(target.format(here=os.getcwd()), name)
    return Path(next(iter(LINKS[request.param])))


def layout():
    """Return the files, and links with their targets."""
    return {str(path): os.readlink(path) if path.is_symlink() else None for path in Path().rglob("*")}


def stats(number):
    return {"loss_history": [number, 1.0], "train_acc_history": [0.1], "val_acc_history": [0.2]}


def solve(path, number):
    make(checkpoint_name=str(path), num_epochs=1, seed=number, checkpoint_every=100).train()


def save_text(path, number):
    from fastnn.output import atomic

    atomic.write_text(path, f"text {number}")


WRITERS = {
    "checkpoint.save": lambda path, number: checkpoint.save(path, {"number": number}),
    "weights": lambda path, number: weights_io.save(path, {"W": np.full(3, float(number))}),
    "save_patches": lambda path, number: data_utils.save_patches(path, np.full((1, 3, 2, 2), number)),
    "Solver": solve,
    "text": save_text,
    "picture": lambda path, number: vis_utils.plot_stats(stats(number), path),
}
SUFFIX = {"Solver": ".h5", "picture": ".png"}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize("name", WRITERS)
def test_the_target_is_written_and_the_link_stays(link, name):
    if name in SUFFIX:  # otherwise a suffix would be added
        link = link.rename(link.with_suffix(SUFFIX[name]))
    before, write = layout(), WRITERS[name]
    target = Path(os.path.realpath(link)).relative_to(os.getcwd())
    write(link, 1)
    assert layout() == {**before, str(target): None}
    first = target.read_bytes()
    write(link, 2)
    assert target.read_bytes() != first
    previous = {f"{target}.prev": None} if name in ("checkpoint.save", "Solver") else {}
    assert layout() == {**before, str(target): None, **previous}
    for path in map(Path, previous):
        assert path.read_bytes() == first


def test_a_linked_previous_checkpoint_stays_linked():
    os.mkdir("other")
    os.symlink("other/old", "run.h5.prev")
    for number in range(3):
        checkpoint.save("run.h5", {"number": number})
    assert os.readlink("run.h5.prev") == "other/old"
    assert checkpoint.load("other/old") == {"number": 1}
    assert sorted(layout()) == ["other", "other/old", "run.h5", "run.h5.prev"]


@pytest.mark.parametrize("name", ["checkpoint.save", "weights", "save_patches", "text"])
def test_a_link_to_itself_is_an_error(name):
    os.symlink("loop", "loop")
    with pytest.raises(OSError, match=r"loop"):
        WRITERS[name]("loop", 1)
    assert layout() == {"loop": "loop"}


@pytest.mark.parametrize("name", ["weights", "save_patches", "text"])
def test_a_missing_folder_is_an_error(name):
    os.symlink("nowhere/file", "link")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        WRITERS[name]("link", 1)
    assert layout() == {"link": "nowhere/file"}


def test_a_checkpoint_makes_the_folder_of_the_target():
    os.symlink("new/folder/file", "link")
    checkpoint.save("link", {"number": 1})
    assert checkpoint.load("new/folder/file") == {"number": 1}


@pytest.mark.parametrize("name", ["weights", "save_patches", "text", "checkpoint.save"])
def test_permissions_are_kept_and_new_files_have_the_usual_ones(name):
    Path("usual").touch()
    WRITERS[name]("new", 1)
    assert Path("new").stat().st_mode == Path("usual").stat().st_mode
    for mode in (0o600, 0o664, 0o444):
        Path("new").chmod(mode)
        WRITERS[name]("new", 2)
        assert Path("new").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", ["weights", "text"])
def test_a_pipe_is_written_to(name):
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        WRITERS[name](f"/dev/fd/{writing}", 1)
        os.close(writing)
        assert pipe.read()


@pytest.mark.parametrize("model", [TwoLayerNet(4, 3, 2), SparseAutoencoder(4, 3, 0.1, 1.0, 0.0), Softmax()])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_weights_of_every_model(model, suffix):
    if isinstance(model, Softmax):
        model.train(np.eye(4), np.arange(4), num_iters=1)
    os.symlink(f"file{suffix}", f"link{suffix}")
    model.save(f"link{suffix}")
    assert os.readlink(f"link{suffix}") == f"file{suffix}"
    assert weights_io.load(f"file{suffix}")[0].keys() == model.params.keys() if hasattr(model, "params") else {"W"}


# ---- runs ----


def test_resume_through_a_link():
    make(checkpoint_name="run.h5", num_epochs=2).train()
    make(checkpoint_name="whole.h5", num_epochs=4).train()
    os.symlink("run.h5", "latest.h5")
    Solver.resume("latest.h5", data(), model=Model(), num_epochs=4).train()
    assert os.readlink("latest.h5") == "run.h5"
    assert_identical(checkpoint.load("run.h5")["solver"], checkpoint.load("whole.h5")["solver"])


def test_resume_through_a_link_to_one_file_of_many():
    make(checkpoint_name="run", num_epochs=2).train()
    os.symlink("run_epoch_2.h5", "latest.h5")
    before = Path("run_epoch_2.h5").read_bytes()
    Solver.resume("latest.h5", data(), model=Model(), num_epochs=3).train()
    assert Path("run_epoch_2.h5").read_bytes() == before
    assert run_file.read("test", "run_epoch_3.h5")["solver"]["epoch"] == 3
    assert os.readlink("latest.h5") == "run_epoch_2.h5"


def test_an_error_names_the_previous_checkpoint_where_it_is():
    for number in range(2):
        checkpoint.save("other/run.h5", {"number": number})
    os.symlink("other/run.h5", "latest.h5")
    Path("other/run.h5").write_bytes(Path("other/run.h5").read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"use '{os.getcwd()}/other/run.h5.prev' or an older copy"):
        checkpoint.load("latest.h5")
    with pytest.raises(ValueError, match=r"use 'run\.h5\.prev' or an older copy"):
        checkpoint.load("other/run.h5")


@pytest.mark.parametrize("link", ["latest.h5", "latest"])
def test_the_command_resumes_through_a_link(link):
    assert main(["train", "--out", "runs/first"]) == 0
    os.symlink("runs/first" + ("/checkpoint.h5" if link.endswith(".h5") else ""), link)
    before = layout()
    assert main(["resume", link, "--epochs", "3"]) == 0
    assert solver_state("runs/first")["epoch"] == 3
    assert layout() == before


def test_a_run_whose_files_are_links():
    os.makedirs("large")
    os.makedirs("runs/first")
    names = ("checkpoint.h5", "checkpoint.h5.prev", "training.png")
    for name in names:
        os.symlink(f"../../large/{name}", f"runs/first/{name}")
    assert main(["train", "--out", "runs/first"]) == 0
    assert sorted(os.listdir("large")) == sorted(names)
    assert all(Path("runs/first", name).is_symlink() for name in names)
    assert sorted(os.listdir("runs/first")) == sorted(names)


def test_a_sweep_whose_files_are_links(capsys):
    os.makedirs("large")
    os.makedirs("runs/first")
    names = ("ledger.jsonl", "sweep.json", "sweep.png")
    for name in names:
        os.symlink(f"../../large/{name}", f"runs/first/{name}")
    arguments = ["sweep", "--out", "runs/first", "--learning-rate", "1e-3", "--reg", "0"]
    assert main([*arguments, "1e-3"]) == 0
    assert main([*arguments, "1e-2"]) == 0
    assert sorted(os.listdir("large")) == sorted(names)
    assert all(Path("runs/first", name).is_symlink() for name in names)
    assert sorted(os.listdir("runs/first")) == sorted(names)
    assert len(sweep.load_ledger("large/ledger.jsonl")) == 3


@pytest.mark.parametrize("command", ["bench", "check"])
def test_results_as_json(monkeypatch, command):
    from fastnn.benchmarking import report, table
    from fastnn.testing.conformance import support_matrix

    monkeypatch.setattr(report, "run", lambda *_, **__: {"measured": 1})
    monkeypatch.setattr(table, "render", lambda _: "")
    monkeypatch.setattr(support_matrix, "run", lambda *_: {"measured": 1, "reports": []})
    monkeypatch.setattr(check, "_rendered", lambda *_: "")
    monkeypatch.setattr(support_matrix, "table", lambda _: "")
    monkeypatch.setattr(bench, "backends", list)
    os.symlink("results.json", "link.json")
    assert main([command, "--json", "link.json", "--backend", "vectorized"]) == 0
    assert os.readlink("link.json") == "results.json"
    assert json.loads(Path("results.json").read_text())["measured"] == 1


# ---- one writer at a time ----

OWNER = """
import sys
from fastnn.checkpoint import locks
with locks.reserved(sys.argv[1]):
    print("reserved", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("reserved", "written"), [("run.h5", "link.h5"), ("link.h5", "run.h5"), ("link.h5", "second")])
def test_a_link_and_its_target_are_one_checkpoint(reserved, written):
    os.mkdir("other")
    os.symlink("other/run.h5", "link.h5")
    os.symlink("other/run.h5", "second")
    os.symlink("other/run.h5", "run.h5")
    command = [sys.executable, "-c", OWNER, reserved]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reserved\n"
        with pytest.raises(BlockingIOError, match="is being written by another run"):
            checkpoint.save(written, {})
        assert os.listdir("other") == ["run.h5.lock"]
        process.stdin.close()
    checkpoint.save(written, {})
    assert os.listdir("other") == ["run.h5"]


def test_threads_exclude_one_another_through_links():
    os.symlink("run.h5", "link.h5")
    refused = []

    def save():
        try:
            checkpoint.save("link.h5", {})
        except BlockingIOError:
            refused.append(True)

    with locks.reserved("run.h5"):
        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
        checkpoint.save("link.h5", {})  # locks of one thread are re-entrant
    assert refused == [True]


def test_two_sweeps_exclude_one_another_through_links():
    os.symlink("ledger.jsonl", "link.jsonl")

    def run(params):
        with pytest.raises(BlockingIOError, match="is being written by another sweep"):
            sweep.sweep(lambda _: {"val_acc": 1.0}, [{"a": 2}], "link.jsonl", verbose=False)
        return {"val_acc": 1.0}

    assert sweep.sweep(run, [{"a": 1}], "ledger.jsonl", verbose=False)[0]["status"] == "finished"
    assert os.readlink("link.jsonl") == "ledger.jsonl"
