"""Sweeps on executors that are small stand-ins: what travels, what comes back, how trials are numbered."""

import functools
import io
import os
import subprocess
import sys
import threading
import types
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn.kernels.cpu import thread_count
from fastnn.sweep import best, grid, load_ledger, sweep, trial, workers

LEDGER = "ledger.jsonl"


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (thread_count.VARIABLE, *thread_count.OTHERS):
        monkeypatch.delenv(name, raising=False)


class Backwards(Executor):
    """Runs `count` calls here when the last one is submitted, the last one first; errors: by the order of submission"""

    def __init__(self, count, errors=()):
        self.count, self.errors, self.calls = count, dict(errors), []

    def submit(self, function, *arguments):
        self.calls.append((Future(), function, arguments))
        if len(self.calls) == self.count:
            for place, (future, function, arguments) in reversed(list(enumerate(self.calls))):
                future.set_running_or_notify_cancel()
                if place in self.errors:
                    future.set_exception(self.errors[place])
                else:
                    future.set_result(function(*arguments))
        return self.calls[-1][0]


def succeed(params):
    return {"val_acc": params["a"] / 8, "draw": np.random.uniform(), "backend": fastnn.get_backend()}


def picky(params):
    return 3 if params["a"] == 2 else {"val_acc": 0.5}


def swept(executor=None, run=succeed, values=(1, 2, 3), **options):
    records = sweep(run, grid(a=list(values)), LEDGER, executor, verbose=False, **options)
    return [{**record, "seconds": 0.0} for record in records]


# ---- what is recorded ----


def test_trials_are_numbered_by_their_place():
    records = swept(Backwards(3))
    assert [(record["params"]["a"], record["number"]) for record in records] == [(1, 1), (2, 2), (3, 3)]
    assert [{**record, "seconds": 0.0} for record in load_ledger(LEDGER)] == records


def test_a_trial_that_was_left_gets_the_number_of_its_place():
    with pytest.raises(BrokenExecutor):
        swept(Backwards(3, {1: BrokenExecutor("a crash")}))
    os.rename(LEDGER, "all")
    with open("all") as file, open(LEDGER, "w") as kept:  # as if the sweep had been killed
        kept.writelines(line for line in file if "not run" not in line)
    assert [record["number"] for record in load_ledger(LEDGER)] == [1, 3]
    assert [record["number"] for record in swept(values=(1, 2, 3, 4))] == [1, 2, 3, 4]
    assert [record["number"] for record in swept(values=(9, 3))] == [5, 3]


def test_draws_do_not_depend_on_the_executor(one_backend):
    def ran(*executor, **options):
        if os.path.exists(LEDGER):
            os.remove(LEDGER)
        return swept(*executor, **options)

    expected = ran(seed=4)
    assert len({record["draw"] for record in expected}) == 3
    with ThreadPoolExecutor(1) as threads:
        assert ran(Backwards(3), seed=4) == ran(threads, seed=4) == ran(seed=np.random.default_rng(4)) == expected
    assert ran(seed=5) != expected
    fastnn.reset_seed(0)
    first, after = ran(), np.random.uniform()
    fastnn.reset_seed(0)
    assert ran(Backwards(3)) == first
    assert np.random.uniform() == after
    os.remove(LEDGER)
    swept(values=(1, 2), seed=4)
    assert swept(seed=4) == expected  # the third draws what it would have drawn


def test_threads_need_no_pickles():
    seen = []
    with ThreadPoolExecutor(2) as threads:
        swept(threads, lambda params: seen.append(params["a"]) or {"val_acc": 1.0})
    assert sorted(seen) == [1, 2, 3]


def test_the_backend_travels():
    with fastnn.use_backend("naive"), ThreadPoolExecutor(1) as threads:
        assert {record["backend"] for record in swept(threads)} == {"naive"}


def test_an_error_of_one_worker_is_a_failed_trial():
    records = swept(Backwards(3, {1: RuntimeError("it died\non node 7")}))
    assert [record["reason"] for record in records] == [None, "RuntimeError: it died", None]
    assert [record["status"] for record in records] == ["finished", "failed", "finished"]
    assert swept() == records
    assert [record["status"] for record in swept(retry_failed=True)] == ["finished"] * 3


def test_a_broken_executor_leaves_trials_that_were_not_run():
    errors = {place: BrokenExecutor("a crash") for place in (1, 3)}
    message = (
        r"sweep: 2 of 4 trials were not run, because the executor is broken \(BrokenExecutor: a crash\); expected one "
        r"that runs until the end; run the sweep again with the same ledger and a new executor: it goes on from here"
    )
    with pytest.raises(BrokenExecutor, match=message):
        swept(Backwards(4, errors), values=(1, 2, 3, 4))
    records = load_ledger(LEDGER)
    assert [record["status"] for record in records] == ["finished", "not run", "finished", "not run"]
    assert [record["number"] for record in records] == [1, 2, 3, 4]
    assert best(records) is records[2]
    assert [record["status"] for record in swept(values=(1, 2, 3, 4))] == ["finished"] * 4
    assert len(load_ledger(LEDGER)) == 4


