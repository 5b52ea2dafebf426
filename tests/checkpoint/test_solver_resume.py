"""`Solver.resume` restores model and Solver from a file, and training continues with the same bits."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from resuming import IMAGES, network, one_epoch, train
from small_solver import Model, assert_identical, data, everything, make, noisy

from fastnn import checkpoint, nn
from fastnn.augment import Augment
from fastnn.checkpoint import run
from fastnn.classifiers import FullyConnectedNet, ThreeLayerConvNet
from fastnn.schedules import Cosine
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(one_epoch())
    return path


def test_a_resumed_run_ends_with_the_bytes_of_one_never_stopped(tmp_path, backend):
    whole = train(tmp_path / "whole" / "run.h5")
    train(tmp_path / "part" / "run.h5", stop=8)
    resumed = Solver.resume(tmp_path / "part" / "run.h5", IMAGES)
    assert resumed.iteration == 6
    resumed.train()
    assert_identical(everything(resumed), everything(whole))
    assert (tmp_path / "part" / "run.h5").read_bytes() == (tmp_path / "whole" / "run.h5").read_bytes()


@pytest.mark.parametrize(
    "build",
    [
        lambda: ThreeLayerConvNet((2, 6, 6), 3, 3, 5, 3, seed=0, use_batchnorm=True),
        lambda: FullyConnectedNet([6, 5], 72, 3, 0.7, "layernorm", seed=2, generator=np.random.default_rng(1)),
        lambda: FullyConnectedNet([6], 72, 3, 0.7, generator=np.random.default_rng(1)),
    ],
)
def test_classifiers_are_made_again(tmp_path, build):
    whole = train(tmp_path / "whole" / "run.h5", build())
    train(tmp_path / "part" / "run.h5", build(), stop=8)
    resumed = Solver.resume(tmp_path / "part" / "run.h5", IMAGES)
    assert type(resumed.model) is type(whole.model)
    resumed.train()
    assert_identical(everything(resumed), everything(whole))


@pytest.mark.parametrize("seed", [None, 3, *map(np.random.Generator, (np.random.MT19937(1), np.random.SFC64(1)))])
def test_the_generator_is_of_the_same_kind_again(tmp_path, seed):
    np.random.seed(231)
    path = tmp_path / "run.h5"
    saved = []
    options = {"checkpoint_name": path, "checkpoint_every": 5}
    whole = make(nn.Sequential(nn.Linear(4, 3, seed=0)), seed, callbacks=[lambda solver: saved.append(1)], **options)
    whole.train()
    expected = {**everything(whole), "finished": False}
    path.write_bytes(Path(f"{path}.prev").read_bytes())
    np.random.seed(0)
    resumed = Solver.resume(path, data(), callbacks=[lambda solver: saved.append(solver)])
    resumed.train()
    assert len(saved) == 12 + 2
    assert_identical({**everything(resumed), "finished": False}, expected)


def test_every_option_of_a_solver_comes_back(tmp_path):
    given = {
        "update_rule": "sgd_momentum",
        "optim_config": {"learning_rate": 0.125, "momentum": 0.5},
        "lr_decay": 0.75,
        "schedule": Cosine(0.5),
        "batch_size": 5,
        "num_epochs": 7,
        "num_train_samples": 8,
        "num_val_samples": 4,
        "early_stopping": 9,
        "checkpoint_name": str(tmp_path / "run.h5"),
        "checkpoint_every": 2,
        "print_every": 3,
        "verbose": False,
        "sampling": "epoch",
        "transform": Augment(1),
        "clip_norm": 0.5,
        "on_nonfinite": "raise",
        "shards": 1,
    }
    keywords = {name for name, one in inspect.signature(Solver).parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert set(given) == keywords - {"seed", "callbacks", "comm"}
    solver = Solver(network(), IMAGES, **given)
    solver.save(tmp_path / "run.h5")
    resumed = Solver.resume(tmp_path / "run.h5", IMAGES)
    assert_identical(run.tree(resumed)["options"], run.tree(solver)["options"])
    for name, value in given.items():
        actual = {"batch_size": resumed.sampler.batch_size, "sampling": resumed.sampler.method, **vars(resumed)}[name]
        assert repr(getattr(actual, "__name__", actual)) == repr(value), name


def test_options_may_differ(saved):
    resumed = Solver.resume(saved, IMAGES, num_epochs=3, schedule=None, checkpoint_name=None)
    resumed.train()
    assert (resumed.epoch, resumed.schedule, resumed.checkpoint_name) == (3, None, None)
    with pytest.raises(TypeError, match=r"Solver: the keyword num_epoch=5 is unknown; .*did you mean 'num_epochs'"):
        Solver.resume(saved, IMAGES, num_epoch=5)


# objects that a file cannot hold


@pytest.mark.parametrize("model", [Model(seed=9), Model])
def test_a_custom_model_is_passed_again(tmp_path, model):
    path = tmp_path / "run.h5"
    whole = make(checkpoint_name=path, checkpoint_every=5)
    whole.train()
    path.write_bytes(Path(f"{path}.prev").read_bytes())
    with pytest.raises(ValueError, match=r"saved with model: an object of the class Model, .*data, model=\.\.\.\)"):
        Solver.resume(path, data())
    resumed = Solver.resume(path, data(), model=model)
    resumed.train()
    assert_identical(everything(resumed), everything(whole))


def test_custom_functions_are_passed_again(tmp_path):
    def rule(w, dw, config):
        return w - 0.1 * dw, config

    def half(position):
        return 0.5

    def watch(solver):
        pass

    own = {"update_rule": rule, "transform": noisy, "schedule": half, "callbacks": [watch]}
    own["optim_config"] = {"learning_rate": 0.1}
    make(**own, model=nn.Sequential(nn.Linear(4, 3))).save(tmp_path / "run.h5")
    expected = (
        "Solver.resume: path=.* was saved with update_rule: the function rule, schedule: the function half, transform: "
        r"the function noisy, callbacks: the function watch, which cannot be stored in a file; .*; pass them as in "
        r"Solver\.resume\(path, data, update_rule=\.\.\., schedule=\.\.\., transform=\.\.\., callbacks=\.\.\.\)"
    )
    with pytest.raises(ValueError, match=expected):
        Solver.resume(tmp_path / "run.h5", data())
    resumed = Solver.resume(tmp_path / "run.h5", data(), **{name: own[name] for name in own if name != "optim_config"})
    assert resumed.transform is noisy
    assert resumed.optim_config == {"learning_rate": 0.1}


def test_a_model_of_other_sizes_raises(saved):
    with pytest.raises(ValueError, match=r"Solver\.load_state: params have the shapes"):
        Solver.resume(saved, IMAGES, model=nn.Sequential(nn.Linear(72, 3)))


# the path of the checkpoint


@pytest.mark.parametrize(
    ("name", "every", "read", "written"),
    [
        ("run.h5", None, "run.h5", {"run.h5", "run.h5.prev"}),
        ("run.h5", 5, "run.h5.prev", {"run.h5", "run.h5.prev"}),
        ("run", 5, "run.h5", {"run.h5", "run.h5.prev"}),
        ("run", None, "run_epoch_1.h5", {f"run_epoch_{epoch}.h5" for epoch in (1, 2, 3)} | {"run_epoch_2.h5.prev"}),
    ],
)
def test_a_resumed_run_saves_to_the_same_path(tmp_path, monkeypatch, name, every, read, written):
    monkeypatch.chdir(tmp_path)
    train(name, checkpoint_every=every, num_epochs=2)
    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("run*"):
        path.rename(tmp_path / "elsewhere" / path.name)
    resumed = Solver.resume(tmp_path / "elsewhere" / read, IMAGES, num_epochs=3)
    resumed.train()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == written
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_renamed_copy_saves_under_its_new_name(tmp_path, saved):
    (tmp_path / "branch.h5").write_bytes(one_epoch())
    Solver.resume(tmp_path / "branch.h5", IMAGES, num_epochs=2).train()
    assert saved.read_bytes() == one_epoch()
    assert checkpoint.load(tmp_path / "branch.h5")["solver"]["epoch"] == 2


def test_a_run_has_one_file_written_once_an_epoch(tmp_path):
    seen = []
    path = tmp_path / "run.h5"

    def look(solver):
        seen.append(checkpoint.load(path)["solver"]["iteration"] if path.exists() else None)

    make(checkpoint_name=path, num_epochs=2, callbacks=[look]).train()
    assert seen == [None, None, 3, 3, 3, 6]
