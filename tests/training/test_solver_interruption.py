"""Training that is interrupted at any instant resumes with the same bits."""

import contextlib
import random as python_random
import sys
from pathlib import Path

import numpy as np
import pytest
import small_solver
from small_solver import Model, Remembering, assert_identical, everything, make, noisy, run

import fastnn
from fastnn import rng
from fastnn.schedules import Cosine, Plateau, Warmup

pytestmark = pytest.mark.usefixtures("one_backend")


# all options about randomness, state and stopping
ALL = [
    {"model": Remembering, "transform": noisy, "schedule": Warmup(1.5, then=Cosine()), "sampling": "blocks"},
    {"model": Remembering, "transform": noisy, "schedule": Plateau(0.5, 0), "seed": None, "clip_norm": 0.1},
    {"model": Remembering, "transform": noisy, "early_stopping": 2, "optim_config": {"learning_rate": 1e-9}},
]


class Interruption:
    """Raises KeyboardInterrupt at the n-th executed line of fastnn, its kernels or the model, as Ctrl-C would."""

    folders = (*(str(Path(module.__file__).parent) for module in (fastnn, fastnn.kernels)), small_solver.__file__)

    def __init__(self, line):
        self.left = line

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.calls)

    def __exit__(self, *_):
        sys.settrace(self.before)

    def calls(self, frame, event, argument):
        return self.lines if frame.f_code.co_filename.startswith(self.folders) else None

    def lines(self, frame, event, argument):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.lines


@pytest.mark.parametrize("snapshot_every", [2, 50])
@pytest.mark.parametrize("options", [{}, {"sampling": "epoch"}, {"update_rule": "sgd_momentum", "seed": None}, *ALL])
def test_training_interrupted_anywhere_resumes_exactly(options, snapshot_every, monkeypatch):
    monkeypatch.setattr("fastnn.training.state._SNAPSHOT_EVERY", snapshot_every)
    options = dict(options)
    build = options.pop("model", Model)
    np.random.seed(231)
    expected, counter = everything(run(model=build(), **options)), Interruption(10**9)
    with counter:
        run(model=build(), **options)
    lines = 10**9 - counter.left
    for line in python_random.Random(snapshot_every).sample(range(1, lines), 30):
        np.random.seed(231)
        solver = make(build(), **options)
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            solver.train()
        saved = solver.state()
        resumed = make(build(seed=9), **options)
        resumed.load_state(saved)
        for actual in (resumed, solver):
            rng.set_state(actual._generator, saved["generator"])  # the global generator is shared by both
            if not saved["finished"] or not saved["iteration"]:
                actual.train()
            assert_identical(everything(actual), expected, f"line {line} of {lines}")


def test_an_interrupted_update_is_undone():
    broken = []

    def rule(w, dw, config):
        if len(broken) == 7:
            broken.append("now")
            raise KeyboardInterrupt
        broken.append(w)
        return w - 0.1 * dw, config

    solver, expected = make(update_rule=rule), make(update_rule=lambda w, dw, config: (w - 0.1 * dw, config))
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    assert solver.iteration in (0, 1, 2)
    solver.train()
    expected.train()
    assert solver.loss_history == expected.loss_history
    assert_identical(solver.model.params, expected.model.params)


def test_state_inside_an_update_is_the_last_snapshot():
    states = []

    def rule(w, dw, config):
        states.append(solver.state())
        return w - 0.1 * dw, config

    solver, resumed = make(update_rule=rule), make(update_rule=rule, model=Model(seed=9))
    solver.train()
    expected = everything(solver)
    for state in states[1::7]:
        assert state["iteration"] == 0
        resumed.load_state(state)
        resumed.train()
        assert_identical(everything(resumed), expected)


def test_errors_of_the_model_pass_through_and_nothing_is_lost():
    class Failing(Model):
        calls = 0

        def loss(self, X, y=None):
            self.calls += 1
            if self.calls == 20:
                raise RuntimeError("out of memory")
            return super().loss(X, y)

    solver = make(Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        solver.train()
    solver.train()
    assert_identical(everything(solver), everything(run()))


def test_state_inside_a_step_is_the_last_whole_one():
    states = []

    class Curious(Model):
        def loss(self, X, y=None):
            states.append(solver.state())
            return super().loss(X, y)

    solver = make(Curious(), update_rule="sgd")
    solver.train()
    expected = make(update_rule="sgd")
    expected.train()
    for state in states[:: len(states) // 6]:
        actual = make(update_rule="sgd")
        actual.load_state(state)
        actual.train()
        assert_identical(everything(actual), everything(expected))


def test_an_interrupted_second_run_resumes_to_its_end(capsys):
    def stop(solver):
        if solver.iteration == 8:
            raise KeyboardInterrupt

    solver = make(num_epochs=2, callbacks=[stop], verbose=True, print_every=1)
    solver.train()
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    resumed = make(num_epochs=2, verbose=True, print_every=1)
    resumed.load_state(solver.state())
    capsys.readouterr()
    resumed.train()
    assert resumed.iteration == 12
    assert capsys.readouterr().out.startswith("(Iteration 3 / 6) loss: ")


@pytest.mark.parametrize("options", ALL)
def test_every_state_between_two_steps_resumes_exactly(options):
    options = dict(options)
    build, states = options.pop("model"), []
    options.setdefault("num_epochs", 3)

    class Watched(build):
        def loss(self, X, y=None):
            states.append(solver.state())
            result = super().loss(X, y)
            states.append(solver.state())
            return result

    def after(solver):
        states.append(solver.state())

    np.random.seed(231)
    solver = make(Watched(), callbacks=[after], **options)
    solver.train()
    expected = everything(solver)
    for state in states:
        resumed = make(build(seed=9), **options)
        resumed.load_state(state)
        resumed.train()
        assert_identical(everything(resumed), expected)


def test_a_run_that_stops_early_is_broken_off_before_it():
    solver = run(model=Remembering(), **{name: value for name, value in ALL[2].items() if name != "model"})
    assert solver.iteration == 6


def test_buffers_that_a_failed_loss_changed_are_restored():
    class Failing(Remembering):
        fails = False

        def loss(self, X, y=None):
            result = super().loss(X, y)
            if self.fails and y is not None:
                raise RuntimeError("out of memory")
            return result

    solver = make(Failing(), num_epochs=1, callbacks=[lambda solver: setattr(solver.model, "fails", True)])
    with pytest.raises(RuntimeError, match="out of memory"):
        solver.train()
    assert solver.iteration == solver.model.buffers["count"] == 1
    solver.model.fails = False
    solver.callbacks.clear()
    solver.train()
    assert_identical(everything(solver), everything(run(model=Remembering(), num_epochs=1)))


def test_a_loss_that_is_not_finite_leaves_the_best_buffers():
    class Diverging(Remembering):
        def loss(self, X, y=None):
            result = super().loss(X, y)
            return result if y is None or self.buffers["count"] < 8 else (np.nan, {})

    solver = make(Diverging())
    with pytest.warns(RuntimeWarning, match="iteration 8"):
        solver.train()
    assert_identical(solver.model.buffers, solver.best_buffers)
    assert_identical(solver.model.params, solver.best_params)