def test_an_executor_that_takes_no_calls():
    class Broken(Executor):
        def submit(self, function, *arguments):
            raise BrokenExecutor("it did not start")

    with pytest.raises(BrokenExecutor, match=r"3 of 3 trials were not run, because .*: it did not start"):
        swept(Broken())
    assert [record["status"] for record in load_ledger(LEDGER)] == ["not run"] * 3


def test_a_wrong_result_ends_the_sweep():
    with ThreadPoolExecutor(1) as threads, pytest.raises(TypeError, match="run returned 3; expected a dict with"):
        swept(threads, picky)
    assert [record["params"] for record in load_ledger(LEDGER)] == [{"a": 1}]


# ---- what travels ----


class Holder:
    def __init__(self, part):
        self.itself, self.part = self, part

    def __call__(self, params):
        return {"val_acc": 0.5}


class Missing(Holder):
    def __reduce__(self):
        return open, ("nowhere",)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda params: None, "run is a function that cannot be sent to a worker"),
        (
            functools.partial(succeed, data={"x": [1, threading.Lock()]}),
            r"run.keywords\['data'\]\['x'\]\[1\] is a lock",
        ),
        (
            Holder(Holder(threading.Lock())),
            "run.part.part is a lock that cannot be sent to a worker .*; expected a func",
        ),
        (Holder(threading.Lock()).__call__, "run.__self__.part is a lock"),
    ],
)
def test_what_cannot_be_pickled_is_named_before_anything_starts(run, message):
    executor = Backwards(3)
    with pytest.raises(TypeError, match=f"sweep: {message}"):
        swept(executor, run)
    assert executor.calls == load_ledger(LEDGER) == []


def test_data_do_not_travel_with_each_trial():
    with pytest.raises(ValueError, match="run holds 8 MiB, which would be sent with every trial; expected a function "):
        swept(Backwards(3), functools.partial(succeed, data=np.zeros(2**20)))


def test_functions_of_a_notebook_do_not_travel(monkeypatch):
    notebook = types.ModuleType("__main__")
    exec("def run(params): ...", vars(notebook))
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    with pytest.raises(TypeError, match=r"run is defined in a notebook or an interactive session, .* %%writefile"):
        swept(Backwards(3), notebook.run)


def test_a_worker_that_cannot_load_ends_the_sweep():
    message = r"run cannot be loaded in a worker: FileNotFoundError: .*'nowhere'; expected a function of a module"
    with pytest.raises(ValueError, match=message):
        swept(Backwards(3), Missing(None))
    assert load_ledger(LEDGER) == []


@pytest.mark.parametrize(
    ("set_here", "set_there", "expected"),
    [
        ({}, {}, "4"),
        ({}, {"OMP_NUM_THREADS": "3"}, None),  # as Dask does
        ({"FASTNN_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "3"}, "2"),
        ({}, {"MPI_LOCALNRANKS": "1"}, "9"),
        ({}, {"OMPI_COMM_WORLD_LOCAL_SIZE": "30"}, "4"),
    ],
)
def test_workers_share_the_cores(monkeypatch, set_here, set_there, expected):
    monkeypatch.setattr(thread_count, "cores", lambda: 9)
    for name, value in set_here.items():
        monkeypatch.setenv(name, value)
    common = trial.terms(0, ThreadPoolExecutor(2))
    assert common.backend == fastnn.get_backend()
    for name in set_here:
        monkeypatch.delenv(name)
    for name, value in set_there.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(os.environ, thread_count.VARIABLE, "")
    trial._share_cores(common)
    assert (os.environ[thread_count.VARIABLE] or None) == expected


# ---- executors ----


def test_ranks_need_a_launcher():
    with pytest.raises(ValueError, match=r"which='mpi' needs ranks .*; begin the command with: mpiexec -n 5"):
        workers("mpi").__enter__()


def test_a_cluster_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"needs the package distributed, which is not installed; .*pip install dis"):
        workers("tcp://node:8786").__enter__()


def test_a_script_without_a_guard_is_told():
    program = (
        "from fastnn.sweep import sweep, workers\nfrom test_sweep_executors import succeed\n"
        "with workers(1) as executor:\n    sweep(succeed, [{'a': 1}], 'ledger.jsonl', executor)\n"
    )
    with open("script.py", "w") as file:
        file.write(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    done = subprocess.run([sys.executable, "script.py"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "1 of 1 trials were not run, because the executor is broken" in done.stderr
    assert "in a script, a sweep stands below `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_progress_bar(monkeypatch, capsys):
    bar = Terminal()
    monkeypatch.setattr(sys, "stderr", bar)
    sweep(succeed, grid(a=[1, 2]))
    assert [line.strip()[:8] for line in capsys.readouterr().out.splitlines()] == ["1/2  a=1", "2/2  a=2"]
    assert "2/2 [" in bar.getvalue() and "trial" in bar.getvalue()
