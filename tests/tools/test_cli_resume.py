"""`fastnn resume` of runs of scripts and other backends, and runs that another process trains."""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import assert_identical, solver_state
from script_runs import Own, predicted, script, shape_images

from fastnn import checkpoint, data_utils, nn
from fastnn.checkpoint import locks
from fastnn.cli import main
from fastnn.cli import settings as cli_settings
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("tiny_runs")


def test_solver_resume_continues_a_run_of_the_command_line(stop_after):
    assert main(["train", "--out", "whole", "--schedule", "cosine"]) == 0
    restore = stop_after(4)
    assert main(["train", "--out", "part", "--schedule", "cosine"]) == 130
    restore()
    solver = Solver.resume("part/checkpoint.h5", data_utils.get_shapes_data(12, 6, 5), verbose=False)
    solver.train()
    assert_identical({**solver.state(), "finished": False}, {**solver_state("whole"), "params": solver.best_params})


@pytest.mark.parametrize("name", ["run.h5", "run"])
def test_the_run_of_a_script_resumes(capsys, name):
    script(name, num_epochs=4)
    shutil.move("run.h5" if name == "run.h5" else "run_epoch_4.h5", "whole.h5")
    script(name, num_epochs=3)
    path = "run.h5" if name == "run.h5" else "run_epoch_3.h5"
    assert main(["resume", path, "--data", "shapes", "--epochs", "4"]) == 0
    out = capsys.readouterr().out
    assert "model                Sequential: 4,566 parameters\n" in out
    assert "shapes: 12 training, 6 validation, 5 test images" in out
    assert "4 epochs, 12 steps of 4 images, 9 done; sgd\n" in out
    end = "run.h5" if name == "run.h5" else "run_epoch_4.h5"
    assert_identical(checkpoint.load(end)["solver"], checkpoint.load("whole.h5")["solver"])


