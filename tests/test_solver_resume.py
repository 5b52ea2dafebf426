"""`Solver.resume`: model and Solver from a file, and then as if training had never stopped."""

import inspect
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from training import Model, assert_identical, data, everything, make, noisy

import fastnn
from fastnn import checkpoint, nn, run_file
from fastnn.augment import Augment
from fastnn.classifiers import FullyConnectedNet, ThreeLayerConvNet
from fastnn.schedules import Cosine, Warmup
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")

RNG = np.random.default_rng(0)
IMAGES = {
    "X_train": RNG.standard_normal((18, 2, 6, 6)).astype(np.float32),
    "y_train": RNG.integers(0, 3, 18),
    "X_val": RNG.standard_normal((6, 2, 6, 6)).astype(np.float32),
    "y_val": RNG.integers(0, 3, 6),
}


def network():
    """Everything that has a memory: running statistics, masks, moments."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, seed=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Residual(nn.Conv2d(3, 3, 3, padding=1, seed=2), nn.Dropout(0.2, seed=3)),
        nn.MaxPool2d(2),
        nn.Linear(27, 3, seed=4),
        reg=1e-2,
    )


def train(path, model=None, stop=None, **options):
    """A Solver of images after its whole run, or after `stop` iterations."""
    options = {
        "update_rule": "adam",
        "batch_size": 4,
        "num_epochs": 3,
        "seed": 5,
        "schedule": Warmup(0.5, then=Cosine()),
        "transform": Augment(1, 0.5, 2),
        "sampling": "epoch",
        "lr_decay": 0.9,
        "verbose": False,
        "checkpoint_name": path,
        "checkpoint_every": 3,
        **options,
    }
    solver = Solver(model or network(), IMAGES, **options)
    if stop is None:
        solver.train()
        return solver

    class Stopped(Exception):
        pass

    def iterate(original=solver._iterate):
        if solver.iteration == stop:
            raise Stopped
        original()

    solver._iterate = iterate
    with pytest.raises(Stopped):
        solver.train()
    return solver


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory):
    """The bytes of a run of one epoch, four iterations."""
    path = tmp_path_factory.mktemp("run") / "run.h5"
    with fastnn.use_backend("vectorized"):
        train(path, num_epochs=1)
    return path.read_bytes()


@pytest.fixture
def saved(tmp_path, one_epoch):
    path = tmp_path / "run.h5"
    path.write_bytes(one_epoch)
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
    }
    keywords = {name for name, one in inspect.signature(Solver).parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert set(given) == keywords - {"seed", "callbacks"}
    solver = Solver(network(), IMAGES, **given)
    solver.save(tmp_path / "run.h5")
    resumed = Solver.resume(tmp_path / "run.h5", IMAGES)
    assert_identical(run_file.tree(resumed)["options"], run_file.tree(solver)["options"])
    for name, value in given.items():
        actual = {"batch_size": resumed.sampler.batch_size, "sampling": resumed.sampler.method, **vars(resumed)}[name]
        assert repr(getattr(actual, "__name__", actual)) == repr(value), name


def test_options_may_differ(saved):
    resumed = Solver.resume(saved, IMAGES, num_epochs=3, schedule=None, checkpoint_name=None)
    resumed.train()
    assert (resumed.epoch, resumed.schedule, resumed.checkpoint_name) == (3, None, None)
    with pytest.raises(TypeError, match=r"Solver: the keyword num_epoch=5 is unknown; .*did you mean 'num_epochs'"):
        Solver.resume(saved, IMAGES, num_epoch=5)


# what a file cannot hold


@pytest.mark.parametrize("model", [Model(seed=9), Model])
def test_a_model_of_ones_own_is_passed_anew(tmp_path, model):
    path = tmp_path / "run.h5"
    whole = make(checkpoint_name=path, checkpoint_every=5)
    whole.train()
    path.write_bytes(Path(f"{path}.prev").read_bytes())
    with pytest.raises(ValueError, match=r"saved with model: an object of the class Model, .*data, model=\.\.\.\)"):
        Solver.resume(path, data())
    resumed = Solver.resume(path, data(), model=model)
    resumed.train()
    assert_identical(everything(resumed), everything(whole))


def test_functions_of_ones_own_are_passed_anew(tmp_path):
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
        r"the function noisy, callbacks: the function watch, which no file can hold; .*; pass it as in Solver\.resume"
        r"\(path, data, update_rule=\.\.\., schedule=\.\.\., transform=\.\.\., callbacks=\.\.\.\)"
    )
    with pytest.raises(ValueError, match=expected):
        Solver.resume(tmp_path / "run.h5", data())
    resumed = Solver.resume(tmp_path / "run.h5", data(), **{name: own[name] for name in own if name != "optim_config"})
    assert resumed.transform is noisy
    assert resumed.optim_config == {"learning_rate": 0.1}


def test_a_model_of_other_sizes_is_refused(saved):
    with pytest.raises(ValueError, match=r"Solver\.load_state: params have the shapes"):
        Solver.resume(saved, IMAGES, model=nn.Sequential(nn.Linear(72, 3)))


# where it is saved


@pytest.mark.parametrize(
    ("name", "every", "read", "written"),
    [
        ("run.h5", None, "run.h5", {"run.h5", "run.h5.prev"}),
        ("run.h5", 5, "run.h5.prev", {"run.h5", "run.h5.prev"}),
        ("run", 5, "run.h5", {"run.h5", "run.h5.prev"}),
        ("run", None, "run_epoch_1.h5", {f"run_epoch_{epoch}.h5" for epoch in (1, 2, 3)} | {"run_epoch_2.h5.prev"}),
    ],
)
def test_it_saves_where_it_was_saved(tmp_path, monkeypatch, name, every, read, written):
    monkeypatch.chdir(tmp_path)
    train(name, checkpoint_every=every, num_epochs=2)
    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("run*"):
        path.rename(tmp_path / "elsewhere" / path.name)
    resumed = Solver.resume(tmp_path / "elsewhere" / read, IMAGES, num_epochs=3)
    resumed.train()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == written
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_copy_under_another_name_goes_on_under_that(tmp_path, saved, one_epoch):
    (tmp_path / "branch.h5").write_bytes(one_epoch)
    Solver.resume(tmp_path / "branch.h5", IMAGES, num_epochs=2).train()
    assert saved.read_bytes() == one_epoch
    assert checkpoint.load(tmp_path / "branch.h5")["solver"]["epoch"] == 2


def test_a_run_has_one_file_written_once_an_epoch(tmp_path):
    seen = []
    path = tmp_path / "run.h5"

    def look(solver):
        seen.append(checkpoint.load(path)["solver"]["iteration"] if path.exists() else None)

    make(checkpoint_name=path, num_epochs=2, callbacks=[look]).train()
    assert seen == [None, None, 3, 3, 3, 6]


# what says that bits may differ


def changed(path, **values):
    tree = checkpoint.load(path)
    for name, value in values.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) else value
    checkpoint.save(path, tree)


def test_another_backend_works_and_is_told(saved):
    with (
        fastnn.use_backend("naive"),
        pytest.warns(
            UserWarning, match=r"Solver\.resume: the run was saved with backend vectorized \(now naive\): .*bits"
        ),
    ):
        resumed = Solver.resume(saved, IMAGES, num_epochs=2)
    resumed.train()
    assert resumed.epoch == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threads": 77}, r"threads 77 \(now \d+\): it goes on, but its last bits may differ"),
        ({"processor": "Z80"}, r"processor Z80 \(now .*\): it goes on"),
        ({"versions": {"numpy": "0.9"}}, r"numpy 0\.9 \(now .*\): it goes on"),
        ({"versions": {"numba": "0.1", "fastnn": "0.0"}}, r"fastnn 0\.0 \(now .*\), numba 0\.1 \(now .*\): it goes on"),
    ],
)
def test_another_machine_is_told(saved, values, message):
    changed(saved, **values)
    with pytest.warns(UserWarning, match=message):
        Solver.resume(saved, IMAGES)


def test_the_thread_count_is_that_of_the_kernels(saved):
    threads = pytest.importorskip("fastnn.kernels.threads", reason="the backend njit needs numba")
    with (
        threads.use_num_threads(threads.get_num_threads() + 1),
        pytest.warns(UserWarning, match=r"threads \d+ \(now \d+\)"),
    ):
        Solver.resume(saved, IMAGES)


@pytest.mark.parametrize("name", ["X_train", "y_train", "X_val"])
def test_other_data_are_told(saved, name):
    with pytest.warns(UserWarning, match="the data differ from those that the run was saved with"):
        Solver.resume(saved, {**IMAGES, name: IMAGES[name][::-1]})


def test_data_in_a_file_are_the_same_data(saved, tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, array in IMAGES.items():
            file[name] = array
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Solver.resume(saved, file)


# files that are refused


def test_files_of_schema_1_are_told_apart(saved):
    state = checkpoint.load(saved)["solver"]
    for tree in (state, {"solver": state, "settings": {}, "backend": "naive"}):
        checkpoint.save(saved, tree)
        assert run_file.read("read", saved)["schema"] == 1
        assert_identical(run_file.read("read", saved)["solver"], state)
        with pytest.raises(ValueError, match=r"older fastnn, which did not store .*load_state\(checkpoint\.load\(path"):
            Solver.resume(saved, IMAGES)
    resumed = make(network(), 5, IMAGES, batch_size=4, sampling="epoch")
    resumed.load_state(state)
    assert resumed.iteration == 4


def test_later_schemas_are_refused(saved):
    changed(saved, schema=3)
    with pytest.raises(ValueError, match="has schema 3; expected at most 2; it was written by a later fastnn"):
        Solver.resume(saved, IMAGES)


def test_a_generator_that_numpy_does_not_have_is_refused(saved):
    tree = checkpoint.load(saved)
    tree["solver"]["generator"]["bit_generator"] = "system"
    checkpoint.save(saved, tree)
    with pytest.raises(ValueError, match=r"Solver\.resume: generator='system' is unknown; expected one of 'MT19937'"):
        Solver.resume(saved, IMAGES)


def test_what_is_no_run_is_refused(tmp_path):
    nn.Sequential(nn.Linear(2, 2)).save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"is no checkpoint of a run \(it has \['params', 'buffers'\]\); expected one"):
        Solver.resume(tmp_path / "model.h5", IMAGES)


@pytest.mark.parametrize("damage", ["generator", "params", "options", "model", "class"])
def test_runs_that_lack_something_are_refused(saved, damage):
    tree = checkpoint.load(saved)
    if damage in ("generator", "params"):
        tree["solver"][damage] = {}
    elif damage == "options":
        tree["options"] = 3
    elif damage == "model":
        tree["model"] = []
    else:
        tree["model"]["class"] = "Transformer"
    checkpoint.save(saved, tree)
    expected = "model: the class Transformer" if damage == "class" else "holds no Solver that can be made again|shapes"
    with pytest.raises(ValueError, match=expected):
        Solver.resume(saved, IMAGES)
