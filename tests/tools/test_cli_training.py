"""The training options of `fastnn train`."""

import pytest
from runs import assert_identical, solver_state

from fastnn import checkpoint, data_utils
from fastnn.classifiers import ThreeLayerConvNet
from fastnn.cli import main, settings

pytestmark = pytest.mark.usefixtures("tiny_runs")


@pytest.mark.parametrize("schedule", settings.SCHEDULES)
def test_schedules(capsys, stop_after, schedule):
    options = ["--schedule", schedule, "--sampling", "blocks", "--lr-decay", "0.9", "--update-rule", "adamw"]
    options += ["--weight-decay", "0.1", "--early-stopping", "5"]
    assert main(["train", "--out", "whole", *options]) == 0
    out = capsys.readouterr().out
    assert (f"learning rate 0.001, {schedule} schedule\n" in out) == (schedule != "none")
    stored = checkpoint.load("whole/checkpoint.h5")["settings"]
    assert (stored["schedule"], stored["sampling"], stored["lr_decay"]) == (schedule, "blocks", 0.9)
    restore = stop_after(4)
    assert main(["train", "--out", "part", *options]) == 130
    restore()
    assert main(["resume", "part"]) == 0
    assert_identical(solver_state("part"), solver_state("whole"))
    config = solver_state("whole")["optim_configs"]["W1"]
    assert config["weight_decay"] == 0.1
    assert (config["learning_rate"] == 1e-3 * 0.9 * 0.9) == (schedule == "none")


def test_early_stopping(capsys, error_of):
    assert main(["train", "--out", "part", "--early-stopping", "1", "--epochs", "9", "--learning-rate", "1e-12"]) == 0
    assert "(Epoch 1 / 9) stopped early: no better val_acc for 1 epoch\n" in capsys.readouterr().out
    assert solver_state("part")["iteration"] == 3
    expected = "resume: early_stopping=1 ended this run after epoch 1 of 18; expected some left to do; train again"
    assert expected in error_of("resume", "part", "--epochs", "18")


def test_only_resumable_runs_print_how_to_resume(capsys):
    assert main(["train", "--out", "part", "--early-stopping", "1", "--epochs", "9", "--learning-rate", "1e-12"]) == 0
    assert "resume with" not in capsys.readouterr().out
    assert main(["train", "--out", "whole", "--early-stopping", "9"]) == 0
    assert "resume with          fastnn resume whole --epochs 4" in capsys.readouterr().out


def test_loss_that_is_not_finite_from_the_beginning(capsys, monkeypatch):
    original = ThreeLayerConvNet.loss

    def loss(self, X, y=None):
        result = original(self, X, y)
        return result if y is None else (float("nan"), result[1])

    monkeypatch.setattr(ThreeLayerConvNet, "loss", loss)
    assert main(["train", "--out", "part"]) == 1
    assert "fastnn train: Solver: loss = nan in iteration 1; expected a finite number" in capsys.readouterr().err


def test_augmentation(capsys, monkeypatch, stop_after):
    def photographs(*sizes, root, **options):
        return {name: array.copy() for name, array in data_utils.get_shapes_data(*sizes, **options).items()}

    monkeypatch.setattr(data_utils, "get_CIFAR10_data", photographs)
    assert main(["train", "--out", "plain", "--data", "cifar10"]) == 0
    assert main(["train", "--out", "whole", "--data", "cifar10", "--augment"]) == 0
    assert "learning rate 0.001, augmented\n" in capsys.readouterr().out
    restore = stop_after(4)
    assert main(["train", "--out", "part", "--data", "cifar10", "--augment"]) == 130
    restore()
    assert main(["resume", "part"]) == 0
    assert_identical(solver_state("part"), solver_state("whole"))
    assert solver_state("plain")["loss_history"] != solver_state("whole")["loss_history"]


def test_checkpoints_from_before_there_were_these_settings():
    assert main(["train", "--out", "whole", "--epochs", "4"]) == 0
    assert main(["train", "--out", "part"]) == 0
    tree = checkpoint.load("part/checkpoint.h5")
    for name in ("lr_decay", "schedule", "weight_decay", "sampling", "early_stopping", "augment"):
        del tree["settings"][name]
    for name in ("buffers", "best_buffers"):
        del tree["solver"][name]
    checkpoint.save("part/checkpoint.h5", tree)
    assert main(["resume", "part", "--epochs", "4"]) == 0
    assert_identical(solver_state("part"), solver_state("whole"))


@pytest.mark.parametrize(("name", "value"), [("dropout", 0.5), ("model", "transformer"), ("model", ["two-layer"])])
def test_settings_of_a_later_version_raise(error_of, name, value):
    assert main(["train", "--out", "part"]) == 0
    tree = checkpoint.load("part/checkpoint.h5")
    tree["settings"][name] = value
    checkpoint.save("part/checkpoint.h5", tree)
    assert "has settings that this fastnn does not know" in error_of("resume", "part")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--augment"], "--augment does not apply to --data shapes; expected photographs"),
        (["--early-stopping", "0"], "early_stopping=0 is out of range"),
        (["--lr-decay", "0"], "lr_decay=0.0 is out of range"),
        (["--schedule", "cosine", "--epochs", "0"], "num_epochs=0 is out of range"),
    ],
)
def test_errors_are_one_line(error_of, arguments, message):
    assert message in error_of("train", *arguments)