def test_the_run_of_a_script_without_a_name_is_saved_where_it_was_read(capsys):
    script(None).save("run.h5")
    assert main(["resume", "run.h5", "--data", "shapes", "--epochs", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["checkpoint"], result["picture"], result["settings"]) == ("run.h5", "run.png", None)
    assert checkpoint.load("run.h5")["solver"]["iteration"] == result["steps"] > 6


def test_resume_needs_to_know_the_data_of_a_script(error_of):
    script()
    expected = "resume: path='run.h5' was written by a script, and does not name its data set; expected the name"
    assert expected in error_of("resume", "run.h5")
    script("other.h5", data=data_utils.get_shapes_data(12, 6, 5, seed=3))
    expected = "resume: path='other.h5' was trained on other data than --data shapes, or on other images of it"
    assert expected in error_of("resume", "other.h5", "--data", "shapes")
    assert main(["train", "--out", "part"]) == 0
    assert "--data shapes does not apply to path='part/checkpoint.h5'" in error_of("resume", "part", "--data", "shapes")


@pytest.mark.parametrize("scaled", [True, False])
def test_pixels_of_cifar10_are_known_again_scaled_and_not(monkeypatch, scaled):
    def photographs(*sizes, root, **options):
        return {name: array.copy() for name, array in data_utils.get_shapes_data(*sizes, **options).items()}

    monkeypatch.setattr(data_utils, "get_CIFAR10_data", photographs)
    data = photographs(12, 6, 5, root=None)
    if scaled:
        for name in ("X_train", "X_val", "X_test"):
            data[name] *= cli_settings.PIXEL_SCALE
    script(data=data)
    assert main(["resume", "run.h5", "--data", "cifar10", "--epochs", "3"]) == 0


OWN = """
import numpy as np
import fastnn.nn.functional as F
from fastnn import nn
from widths import WIDTH

class Own(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, WIDTH, 3, padding=1, seed=seed), nn.Linear(WIDTH, 10, seed=seed)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).mean((2, 3)))

made = Own()
nothing = dict
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The class of a network in a module of this folder, which imports another."""
    monkeypatch.chdir(tmp_path)
    Path("own_network.py").write_text(OWN)
    Path("widths.py").write_text("WIDTH = 2")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_network").Own
    for name in ("own_network", "widths"):
        sys.modules.pop(name)


@pytest.mark.parametrize("name", ["Own", "made"])
def test_a_network_of_ones_own_resumes_and_predicts(capsys, own, name):
    expected = script("whole.h5", own())
    solver = script("run.h5", own(), num_epochs=1)
    images, inputs = shape_images()
    np.save("pixels.npy", images)
    given = ["--data", "shapes", "--model", f"own_network:{name}"]
    assert main(["resume", "run.h5", *given, "--epochs", "2"]) == 0
    assert "resume run.h5 --data shapes --model own_network:" in capsys.readouterr().out
    resumed = Solver.resume("run.h5", data_utils.get_shapes_data(12, 6, 5), model=own())
    assert resumed.loss_history == expected.loss_history
    result = predicted(capsys, "run.h5", "pixels.npy", *given, "--top", "1")
    solver.model.params = resumed.best_params
    assert [one["classes"][0]["class"] for one in result["predictions"]] == solver.model.loss(inputs).argmax(1).tolist()


def test_a_network_of_ones_own_that_cannot_be_made(own, error_of):
    script("run.h5", own())
    for text, message in (
        ("own_network", "resume: model='own_network' names no class or function; expected MODULE:NAME; write mine:Net"),
        (
            "own_network:Owm",
            "resume: own_network has no class or function 'Owm'; expected one of its own; did you mean",
        ),
        (
            "own_network:nothing",
            "resume: model='own_network:nothing' makes {}, which has no parameters; expected a net",
        ),
        ("nowhere:Own", "resume: model='nowhere:Own' cannot be imported (No module named 'nowhere'); expected a mod"),
    ):
        assert message in error_of("resume", "run.h5", "--data", "shapes", "--model", text)
    assert main(["train", "--out", "part"]) == 0
    error = error_of("resume", "part", "--model", "own_network:Own")
    assert "resume: --model own_network:Own does not apply to path=" in error


def test_resume_says_what_a_script_has_to_pass_itself(error_of):
    script("own.h5", Own(nn.Linear(3072, 10, seed=0)))
    assert "saved with model: an object of the class Own, which cannot be stored in a file" in error_of(
        "resume", "own.h5", "--data", "shapes"
    )


def test_resume_of_files_of_schema_1_by_scripts_raises(error_of):
    checkpoint.save("run.h5", script().state())
    assert "resume: path='run.h5' is a checkpoint of a script and an older fastnn" in error_of("resume", "run.h5")


@pytest.mark.filterwarnings("default")
def test_resume_on_another_backend_is_reported(capsys, monkeypatch, stop_after):
    restore = stop_after(3)
    assert main(["train", "--out", "part"]) == 130
    restore()
    capsys.readouterr()
    assert main(["resume", "part", "--backend", "naive"]) == 0
    expected = (
        "fastnn resume: warning: Solver.resume: the run was saved with backend vectorized (now naive): it resumes"
    )
    assert expected in capsys.readouterr().err


# two processes


def test_a_folder_in_which_a_run_has_just_begun_is_not_taken(error_of):
    with locks.reserved("runs/shapes-three-layer-conv/checkpoint.h5"):
        assert main(["train"]) == 0
    assert os.path.exists("runs/shapes-three-layer-conv-2/checkpoint.h5")


def test_a_run_that_another_process_trains_is_left_alone(error_of, monkeypatch):
    assert main(["train", "--out", "part"]) == 0
    before = Path("part/checkpoint.h5").read_bytes()

    def take(file):
        raise BlockingIOError

    iterate, trained = Solver._iterate, []

    def watched(self):
        trained.append(len(self.X_train))
        iterate(self)

    monkeypatch.setattr(Solver, "_iterate", watched)
    monkeypatch.setattr(locks, "take", take)
    expected = "save: path='part/checkpoint.h5' is being written by another run; expected one run at a time"
    assert expected in error_of("resume", "part", "--epochs", "4")
    assert Path("part/checkpoint.h5").read_bytes() == before
    assert set(trained) == {1}  # from the preparation
