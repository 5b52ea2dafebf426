"""The command `fastnn predict`."""

import argparse
import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import get_backend, use_backend
from fastnn.data_utils import npy
from fastnn.kernels.dispatch import validation
from fastnn.kernels.dispatch.switch import VARIABLE
from fastnn.output import atomic
from fastnn.training import evaluation

from .common import add_common, command
from .imported import imported_model
from .resume import add_data
from .run_folder import checkpoint_at
from .settings import Settings, data_of_script

_EXAMPLES = """examples:
  fastnn predict runs/shapes-three-layer-conv drawing.png          the three most likely classes
  fastnn predict runs/first *.jpg --top 1 --json
  fastnn predict run.h5 photo.png --data cifar10                   a script that trained on CIFAR-10
  fastnn predict run.h5 photo.png --data cifar10 --model mine:Net  a network of yours, the class Net in mine.py
Images are cropped to the proportions of the network's input, resized, and preprocessed as in training. An .npy file
contains pixels as uint8 or uint16, or preprocessed inputs as floats."""


def add_parser(commands: Any) -> None:
    parser = command(commands, "predict", "classify images with a trained network", _EXAMPLES, run_predict)
    parser.add_argument("path", type=Path, help="folder of a run, or a checkpoint")
    parser.add_argument("images", type=Path, nargs="+", metavar="image", help="PNG, JPEG or .npy")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="classes for each image; default %(default)s")
    add_data(parser)
    add_common(parser, f"default: {VARIABLE}")


def run_predict(arguments: argparse.Namespace) -> int:
    """Print the most likely classes of each image; return the exit code."""
    from fastnn.checkpoint import run

    top = validation.integer("predict", "top", arguments.top, minimum=1)
    path = checkpoint_at(arguments.path)
    tree = run.read("predict", path)
    backend = use_backend(arguments.backend) if arguments.backend else contextlib.nullcontext()
    with backend, imported_model("predict", arguments.model) as own:
        model = _model(tree, path, own)
        stored = tree.get("data", {})
        about: dict[str, Any] = {}
        found = []
        for file in arguments.images:
            inputs = _array(file, tuple(stored.get("input_shape", (3, 32, 32))))
            if inputs is None:  # pixels, which have to be preprocessed
                about = about or _about(tree, path, arguments)
                inputs = _from_pixels(file, about)
            names = about.get("class_names") or stored.get("class_names") or []
            found += _most_likely(model, inputs, str(file), top, names)
        result = {"checkpoint": str(path), "iteration": tree["solver"]["iteration"], "backend": get_backend()}
    if arguments.json:
        print(json.dumps({**result, "predictions": found}, indent=2))
        return 0
    for one in found:
        print(one["image"])
        for line in one["classes"]:
            print(f"  {line['probability']:.3f}  {line['name']}")
    return 0


def _model(tree: dict, path: Path, own: Any) -> Any:
    """Build the network, or take the user's own, with its best parameters."""
    from fastnn.checkpoint import config
    from fastnn.training import nonfinite

    state = tree["solver"]
    try:
        if own is not None:
            model = own
        elif "model" in tree:
            model = config.build_model(tree["model"])
        elif "settings" in tree:  # an older run of `fastnn train`
            model = Settings.from_checkpoint(tree, path).build_model(0, {"X_train": np.empty((1, 3, 32, 32))})
        else:
            raise config.NotDescribed("an older fastnn did not store how it was made")
    except config.NotDescribed as error:
        what = tree.get("model", {}).get("unknown", error)
        raise ValueError(
            f"predict: path={str(path)!r} does not contain the network ({what}); expected one made of fastnn's "
            f"classes; pass yours as --model MODULE:NAME, such as mine:Net"
        ) from error
    best = "best_params" if state["best_params"] else "params"
    model.params = state[best]
    model.buffers = state.get(best.replace("params", "buffers"), {})
    if names := nonfinite.not_finite({**model.params, **model.buffers}):
        raise ValueError(
            f"predict: {names[0]!r} in path={str(path)!r} holds NaN or infinity; expected finite numbers; use a "
            f"checkpoint that was saved before the training diverged, such as {atomic.previous(path)!r}"
        )
    return model


def _about(tree: dict, path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The preprocessing of images, from the checkpoint or from the data set."""
    from fastnn.checkpoint import run

    about = tree.get("data", {})
    if isinstance(about.get("mean_image"), np.ndarray) and arguments.data is None:
        return about
    if "settings" in tree:
        return run.about(Settings.from_checkpoint(tree, path).load_data())
    if arguments.data is None:
        raise ValueError(
            f"predict: path={str(path)!r} does not contain the preprocessing of images; expected a run of `fastnn "
            f"train`, or of a script whose data had mean_image, scale and class_names, as from "
            f"get_shapes_data(preprocessing=True); pass --data NAME, or an .npy file with inputs"
        )
    return run.about(data_of_script("predict", tree, path, arguments.data, arguments.data_root))


def _array(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Read the inputs (N, *shape) or (*shape) in an .npy file; None for pixels and for image files."""
    if file.suffix != ".npy" or not file.is_file():
        return None
    try:
        array = npy.read(file)
    except (ValueError, OSError):  # `read_images` reports the error
        return None
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return None
    inputs = array[None] if array.shape == shape else array
    if array.dtype.kind != "f" or inputs.shape[1:] != shape or not len(inputs):
        raise ValueError(
            f"predict: image={str(file)!r} holds {array.dtype} {array.shape}; expected floats {shape} or "
            f"(N, {str(shape)[1:-1]}), preprocessed as in training, or pixels as uint8 or uint16; "
            f"convert it"
        )
    if not np.isfinite(inputs).all():
        raise ValueError(
            f"predict: image={str(file)!r} holds NaN or infinity; expected finite numbers; check how they were made"
        )
    return inputs.astype(np.float32) if array.dtype == np.float16 else inputs


def _from_pixels(file: Path, about: dict[str, Any]) -> np.ndarray:
    from fastnn.data_utils import read_images, splits

    mean, shape = about["mean_image"], about["input_shape"]
    if math.prod(mean.shape) != math.prod(shape):
        raise ValueError(
            f"predict: mean_image.shape = {mean.shape} in the checkpoint does not fit inputs {tuple(shape)}; expected "
            f"as many numbers; pass an .npy file with inputs"
        )
    pixels = read_images(file, mean.shape)
    return splits.inputs(pixels, mean, about["scale"], np.dtype(np.float32)).reshape(-1, *shape)


def _most_likely(model: Any, inputs: np.ndarray, file: str, top: int, names: list[str]) -> list[dict[str, Any]]:
    """The `top` classes with the highest probabilities (softmax of the scores) for each input."""
    with np.errstate(all="ignore"):
        scores = np.asarray(model.loss(inputs), np.float64)
    wrong = evaluation.first_not_finite(scores)
    if wrong is not None:
        name = file if len(inputs) == 1 else f"{file}[{wrong}]"
        raise ValueError(
            f"predict: image={name!r} gives scores that are not finite; expected inputs on the scale of the "
            f"training data; preprocess them as in training"
        )
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    found = []
    for position, probabilities in enumerate(exponentials / exponentials.sum(axis=1, keepdims=True)):
        named = len(names) == len(probabilities)
        classes = [
            {"class": k, "name": names[k] if named else f"class {k}", "probability": float(probabilities[k])}
            for k in np.argsort(-probabilities, kind="stable")[:top].tolist()
        ]
        found.append({"image": file if len(inputs) == 1 else f"{file}[{position}]", "classes": classes})
    return found
