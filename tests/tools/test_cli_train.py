"""`fastnn train` and `fastnn resume`, in process, on a few tiny images."""

import json
import os
import signal
import sys

import numpy as np
import pytest
from runs import assert_identical, solver_state

import fastnn
from fastnn import checkpoint, data_utils, vis_utils
from fastnn.cli import common, main, run, settings
from fastnn.kernels.dispatch import interrupts

pytestmark = pytest.mark.usefixtures("tiny_runs")
training_picture = vis_utils.training_picture


# train


def test_train_writes_a_checkpoint_and_a_picture(capsys, monkeypatch):
    monkeypatch.setattr(vis_utils, "training_picture", training_picture)
    assert main(["train"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    folder = "runs/shapes-three-layer-conv"
    assert "ThreeLayerConvNet: 2 filters 3x3, hidden 5, 2,681 parameters" in out
    assert "shapes: 12 training, 6 validation, 5 test images" in out
    assert "vectorized" in out
    assert "2 epochs, 6 steps of 4 images; adam, learning rate 0.001" in out
    assert "(Iteration 1 / 6) loss: " in out
    assert "(Epoch 2 / 2) train acc: " in out
    for label in ("validation accuracy", "test accuracy", "time per step"):
        assert f"\n{label}" in out
    assert f"fastnn resume {folder} --epochs 4" in out
    assert sorted(os.listdir(folder)) == ["checkpoint.h5", "checkpoint.h5.prev", "training.png"]
    assert os.path.getsize(f"{folder}/training.png") > 10_000


def test_train_prints_json_alone_on_stdout(capsys):
    assert main(["train", "--json", "--out", "here", "--model", "two-layer", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert 0 <= result["validation_accuracy"] <= 1
    assert 0 <= result["test_accuracy"] <= 1
    assert result["seconds_per_step"] > 0
    assert (result["steps"], result["epochs"], result["backend"]) == (6, 2, "vectorized")
    assert result["settings"]["seed"] == 3
    assert os.path.exists(result["checkpoint"])
    assert os.path.exists(result["picture"])
    assert "TwoLayerNet: hidden 5, 15,425 parameters" in err


def test_options_reach_the_run():
    options = (
        "--epochs 1 --batch-size 3 --learning-rate 0.5 --update-rule sgd --reg 0.25 --num-filters 3 --filter-size 5 "
        "--hidden-dim 7 --weight-scale 0.01 --num-train 9 --backend naive --seed 8"
    )
    assert main(["train", "--out", "here", *options.split()]) == 0
    tree = checkpoint.load("here/checkpoint.h5")
    expected = {"epochs": 1, "batch_size": 3, "learning_rate": 0.5, "update_rule": "sgd", "reg": 0.25, "seed": 8}
    assert expected.items() <= tree["settings"].items()
    assert tree["backend"] == "naive"
    assert tree["solver"]["params"]["W1"].shape == (3, 3, 5, 5)
    assert tree["solver"]["params"]["W3"].shape == (7, 10)
    assert all(value.dtype == np.float32 for value in tree["solver"]["params"].values())
    assert tree["solver"]["iteration"] == 3


def test_backend_is_chosen_for_the_command_alone():
    main(["train", "--backend", "naive", "--epochs", "1", "--num-train", "4"])
    assert fastnn.get_backend() == "vectorized"


def test_seed_decides():
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["train", "--out", out, "--seed", seed]) == 0
    assert_identical(solver_state("a"), solver_state("b"))
    assert (solver_state("a")["params"]["W2"] != solver_state("c")["params"]["W2"]).any()


def test_global_random_state_is_left_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    main(["train"])
    assert np.random.random() == expected


def test_runs_do_not_overwrite_each_other(error_of):
    for _ in range(3):
        main(["train", "--epochs", "1"])
    assert sorted(os.listdir("runs")) == ["shapes-three-layer-conv" + suffix for suffix in ("", "-2", "-3")]
    assert "already contains a run; expected a folder for a new one" in error_of(
        "train", "--out", "runs/shapes-three-layer-conv"
    )


def test_cifar10_has_the_settings_of_the_course(monkeypatch):
    monkeypatch.undo()
    arguments = _parsed("train", "--data", "cifar10", "--data-root", "somewhere")
    actual = settings.Settings.from_arguments(arguments)
    assert (actual.num_filters, actual.filter_size, actual.hidden_dim) == (32, 7, 500)
    assert (actual.reg, actual.weight_scale, actual.update_rule, actual.learning_rate) == (1e-3, 1e-3, "adam", 1e-3)
    assert (actual.batch_size, actual.num_train, actual.num_validation) == (50, 49_000, 1000)
    assert actual.data_root == os.path.abspath("somewhere")


def _parsed(*arguments):
    from fastnn.cli import _parser

    return _parser().parse_args(arguments)


def test_cifar10_is_read_from_the_given_folder(monkeypatch):
    given = []

    def load(*sizes, root, **options):
        given.append((sizes, root))
        return {name: array.copy() for name, array in data_utils.get_shapes_data(12, 6, 5, **options).items()}

    monkeypatch.setattr(data_utils, "get_CIFAR10_data", load)
    assert main(["train", "--data", "cifar10", "--data-root", "folder"]) == 0
    assert given == [((12, 6, 5), os.path.abspath("folder"))]
    assert os.path.exists("runs/cifar10-three-layer-conv/checkpoint.h5")


def test_terminal_shows_a_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["train"]) == 0
    out, err = capsys.readouterr()
    assert "(Iteration" not in out
    assert "epoch 2/2: 100%" in err
    assert "6/6" in err
    assert "loss 2." in err
    assert "validation 0." in err


def test_slow_preparation_is_announced(capsys, monkeypatch):
    monkeypatch.setattr(common, "_SILENT_SECONDS", 0.0)
    monkeypatch.setitem(sys.modules, "numba", sys.modules.get("numba", object()))
    assert main(["train"]) == 0
    assert "compiling kernels, first run only ..." in capsys.readouterr().out


# interruption and resumption


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6])
def test_interrupted_run_resumes_exactly(capsys, stop_after, steps):
    assert main(["train", "--out", "whole"]) == 0
    restore = stop_after(steps)
    assert main(["train", "--out", "part"]) == 130
    out, err = capsys.readouterr()
    assert err == ""
    assert f"interrupted          after {steps} of 6 steps" in out
    assert "resume with          fastnn resume part\n" in out
    assert solver_state("part")["iteration"] == steps
    restore()
    if steps < 6:
        assert main(["resume", "part"]) == 0
        assert f"6 steps of 4 images, {steps} done" in capsys.readouterr().out
    assert_identical(solver_state("part"), solver_state("whole"))


