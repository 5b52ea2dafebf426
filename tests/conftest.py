"""Fixtures that every test may ask for."""

import functools
import os
import signal

import hypothesis
import pytest

import fastnn
from fastnn import data_utils, vis_utils
from fastnn.cli import main, run, settings
from fastnn.kernels.dispatch import active, switch

# On a developer's machine every run draws new examples; CI draws the same ones, so that it fails for a change alone.
# No verdict depends on time: machines may be busy, and a kernel may be compiled in the middle of an example.
# Fixtures that are made once for all examples of a test are those of the whole test here.
ignored = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile("local", deadline=None, suppress_health_check=ignored)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("local"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# What the shared checks assert is explained when it fails, as in the tests themselves.
pytest.register_assert_rewrite("operation_checks")

# Ctrl-C is tested, and a shell starts jobs in the background with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What `-m quick` runs: rules, errors, layers and networks; less than a minute once kernels are compiled.
QUICK = {
    "test_affine", "test_augment", "test_checks", "test_checks_numbers", "test_cli", "test_deprecated", "test_fc_net",
    "test_gradient_check", "test_import_graph", "test_layer_utils", "test_layers", "test_layers_norm", "test_losses",
    "test_nn_blocks", "test_nn_layers", "test_nn_module", "test_nn_sequential", "test_optim", "test_readme",
    "test_rules", "test_sampling", "test_schedules", "test_solver", "test_solver_errors", "test_solver_options",
    "test_switch", "test_testing", "test_two_layer_net",
}  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in QUICK and "simulated" not in item.path.parts:
            item.add_marker("quick")


AVAILABLE = [line.name for line in fastnn.backends() if line.available]


@pytest.fixture(params=AVAILABLE)
def backend(request):
    """Each backend that can run here, active while the test runs."""
    with fastnn.use_backend(request.param):
        yield request.param


@pytest.fixture
def one_backend():
    """For tests of what is the same on every backend; one that asks for `backend` too has its own."""
    with fastnn.use_backend("vectorized"):
        yield


@pytest.fixture(autouse=True)
def _switch_as_in_a_new_process(monkeypatch):
    """Every test begins with the switch untouched, whatever the environment says."""
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
    """Commands run in a new folder, on a handful of tiny images, and draw no pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTNN_BACKEND", "vectorized")
    for table in (*settings.DEFAULTS.values(), *settings.SWEEP_DEFAULTS.values()):
        for name, value in TINY.items():
            monkeypatch.setitem(table, name, value)
    monkeypatch.setattr(data_utils, "get_shapes_data", _get_shapes_data)
    monkeypatch.setattr(vis_utils, "training_picture", lambda solver, weights, path, **_: path.touch())
    monkeypatch.setattr(vis_utils, "plot_sweep", lambda trials, path: path.touch())


@pytest.fixture
def error_of(capsys):
    """A function that runs a command which fails, and returns the line that it leaves on stderr."""

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
    """A function that lets Ctrl-C be pressed after so many steps."""

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
