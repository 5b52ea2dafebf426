"""Sweeps on processes, on the ranks of mpiexec and on a Dask cluster: equal ledgers, and what kills leave."""

import contextlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path

import pytest
import sweep_program
from sweep_program import LEDGER, TRIALS

import fastnn
from fastnn.kernels.cpu import thread_count
from fastnn.sweep import grid, load_ledger, sweep, workers

PROGRAM = sweep_program.__file__
GUARD = 120  # seconds, after which a test gives up
NO_MPI = "the platform has no wheels of mpi4py and mpich"
PLACES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
MPIEXEC = importlib.util.find_spec("mpi4py") and shutil.which("mpiexec", path=PLACES)


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("FASTNN_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def without_times(records):
    return [{**record, "seconds": 0.0} for record in records]


def until(condition, *processes):
    """Wait until a condition holds while the processes run."""
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end and all(process.poll() is None for process in processes)
        time.sleep(0.005)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The records of the program's sweep in this process."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("expected"))
    Path("go").touch()
    try:
        with fastnn.use_backend("naive"):
            return without_times(sweep(sweep_program.Trial(), TRIALS, seed=7, verbose=False))
    finally:
        os.chdir(before)


def goes_on(expected):
    """Resume the program's sweep in this process; assert that the ledger is as if nothing had happened."""
    Path("go").touch()
    with fastnn.use_backend("naive"):
        records = sweep(sweep_program.Trial(), TRIALS, LEDGER, seed=7, retry_failed=True, verbose=False)
    assert without_times(records) == without_times(load_ledger(LEDGER)) == expected


# ---- the engines ----


class Processes:
    """The program on processes of its own."""

    command = (sys.executable, PROGRAM, "2")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Mpi(Processes):
    """The program under mpiexec, with two ranks that run trials."""

    command = (MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures", PROGRAM, "mpi")


class Dask(Processes):
    """The program on a Dask cluster of two workers."""

    def __enter__(self):
        where = ["--scheduler-file", "scheduler.json"]
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", *where)
        self.workers = self.start("worker", *where, "--nworkers", "2", "--nthreads", "1")
        until(lambda: self.address(), self.scheduler)
        self.command = (sys.executable, PROGRAM, self.address())
        return self

    def address(self):
        with contextlib.suppress(OSError, ValueError):  # not there yet, or half written
            return json.loads(Path("scheduler.json").read_text())["address"]

    def start(self, part, *options):
        with open(f"{part}.log", "w") as log:
            command = [sys.executable, "-m", f"distributed.cli.dask_{part}", "--no-dashboard", *options]
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment(), start_new_session=True)

    def __exit__(self, *_):
        for process in (self.workers, self.scheduler):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment():
    return {
        **os.environ,
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_TEMPORARY_DIRECTORY": ".",
    }


ENGINES = {
    "processes": Processes,
    "mpi": pytest.param(Mpi, marks=pytest.mark.skipif(MPIEXEC is None, reason=NO_MPI)),
    "dask": Dask,
}


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def engine(request):
    if request.param is Dask:
        pytest.importorskip("distributed", reason="the platform has no distributed")
    with request.param() as engine:
        yield engine


@contextlib.contextmanager
def begun(engine):
    """Start the program in a session of its own; yield it when trials 1 and 2 are recorded, and 3 and 4 run."""
    with open("program.log", "w") as log:
        process = subprocess.Popen(
            engine.command, stdout=log, stderr=log, env=environment(), start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    try:
        until(lambda: len(running()) == 2 and len(load_ledger(LEDGER)) == 2, process)
        yield process
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def running():
    """The process ids of the trials that wait."""
    return [int(path.read_text().split()[0]) for path in sorted(Path().glob("began-[3-6]"))]


def log():
    return Path("program.log").read_text()


# ---- equal ledgers ----


def test_every_engine_writes_the_same_ledger(engine, expected):
    Path("go").touch()
    done = subprocess.run(engine.command, env=environment(), capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    assert without_times(load_ledger(LEDGER)) == expected
    assert sorted(line.split("/")[0] for line in done.stdout.splitlines()) == list("123456")
    threads = {int(path.read_text().split()[1]) for path in Path().glob("began-*")}
    assert threads == {1 if isinstance(engine, Dask) else max(1, thread_count.cores() // 2)}


@pytest.mark.parametrize("count", [1, 4])
def test_the_number_of_processes_changes_nothing(count, expected):
    Path("go").touch()
    with fastnn.use_backend("naive"), workers(count) as executor:
        sweep(sweep_program.Trial(), TRIALS, LEDGER, executor, seed=7, verbose=False)
    assert without_times(load_ledger(LEDGER)) == expected


# ---- kills ----


def test_a_killed_worker_is_a_failed_trial_or_ends_the_job(engine, expected):
    with begun(engine) as process:
        os.kill(running()[0], signal.SIGKILL)
        if isinstance(engine, Mpi):  # whose launcher ends all ranks
            assert process.wait(GUARD) != 0
            assert len(load_ledger(LEDGER)) == 2
        else:
            until(lambda: len(load_ledger(LEDGER)) > 2, process)
            Path("go").touch()
            assert process.wait(GUARD) == 0, log()
            reasons = {record["number"]: record["reason"] for record in load_ledger(LEDGER) if record["reason"]}
            assert reasons.pop(5) == "ValueError: five"
            died = (
                "KilledWorker: Attempted to run task" if isinstance(engine, Dask) else "WorkerDied: its process ended"
            )
            assert reasons.pop(3).startswith(died)
            assert isinstance(engine, Dask) or not reasons  # which may have sent that worker another trial already
    goes_on(expected)


def test_a_killed_parent_leaves_a_ledger_and_no_processes(engine, expected):
    with begun(engine) as process:
        trials = running()
        os.kill(int(Path("parent").read_text()), signal.SIGKILL)
        assert process.wait(GUARD) != 0
    if not isinstance(engine, Dask):
        until(lambda: not any(map(is_running, trials)))
    goes_on(expected)


def test_a_process_without_a_trial_ends_with_its_parent():
    program = (
        "import os, sys\nfrom fastnn.sweep import workers\n"
        "with workers(1) as executor:\n    print(executor.submit(os.getpid).result(), flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.kill()
    until(lambda: not is_running(worker))


def test_a_killed_scheduler_leaves_trials_that_were_not_run(expected):
    pytest.importorskip("distributed", reason="the platform has no distributed")
    with Dask() as engine, begun(engine) as process:
        engine.scheduler.kill()
        assert process.wait(GUARD) == 1
        assert [record["status"] for record in load_ledger(LEDGER)] == ["finished"] * 2 + ["not run"] * 4
        assert "4 of 6 trials were not run, because the executor is broken (BrokenExecutor: it cancelled tri" in log()
        assert "distributed.client" not in log()
    goes_on(expected)


def test_ctrl_c_cancels_what_waits(engine, expected):
    with begun(engine) as process:
        trials = running()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(GUARD) != 0
        assert "KeyboardInterrupt\n" in log()
        assert type(engine) is not Processes or log().count("Traceback") == 1  # the workers say nothing
        assert len(load_ledger(LEDGER)) == 2
        if not isinstance(engine, Dask):
            until(lambda: not any(map(is_running, trials)))
        Path("go").touch()
        assert running() == trials
    goes_on(expected)


def die(params):
    if params["a"] == 2 and not Path("go").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"val_acc": params["a"]}


def test_a_broken_pool_leaves_trials_that_were_not_run():
    trials = grid(a=[1, 2, 3])
    for again in (False, True):
        with (
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
            pytest.raises(BrokenExecutor, match=r"2 of 3 trials were not run, because .* \(BrokenProcessPool: .*\)")
            if not again
            else contextlib.nullcontext(),
        ):
            sweep(die, trials, LEDGER, pool, verbose=False)
        records = load_ledger(LEDGER)
        assert [record["status"] for record in records] == ["finished", *["finished" if again else "not run"] * 2]
        assert [record["val_acc"] for record in records] == ([1, 2, 3] if again else [1, None, None])
        Path("go").touch()
    assert [record["reason"] for record in records] == [None] * 3


def test_the_script_of_the_page_runs():
    page = Path(__file__).parents[2] / "docs" / "many_machines.md"
    _, _, after = page.read_text(encoding="utf-8").partition("```python\n")
    script = after.partition("```")[0].replace("get_CIFAR10_data()", "get_shapes_data(50, 20, 0)")
    assert "get_shapes_data(" in script and "workers(4)" in script
    script = script.replace("get_CIFAR10_data", "get_shapes_data").replace("workers(4)", "workers(2)")
    Path("trial.py").write_text(script)
    variables = {**environment(), "FASTNN_BACKEND": "vectorized"}
    done = subprocess.run([sys.executable, "trial.py"], env=variables, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    assert [record["status"] for record in load_ledger("trials.jsonl")] == ["finished"] * 6


@pytest.mark.skipif(MPIEXEC is None, reason=NO_MPI)
def test_the_command_runs_under_mpiexec():
    options = "--learning-rate 1e-3 1e-2 --reg 0 --epochs 1 --num-train 20 --model two-layer --backend vectorized"
    command = ["-m", "fastnn", "sweep", *options.split(), "--out"]
    launched = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures", *command, "ranks", "--workers", "mpi"]
    for words in ([sys.executable, *command, "here"], launched):
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=GUARD)
        assert done.returncode == 0, done.stderr
    assert without_times(load_ledger("ranks/ledger.jsonl")) == without_times(load_ledger("here/ledger.jsonl"))