def test_callback_that_raises_is_an_interruption_too(stop_after):
    def press():
        raise KeyboardInterrupt

    stop_after(2, press)
    assert main(["train", "--out", "part"]) == 130
    assert solver_state("part")["iteration"] == 2


def test_interruption_in_the_middle_of_a_step(monkeypatch):
    from fastnn.classifiers import ThreeLayerConvNet

    assert main(["train", "--out", "whole"]) == 0
    original, calls = ThreeLayerConvNet.loss, []

    def loss(self, X, y=None):
        calls.append(y is not None and len(X) == 4)
        if sum(calls) == 5:
            raise KeyboardInterrupt
        return original(self, X, y)

    monkeypatch.setattr(ThreeLayerConvNet, "loss", loss)
    assert main(["train", "--out", "part"]) == 130
    monkeypatch.setattr(ThreeLayerConvNet, "loss", original)
    assert solver_state("part")["iteration"] == 4
    assert main(["resume", "part/checkpoint.h5"]) == 0
    assert_identical(solver_state("part"), solver_state("whole"))


def test_finished_run_resumes_for_more_epochs(capsys, error_of):
    assert main(["train", "--out", "whole", "--epochs", "4"]) == 0
    assert main(["train", "--out", "part"]) == 0
    assert "epochs=2 are done; expected some left to do; pass --epochs 4" in error_of("resume", "part")
    assert main(["resume", "part", "--epochs", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 4
    assert_identical(solver_state("part"), solver_state("whole"))


def test_resume_uses_the_backend_of_the_run(monkeypatch, stop_after):
    restore = stop_after(3)
    main(["train", "--out", "part", "--backend", "naive"])
    restore()
    monkeypatch.delenv("FASTNN_BACKEND")
    assert main(["resume", "part"]) == 0
    assert checkpoint.load("part/checkpoint.h5")["backend"] == "naive"


def test_resume_from_the_previous_checkpoint():
    assert main(["train", "--out", "part"]) == 0
    expected = solver_state("part")
    assert main(["resume", "part/checkpoint.h5.prev"]) == 0
    assert_identical(solver_state("part"), expected)


def test_checkpoints_are_also_written_within_an_epoch(monkeypatch):
    saved = []
    monkeypatch.setattr(run, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(run.Run, "save", lambda self: saved.append(self.solver.iteration))
    assert main(["train"]) == 0
    assert saved == [1, 2, 3, 4, 5, 6]


def test_interruption_waits_for_the_checkpoint():
    steps = []

    def save():
        with interrupts.delayed():
            signal.raise_signal(signal.SIGINT)
            steps.append("saved")

    with pytest.raises(KeyboardInterrupt):
        save()
    assert steps == ["saved"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interruption_before_training(capsys, monkeypatch):
    monkeypatch.setattr(settings.Settings, "load_data", lambda self: signal.raise_signal(signal.SIGINT))
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "\nfastnn train: interrupted\n"
    assert not os.path.exists("runs")


def test_loss_that_is_not_finite_ends_the_run(capsys, monkeypatch):
    from fastnn.classifiers import ThreeLayerConvNet

    original = ThreeLayerConvNet.loss

    def loss(self, X, y=None):
        result = original(self, X, y)
        return result if y is None or len(X) == 1 or self.steps.pop() else (float("nan"), result[1])

    monkeypatch.setattr(ThreeLayerConvNet, "loss", loss)
    monkeypatch.setattr(ThreeLayerConvNet, "steps", [False, True, True, True], raising=False)
    assert main(["train", "--out", "part"]) == 1
    err = capsys.readouterr().err
    assert "fastnn train: Solver: loss = nan in iteration 4; expected a finite number" in err
    assert f"The best parameters so far are in {os.path.join('part', 'checkpoint.h5')}" in err
    assert solver_state("part")["iteration"] == 3
