"""`fastnn predict`, `fastnn plot`, and `fastnn resume` of what a script has saved."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import assert_identical, solver_state

from fastnn import checkpoint, data_utils, nn, vis_utils
from fastnn.checkpoint import locks
from fastnn.cli import main
from fastnn.cli import settings as cli_settings
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("tiny_runs")
training_picture = vis_utils.training_picture
NAMES = data_utils.SHAPES_CLASSES


@pytest.fixture
def pixels():
    """Return test images as pixels (5, 32, 32, 3), and as inputs."""
    sizes = (12, 6, 5)
    raw = data_utils.get_shapes_data(*sizes, subtract_mean=False)["X_test"] * 64
    return np.rint(raw).astype(np.uint8).transpose(0, 2, 3, 1), data_utils.get_shapes_data(*sizes)["X_test"]


def script(name="run.h5", model=None, data=None, **options):
    """Train as a script would, on the data set of the commands, and stop before the end."""
    data = data or data_utils.get_shapes_data(12, 6, 5)
    model = model or nn.Sequential(nn.Conv2d(3, 2, 3, seed=0), nn.ReLU(), nn.MaxPool2d(2), nn.Linear(450, 10, seed=0))
    options = {"checkpoint_name": name, "batch_size": 4, "num_epochs": 2, "verbose": False, "seed": 1, **options}
    solver = Solver(model, data, **options)
    solver.train()
    return solver


def probabilities(scores):
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def predicted(capsys, *arguments):
    capsys.readouterr()
    assert main(["predict", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# predict


@pytest.mark.parametrize("model", ["three-layer-conv", "two-layer"])
def test_predict_sees_in_a_file_what_the_network_saw_in_training(capsys, pixels, model):
    assert main(["train", "--out", "part", "--model", model]) == 0
    images, inputs = pixels
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"{number}.png")
    files = [f"{number}.png" for number in range(5)]
    result = predicted(capsys, "part", *files, "--top", "10")
    solver = Solver.resume("part/checkpoint.h5", data_utils.get_shapes_data(12, 6, 5), checkpoint_name=None)
    solver.model.params = solver.best_params
    expected = probabilities(solver.model.loss(inputs))
    for one, file, row in zip(result["predictions"], files, expected, strict=True):
        assert one["image"] == file
        assert [line["class"] for line in one["classes"]] == np.argsort(-row, kind="stable").tolist()
        assert [line["name"] for line in one["classes"]] == [NAMES[k] for k in np.argsort(-row, kind="stable")]
        np.testing.assert_allclose([line["probability"] for line in one["classes"]], np.sort(row)[::-1], rtol=1e-5)
    assert (result["checkpoint"], result["iteration"]) == ("part/checkpoint.h5", 6)


def test_predict_prints_names_and_probabilities(capsys, pixels):
    assert main(["train", "--out", "part"]) == 0
    Image.fromarray(pixels[0][0]).resize((90, 70)).save("drawing.jpg")
    capsys.readouterr()
    assert main(["predict", "part", "drawing.jpg", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "drawing.jpg"
    assert len(lines) == 3
    for line in lines[1:]:
        probability, name = line.split()
        assert 0 < float(probability) < 1
        assert name in NAMES


def test_predict_takes_arrays_of_pixels_and_of_inputs(capsys, pixels):
    assert main(["train", "--out", "part"]) == 0
    images, inputs = pixels
    np.save("pixels.npy", images)
    np.save("inputs.npy", inputs)
    np.save("input.npy", inputs[2])
    from_pixels, from_inputs, alone = (
        [line["classes"] for line in predicted(capsys, "part", f"{name}.npy")["predictions"]]
        for name in ("pixels", "inputs", "input")
    )
    assert from_pixels == from_inputs
    assert alone[0][0]["class"] == from_inputs[2][0]["class"]
    found = predicted(capsys, "part", "inputs.npy")["predictions"]
    assert [one["image"] for one in found] == [f"inputs.npy[{number}]" for number in range(5)]


def test_predict_uses_the_best_parameters(capsys, pixels):
    assert main(["train", "--out", "part"]) == 0
    np.save("inputs.npy", pixels[1])
    expected = predicted(capsys, "part", "inputs.npy")["predictions"]
    tree = checkpoint.load("part/checkpoint.h5")
    for array in tree["solver"]["params"].values():
        array[...] = 0
    checkpoint.save("part/checkpoint.h5", tree)
    assert predicted(capsys, "part", "inputs.npy")["predictions"] == expected
    for array in tree["solver"]["best_params"].values():
        array[...] = 0
    checkpoint.save("part/checkpoint.h5", tree)
    assert predicted(capsys, "part", "inputs.npy", "--top", "1")["predictions"][0]["classes"][0]["probability"] == 0.1


def test_predict_of_a_script_that_says_how_its_inputs_are_made(capsys, pixels):
    script(data=data_utils.get_shapes_data(12, 6, 5, preprocessing=True))
    Image.fromarray(pixels[0][0]).save("drawing.png")
    np.save("input.npy", pixels[1][0])
    of_image, of_array = (predicted(capsys, "run.h5", name)["predictions"][0] for name in ("drawing.png", "input.npy"))
    assert of_image["classes"] == of_array["classes"]
    assert of_image["classes"][0]["name"] in NAMES


def test_predict_of_a_script_that_does_not_say_it(capsys, error_of, pixels):
    script()
    Image.fromarray(pixels[0][0]).save("drawing.png")
    np.save("input.npy", pixels[1][0])
    expected = "path='run.h5' does not contain the preprocessing of images; expected a run of `fastnn train`, or"
    assert expected in error_of("predict", "run.h5", "drawing.png")
    named = predicted(capsys, "run.h5", "drawing.png", "--data", "shapes")["predictions"][0]["classes"]
    plain = predicted(capsys, "run.h5", "input.npy")["predictions"][0]["classes"]
    assert [line["probability"] for line in named] == [line["probability"] for line in plain]
    assert [line["name"] for line in plain] == [f"class {line['class']}" for line in plain]
    assert [line["name"] for line in named] == [NAMES[line["class"]] for line in plain]


def test_predict_of_a_run_of_schema_1(capsys, pixels):
    assert main(["train", "--out", "part"]) == 0
    Image.fromarray(pixels[0][0]).save("drawing.png")
    expected = predicted(capsys, "part", "drawing.png")["predictions"]
    tree = checkpoint.load("part/checkpoint.h5")
    checkpoint.save("part/checkpoint.h5", {name: tree[name] for name in ("settings", "backend", "solver")})
    assert predicted(capsys, "part", "drawing.png")["predictions"] == expected


class Own(nn.Sequential):
    pass


def test_predict_errors(error_of, pixels):
    Image.fromarray(pixels[0][0]).save("drawing.png")
    np.save("small.npy", pixels[1][:, :, :9, :9])
    np.save("whole.npy", np.zeros((3, 32, 32), int))
    script("own.h5", Own(nn.Linear(3072, 10, seed=0)))
    assert "own.h5' does not contain the network (an object of the class Own); expected" in error_of(
        "predict", "own.h5", "drawing.png"
    )
    script("flat.h5", nn.Sequential(nn.Linear(3, 10, seed=0)), flat())
    assert "mean_image.shape = (3, 32, 32) in the checkpoint does not fit inputs (3,)" in error_of(
        "predict", "flat.h5", "drawing.png"
    )
    script(data=data_utils.get_shapes_data(12, 6, 5, preprocessing=True))
    assert "small.npy' holds float32 (5, 3, 9, 9); expected floats (3, 32, 32) or (N, 3, 32, 32)" in error_of(
        "predict", "run.h5", "small.npy"
    )
    assert "whole.npy' holds int64 (3, 32, 32); expected floats" in error_of("predict", "run.h5", "whole.npy")
    assert "read_images: path='nothing.png' is not a file" in error_of("predict", "run.h5", "nothing.png")
    assert "predict: top=0 is out of range" in error_of("predict", "run.h5", "drawing.png", "--top", "0")
    for name, value in (("nan", np.nan), ("huge", 1e38)):
        np.save(f"{name}.npy", np.full((3, 32, 32), value, np.float32))
    assert "nan.npy' holds NaN or infinity" in error_of("predict", "run.h5", "nan.npy")
    assert "huge.npy' gives scores that are not finite" in error_of("predict", "run.h5", "huge.npy")
    tree = checkpoint.load("run.h5")
    for values in (tree["solver"]["params"], tree["solver"]["best_params"]):
        next(iter(values.values()))[...] = np.nan
    checkpoint.save("diverged.h5", tree)
    assert "in path='diverged.h5' holds NaN or infinity; expected finite numbers; use a checkpoint" in error_of(
        "predict", "diverged.h5", "drawing.png"
    )
    checkpoint.save("run.h5", tree["solver"])
    assert "(an older fastnn did not store how it was made)" in error_of("predict", "run.h5", "drawing.png")


def flat():
    """Return a data set whose inputs are three numbers, with a mean image of another shape."""
    data = data_utils.get_shapes_data(12, 6, 5, preprocessing=True)
    return {name: array[:, 0, 0, :3].copy() if name.startswith("X") else array for name, array in data.items()}


# plot


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


# resume


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
    expected = "resume: path='run.h5' was written by a script, and does not say where its data are; expected the name"
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
