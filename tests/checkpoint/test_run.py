"""`fastnn.checkpoint.run`: warnings about another machine or other data, and files that raise."""

import re
import warnings

import h5py
import pytest
from resuming import IMAGES, network, one_epoch
from small_solver import assert_identical, make

import fastnn
from fastnn import checkpoint, nn
from fastnn.checkpoint import run
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(one_epoch())
    return path


def changed(path, **values):
    tree = checkpoint.load(path)
    for name, value in values.items():
        tree[name] = {**tree[name], **value} if isinstance(value, dict) else value
    checkpoint.save(path, tree)


def test_another_backend_works_and_is_reported(saved):
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
        ({"threads": 77}, r"threads 77 \(now \d+\): it resumes, but its last bits may differ"),
        ({"processor": "Z80"}, r"processor Z80 \(now .*\): it resumes"),
        ({"denormals": "flushed"}, r"denormals flushed \(now kept\): it resumes"),
        ({"versions": {"numpy": "0.9"}}, r"numpy 0\.9 \(now .*\): it resumes"),
        ({"versions": {"numba": "0.1", "fastnn": "0.0"}}, r"fastnn 0\.0 \(now .*\), numba 0\.1 \(now .*\): it resumes"),
    ],
)
def test_another_machine_is_reported(saved, values, message):
    changed(saved, **values)
    with pytest.warns(UserWarning, match=message):
        Solver.resume(saved, IMAGES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "model-1",
            "tuned-2",
            r"with block sizes model-1 \(now tuned-2\): it resumes, .* run; with FASTNN_TUNED=0 block ",
        ),
        ("tuned-1", "model-2", r"with block sizes tuned-1 \(now model-2\): it resumes, .* uninterrupted run$"),
        ("tuned-1", "tuned-1", None),
        (None, "tuned-1", None),
        ("tuned-1", None, None),
    ],
)
def test_other_sizes_of_blocks_are_reported(saved, monkeypatch, old, new, message):
    changed(saved, block_sizes=old)
    monkeypatch.setattr(run, "_block_sizes", lambda: new)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Solver.resume(saved, IMAGES)
    assert len(warned) == (message is not None)
    if message:
        assert re.search(message, str(warned[0].message))


def test_a_checkpoint_names_the_sizes_of_blocks(tmp_path):
    assert run.environment()["block_sizes"] is None  # this backend has none
    sizes = pytest.importorskip("fastnn.kernels.cpu.simd.sizes", reason="the backend njit needs numba")
    other = sizes.with_overrides({"float64 dw small": {"depth": 512}})
    with fastnn.use_backend("njit"):
        assert run.environment()["block_sizes"] == sizes.identifier()
        with sizes.use(other):
            tuned = run.environment()["block_sizes"]
    assert re.fullmatch(r"model-[0-9a-f]{8}", sizes.identifier())
    assert re.fullmatch(r"tuned-[0-9a-f]{8}", tuned)


def test_the_thread_count_is_that_of_the_kernels(saved):
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    with (
        threads.use_num_threads(threads.get_num_threads() + 1),
        pytest.warns(UserWarning, match=r"threads \d+ \(now \d+\)"),
    ):
        Solver.resume(saved, IMAGES)


@pytest.mark.parametrize("name", ["X_train", "y_train", "X_val"])
def test_other_data_are_told(saved, name):
    with pytest.warns(UserWarning, match="the data, their order or their preprocessing differ from those"):
        Solver.resume(saved, {**IMAGES, name: IMAGES[name][::-1]})


def test_data_in_a_file_are_the_same_data(saved, tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, array in IMAGES.items():
            file[name] = array
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Solver.resume(saved, file)


# files that raise


def test_files_of_schema_1_are_recognised(saved):
    state = checkpoint.load(saved)["solver"]
    for tree in (state, {"solver": state, "settings": {}, "backend": "naive"}):
        checkpoint.save(saved, tree)
        assert run.read("read", saved)["schema"] == 1
        assert_identical(run.read("read", saved)["solver"], state)
        with pytest.raises(ValueError, match=r"older fastnn, which did not store .*load_state\(checkpoint\.load\(path"):
            Solver.resume(saved, IMAGES)
    resumed = make(network(), 5, IMAGES, batch_size=4, sampling="epoch")
    resumed.load_state(state)
    assert resumed.iteration == 4


def test_later_schemas_raise(saved):
    changed(saved, schema=3)
    with pytest.raises(ValueError, match="has schema 3; expected at most 2; it was written by a later fastnn"):
        Solver.resume(saved, IMAGES)


def test_a_generator_that_numpy_does_not_have_raises(saved):
    tree = checkpoint.load(saved)
    tree["solver"]["generator"]["bit_generator"] = "system"
    checkpoint.save(saved, tree)
    with pytest.raises(ValueError, match=r"Solver\.resume: generator='system' is unknown; expected one of 'MT19937'"):
        Solver.resume(saved, IMAGES)


def test_files_that_are_not_runs_raise(tmp_path):
    nn.Sequential(nn.Linear(2, 2)).save(tmp_path / "model.h5")
    with pytest.raises(
        ValueError, match=r"is not a checkpoint of a run \(it has \['params', 'buffers'\]\); expected one"
    ):
        Solver.resume(tmp_path / "model.h5", IMAGES)


@pytest.mark.parametrize("damage", ["generator", "params", "options", "model", "class"])
def test_runs_that_lack_something_raise(saved, damage):
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
    expected = (
        "model: the class Transformer" if damage == "class" else "does not describe a Solver that can be rebuilt|shapes"
    )
    with pytest.raises(ValueError, match=expected):
        Solver.resume(saved, IMAGES)


def test_resume_takes_the_model_as_a_keyword():
    with pytest.raises(
        TypeError, match=r"Solver\.resume: too many positional arguments; expected Solver\.resume\(path"
    ):
        Solver.resume("run.h5", {}, None, num_epochs=3)
