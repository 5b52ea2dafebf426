"""`fastnn plot`, with checkpoints of commands and of scripts."""

import json
import os
from pathlib import Path

import pytest
from script_runs import script

from fastnn import checkpoint, nn, vis_utils
from fastnn.cli import main

pytestmark = pytest.mark.usefixtures("tiny_runs")
training_picture = vis_utils.training_picture


def test_plot_draws_what_train_draws(capsys, monkeypatch):
    monkeypatch.setattr(vis_utils, "training_picture", training_picture)
    assert main(["train", "--out", "part"]) == 0
    expected = Path("part/training.png").read_bytes()
    for path, picture in (("part", "part/training.png"), ("part/checkpoint.h5", "other.png")):
        os.remove("part/training.png")
        capsys.readouterr()
        assert main(["plot", path, *([] if picture.startswith("part") else ["--out", picture])]) == 0
        assert capsys.readouterr().out == f"{picture}\n"
        assert Path(picture).read_bytes() == expected
        Path("part/training.png").touch()


@pytest.mark.parametrize(
    ("model", "drawn"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 5, seed=0), nn.Linear(1568, 10, seed=0)), (2, 3, 5, 5)),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Linear(3072, 10, seed=0)), (3072, 10)),
        (lambda: nn.Sequential(nn.GlobalAvgPool2d(), nn.Linear(3, 10, seed=0)), None),
    ],
)
def test_plot_of_a_script(capsys, monkeypatch, model, drawn):
    seen = []
    monkeypatch.setattr(vis_utils, "training_picture", lambda state, w, path, **_: seen.append((w.shape, path)))
    monkeypatch.setattr(vis_utils, "plot_stats", lambda state, path: seen.append((None, path)))
    script(model=model())
    assert main(["plot", "run.h5", "--json"]) == 0
    assert seen == [(drawn, Path("run.png"))]
    result = json.loads(capsys.readouterr().out)
    assert (result["iteration"], len(result["loss_history"])) == (6, 6)


def test_plot_of_files_of_schema_1():
    solver = script()
    checkpoint.save("old.h5", solver.state())
    assert main(["plot", "old.h5"]) == 0
    assert os.path.exists("old.png")


def test_plot_of_a_file_that_is_not_a_run(error_of):
    nn.Sequential(nn.Linear(2, 2)).save("model.h5")
    assert "plot: path='model.h5' is not a checkpoint of a run" in error_of("plot", "model.h5")
