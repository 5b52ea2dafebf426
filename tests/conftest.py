"""Shared fixtures."""

import functools
import gc
import os
import platform
import signal
import textwrap

import hypothesis
import pytest

import fastnn
from fastnn import data_utils, vis_utils
from fastnn.cli import main, models, run, settings
from fastnn.kernels.dispatch import active, switch

# Every run draws new examples, except on CI, where failures must come from a change.
# No deadline: machines may be busy, and an example may compile a kernel.
# Function-scoped fixtures are shared by all examples of a test, which is intended here.
ignored = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile("local", deadline=None, suppress_health_check=ignored)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("local"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# Rewrite the assertions of shared checks, as in the tests themselves.
pytest.register_assert_rewrite("operation_checks")

# Tests use the sizes of the model, whatever was tuned on this machine.
os.environ["FASTNN_TUNED"] = "0"

# Ctrl-C is tested, but shells start background jobs with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests of `-m quick`: rules, errors, layers and networks; under a minute once kernels are compiled.
QUICK = {
    "test_affine", "test_augment", "test_autograd_errors", "test_autograd_functions", "test_cli", "test_compare",
    "test_deprecated", "test_examples", "test_fc_net", "test_gradient_check", "test_import_graph", "test_layer_utils",
    "test_layers", "test_layers_norm", "test_losses", "test_nn_blocks", "test_nn_layers", "test_nn_module",
    "test_nn_sequential", "test_numpydoc", "test_optim", "test_readme", "test_rules", "test_sampling", "test_schedules",
    "test_solver", "test_solver_errors", "test_solver_options", "test_switch", "test_two_layer_net",
    "test_validation", "test_validation_numbers",
}  # fmt: skip

# The files that take longest. Under pytest-xdist they come first, so that no worker begins one when the others end.
SLOW = (
    "test_cuda", "test_code_cache", "test_notebook_fully_connected", "test_notebook_convolutional",
    "test_checkpoint_kills", "test_autograd_graphs", "test_mpi",
)  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What collection makes stays to the end of the session: the garbage collector need not visit it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_configure(config):
    config.option.loadscopereorder = False  # pytest-xdist would begin with the files of most tests
    if platform.machine() in ("aarch64", "arm64"):  # OpenBLAS's SVE products also compute with unused lanes of a vector
        flags = "(divide by zero|overflow|invalid value) encountered in matmul"
        config.addinivalue_line("filterwarnings", f"ignore:{flags}:RuntimeWarning")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.stem in QUICK and "simulated" not in item.path.parts:
            item.add_marker("quick")
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist
        places = {name: place for place, name in enumerate(SLOW)}
        items.sort(key=lambda item: places.get(item.path.stem, len(SLOW)))


AVAILABLE = [line.name for line in fastnn.backends() if line.available]


@pytest.fixture(params=AVAILABLE)
def backend(request):
    """Run the test on every available backend."""
    with fastnn.use_backend(request.param):
        yield request.param


@pytest.fixture
def one_backend():
    """Run the test on one backend, unless it uses the fixture `backend`."""
    with fastnn.use_backend("vectorized"):
        yield


@pytest.fixture(autouse=True)
def _switch_as_in_a_new_process(monkeypatch):
    """Every test starts without a chosen backend, whatever the environment."""
    monkeypatch.setattr(active, "chosen", None)
    if switch.VARIABLE in os.environ:
        monkeypatch.delenv(switch.VARIABLE)


# ---- the command line ----

TINY = {
    "epochs": 2,
    "batch_size": 4,
    "num_filters": 2,
    "filter_size": 3,
    "hidden_dim": 5,
    "weight_scale": 0.1,
    "num_train": 12,
    "num_validation": 6,
    "num_test": 5,
}
_get_shapes_data = functools.cache(data_utils.get_shapes_data)


@pytest.fixture
def tiny_runs(tmp_path, monkeypatch):
    """Commands run in a new folder, on a few tiny images, and draw no pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTNN_BACKEND", "vectorized")
    for table in (*settings.DEFAULTS.values(), *settings.SWEEP_DEFAULTS.values()):
        for name, value in TINY.items():
            monkeypatch.setitem(table, name, value)
    for model in models.MODELS.values():
        for name in TINY.keys() & model.defaults.keys():
            monkeypatch.setitem(model.defaults, name, TINY[name])
    monkeypatch.setattr(data_utils, "get_shapes_data", _get_shapes_data)
    monkeypatch.setattr(vis_utils, "training_picture", lambda solver, weights, path, **_: path.touch())
    monkeypatch.setattr(vis_utils, "plot_sweep", lambda trials, path: path.touch())


@pytest.fixture
def error_of(capsys):
    """Return a function that runs a failing command and returns its line on stderr."""

    def error(*arguments):
        capsys.readouterr()
        assert main(list(arguments)) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert err.startswith(f"fastnn {arguments[0]}: error: ")
        return err

    return error


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that simulates Ctrl-C after a number of steps."""

    def after(steps, press=lambda: signal.raise_signal(signal.SIGINT)):
        original = run.Run._after_iteration

        @functools.wraps(original)
        def callback(self, solver):
            original(self, solver)
            if solver.iteration == steps:
                press()

        monkeypatch.setattr(run.Run, "_after_iteration", callback)
        return lambda: monkeypatch.setattr(run.Run, "_after_iteration", original)

    return after


# ---- packages ----


@pytest.fixture
def site(tmp_path):
    """Return a function that installs a package, its modules and entry points, into a folder."""

    def install(package, files, group, points):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    return install
