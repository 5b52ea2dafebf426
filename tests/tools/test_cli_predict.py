"""`fastnn predict`, with checkpoints of commands and of scripts."""

import numpy as np
import pytest
from PIL import Image
from script_runs import Own, predicted, script, shape_images

from fastnn import checkpoint, data_utils, nn
from fastnn.cli import main, models
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("tiny_runs")
NAMES = data_utils.SHAPES_CLASSES


def probabilities(scores):
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("model", models.MODELS)
def test_predict_sees_in_a_file_what_the_network_saw_in_training(capsys, model):
    assert main(["train", "--out", "part", "--model", model]) == 0
    images, inputs = shape_images()
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


def test_predict_prints_names_and_probabilities(capsys):
    images, _ = shape_images()
    assert main(["train", "--out", "part"]) == 0
    Image.fromarray(images[0]).resize((90, 70)).save("drawing.jpg")
    capsys.readouterr()
    assert main(["predict", "part", "drawing.jpg", "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "drawing.jpg"
    assert len(lines) == 3
    for line in lines[1:]:
        probability, name = line.split()
        assert 0 < float(probability) < 1
        assert name in NAMES


def test_predict_takes_arrays_of_pixels_and_of_inputs(capsys):
    assert main(["train", "--out", "part"]) == 0
    images, inputs = shape_images()
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


def test_predict_uses_the_best_parameters(capsys):
    _, inputs = shape_images()
    assert main(["train", "--out", "part"]) == 0
    np.save("inputs.npy", inputs)
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


def test_predict_of_a_script_that_says_how_its_inputs_are_made(capsys):
    images, inputs = shape_images()
    script(data=data_utils.get_shapes_data(12, 6, 5, preprocessing=True))
    Image.fromarray(images[0]).save("drawing.png")
    np.save("input.npy", inputs[0])
    of_image, of_array = (predicted(capsys, "run.h5", name)["predictions"][0] for name in ("drawing.png", "input.npy"))
    assert of_image["classes"] == of_array["classes"]
    assert of_image["classes"][0]["name"] in NAMES


def test_predict_of_a_script_that_does_not_say_it(capsys, error_of):
    images, inputs = shape_images()
    script()
    Image.fromarray(images[0]).save("drawing.png")
    np.save("input.npy", inputs[0])
    expected = "path='run.h5' does not contain the preprocessing of images; expected a run of `fastnn train`, or"
    assert expected in error_of("predict", "run.h5", "drawing.png")
    named = predicted(capsys, "run.h5", "drawing.png", "--data", "shapes")["predictions"][0]["classes"]
    plain = predicted(capsys, "run.h5", "input.npy")["predictions"][0]["classes"]
    assert [line["probability"] for line in named] == [line["probability"] for line in plain]
    assert [line["name"] for line in plain] == [f"class {line['class']}" for line in plain]
    assert [line["name"] for line in named] == [NAMES[line["class"]] for line in plain]


def test_predict_of_a_run_of_schema_1(capsys):
    images, _ = shape_images()
    assert main(["train", "--out", "part"]) == 0
    Image.fromarray(images[0]).save("drawing.png")
    expected = predicted(capsys, "part", "drawing.png")["predictions"]
    tree = checkpoint.load("part/checkpoint.h5")
    checkpoint.save("part/checkpoint.h5", {name: tree[name] for name in ("settings", "backend", "solver")})
    assert predicted(capsys, "part", "drawing.png")["predictions"] == expected


def test_predict_errors(error_of):
    images, inputs = shape_images()
    Image.fromarray(images[0]).save("drawing.png")
    np.save("small.npy", inputs[:, :, :9, :9])
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
