"""The table of models: what each record says is so, and every command goes by it."""

import inspect
import json

import numpy as np
import pytest
from runs import assert_identical, solver_state

from fastnn import classifiers, data_utils
from fastnn.cli import _parser, main, models, settings
from fastnn.cli.models import MODELS, Model

pytestmark = pytest.mark.usefixtures("tiny_runs")
each = pytest.mark.parametrize("name", MODELS)


def settings_of(*arguments):
    given = _parser().parse_args(arguments)
    defaults = settings.SWEEP_DEFAULTS if arguments[0] == "sweep" else settings.DEFAULTS
    return settings.Settings.from_arguments(given, defaults)


@each
def test_a_record_names_what_there_is(name):
    model = MODELS[name]
    keywords = inspect.signature(getattr(classifiers, model.class_name)).parameters
    assert {*model.options, *model.arguments} <= set(keywords)
    assert set(model.options) == set(models.OPTIONS) & set(keywords)
    for table in (model.defaults, *model.data_defaults.values()):
        assert set(table) <= settings._NAMES - (set(models.OPTIONS) - set(model.options))
    assert set(model.data_defaults) <= set(settings.DEFAULTS)
    assert model.grid.keys() == model.ranges.keys() == {"learning_rate", "reg"}


@each
def test_every_model_trains_resumes_predicts_and_is_drawn(capsys, stop_after, name):
    assert main(["train", "--out", "whole", "--model", name]) == 0
    restore = stop_after(4)
    assert main(["train", "--out", "part", "--model", name]) == 130
    restore()
    assert main(["resume", "part"]) == 0
    assert_identical(solver_state("part"), solver_state("whole"))
    np.save("images.npy", np.zeros((2, 32, 32, 3), np.uint8))
    assert main(["predict", "part", "images.npy", "--top", "1"]) == 0
    assert main(["plot", "part", "--out", "part.png"]) == 0
    assert capsys.readouterr().out.endswith("part.png\n")


@each
def test_every_model_is_swept_over_its_own_values(capsys, name):
    assert main(["sweep", "--model", name, "--epochs", "1", "--num-train", "8", "--json"]) == 0
    trials = [trial["params"] for trial in json.loads(capsys.readouterr().out)["trials"]]
    grid = MODELS[name].grid
    expected = {(rate, reg) for rate in grid["learning_rate"] for reg in grid["reg"]}
    assert {(trial["learning_rate"], trial["reg"]) for trial in trials} == expected
    ((low, high),) = MODELS[name].ranges["learning_rate"]
    random = ["--random", "3", "--out", "random"]
    assert main(["sweep", "--model", name, *random, "--epochs", "1", "--num-train", "8", "--json"]) == 0
    trials = [trial["params"] for trial in json.loads(capsys.readouterr().out)["trials"]]
    assert all(low <= trial["learning_rate"] <= high for trial in trials)


@pytest.mark.parametrize("name", ["three-layer-conv", "two-layer"])
@pytest.mark.parametrize("data", settings.DEFAULTS)
def test_the_models_of_the_course_have_the_defaults_of_the_data_set(name, data):
    found = vars(settings_of("train", "--model", name, "--data", data))
    own = {"model": name, "data": data, "data_root": None, "seed": 0}
    usual = {"lr_decay": 1.0, "schedule": "none", "weight_decay": None, "sampling": "with_replacement"}
    own |= {"early_stopping": None, "augment": False, "shards": 1}
    assert found == {**settings.DEFAULTS[data], **usual, **own}


@pytest.fixture
def deep(monkeypatch):
    """A model with defaults of its own, under the name deep."""
    model = Model(
        class_name="TwoLayerNet",
        summary="deeper than it looks",
        description="hidden {hidden_dim} at {learning_rate:g}",
        options=("hidden_dim",),
        is_flat=True,
        arguments={"weight_scale": 0.0},
        defaults={"learning_rate": 0.5, "sampling": "epoch", "reg": 0.25},
        data_defaults={"cifar10": {"augment": True, "reg": 0.125}},
        grid={"learning_rate": [0.5, 0.75], "reg": [0.25]},
    )
    monkeypatch.setitem(MODELS, "deep", model)


@pytest.mark.usefixtures("deep")
def test_defaults_of_a_model_stand_between_those_of_the_data_set_and_what_is_given():
    found = settings_of("train", "--model", "deep")
    assert (found.learning_rate, found.sampling, found.reg, found.augment) == (0.5, "epoch", 0.25, False)
    assert found.hidden_dim == 5  # of the data set
    found = settings_of("train", "--model", "deep", "--data", "cifar10", "--lr", "2")
    assert (found.learning_rate, found.sampling, found.reg, found.augment) == (2.0, "epoch", 0.125, True)
    found = settings_of("train", "--model", "deep", "--data", "cifar10", "--no-augment", "--sampling", "blocks")
    assert (found.sampling, found.augment) == ("blocks", False)


@pytest.mark.usefixtures("deep")
def test_a_model_is_built_and_described_by_its_record(capsys):
    assert main(["train", "--model", "deep", "--hidden-dim", "7", "--epochs", "1", "--out", "part"]) == 0
    out = capsys.readouterr().out
    assert "TwoLayerNet: hidden 7 at 0.5, 21,591 parameters" in out and "learning rate 0.5\n" in out
    assert solver_state("part")["params"]["W1"].shape == (3072, 7)
    data = data_utils.get_shapes_data(12, 6, 5)
    model = settings_of("train", "--model", "deep").build_model(0, data)
    assert (model.reg, model.params["W1"].max(), model.params["W1"].dtype) == (0.25, 0.0, np.float32)


@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_says_how_models_differ(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "9999")  # nothing is wrapped
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "; deep: deeper than it looks; default three-layer-conv " in text
    assert "default 2; not for two-layer; " in text and "; not for deep" in text
    expected = {
        "train": ("; 0.5 for deep", "; epoch for deep", "; yes for deep on cifar10", "; 0.125 for deep on cifar10"),
        "sweep": ("; 0.5 0.75, with --random 0.0001:0.01 for deep", "; 0.25, with --random 1e-05:0.1 for deep"),
    }
    for words in expected[command]:
        assert words in text


@pytest.mark.usefixtures("deep")
def test_what_a_model_does_not_have_is_refused(error_of):
    for option, value, choice in (
        ("--num-filters", "4", "three-layer-conv"),
        ("--weight-scale", "0.5", "three-layer-conv or two-layer"),
    ):
        said = error_of("train", "--model", "deep", option, value)
        assert f"{option}={value} does not apply to --model deep; expected a model that has it" in said
        assert f"leave it out or choose --model {choice}" in said
