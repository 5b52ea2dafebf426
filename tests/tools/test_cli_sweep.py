"""`fastnn sweep`, in process, on a few tiny images."""

import concurrent.futures
import json
import os
import signal
import sys

import pytest

import fastnn
from fastnn import sweep, vis_utils
from fastnn.classifiers import ThreeLayerConvNet
from fastnn.cli import main, settings

pytestmark = pytest.mark.usefixtures("tiny_runs")
plot_sweep = vis_utils.plot_sweep

FOLDER = "runs/sweep-shapes-three-layer-conv"
SMALL = ("--learning-rate", "1e-3", "1e-2", "--reg", "0", "0.1")
FOUR = [{"learning_rate": rate, "reg": reg} for rate in (1e-3, 1e-2) for reg in (0.0, 0.1)]


def trial_log(folder=FOLDER):
    return sweep.load_ledger(f"{folder}/ledger.jsonl")


def params_of(folder=FOLDER):
    return [record["params"] for record in trial_log(folder)]


def without_times(records):
    return [{**record, "seconds": 0.0} for record in records]


@pytest.fixture
def fail_at(monkeypatch):
    """Return a function that makes training raise from a learning rate on."""
    original = settings.Settings.build_solver

    def install(rate, error):
        def build_solver(self, data, verbose=False):
            if self.learning_rate >= rate:
                raise error
            return original(self, data, verbose)

        monkeypatch.setattr(settings.Settings, "build_solver", build_solver)

    return install


def test_sweep_writes_a_trial_log_a_table_and_a_picture(capsys, monkeypatch):
    monkeypatch.setattr(vis_utils, "plot_sweep", plot_sweep)
    assert main(["sweep", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "12 training, 6 validation images" in out
    assert "trials               4 of 2 epochs, three-layer-conv" in out
    assert "\n4/4  learning_rate=0.01, reg=0.1  val_acc 0." in out
    assert params_of() == FOUR
    assert sorted(os.listdir(FOLDER)) == ["ledger.jsonl", "sweep.json", "sweep.png"]
    assert os.path.getsize(f"{FOLDER}/sweep.png") > 10_000
    head, *rows = out[out.index("trial  learning_rate") :].splitlines()[:5]
    assert head.split("  ")[0] == "trial"
    accuracies = [float(row.split()[4]) for row in rows]
    assert accuracies == sorted((round(record["val_acc"], 3) for record in trial_log()), reverse=True)
    best = sweep.best(trial_log())
    assert f"best                 validation accuracy {best['val_acc']:.3f} with learning_rate=" in out
    for record in trial_log():
        assert (record["status"], record["backend"], record["steps"]) == ("finished", "vectorized", 6)
        assert record["loss"] > 0


def test_trial_is_what_train_does(capsys):
    assert main(["sweep", "--learning-rate", "1e-2", "--reg", "0.1", "--seed", "4"]) == 0
    capsys.readouterr()
    assert main(["train", "--learning-rate", "1e-2", "--reg", "0.1", "--seed", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation_accuracy"] == trial_log()[0]["val_acc"]


def test_sweep_prints_json_alone_on_stdout(capsys):
    assert main(["sweep", *SMALL, "--json", "--out", "here", "--model", "two-layer", "--hidden-dim", "7"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["best"] == result["trials"][0] == sweep.best(result["trials"])
    assert sorted(result["trials"], key=lambda record: record["number"]) == trial_log("here")
    assert (result["folder"], result["backend"]) == ("here", "vectorized")
    assert os.path.exists(result["picture"])
    assert result["settings"]["hidden_dim"] == 7
    assert "learning_rate" not in result["settings"]
    assert "4/4  learning_rate=" in err


def test_default_is_a_grid(capsys):
    assert main(["sweep", "--epochs", "1", "--num-train", "4"]) == 0
    rates, penalties = ({params[name] for params in params_of()} for name in ("learning_rate", "reg"))
    assert len(trial_log()) == len(rates) * len(penalties) == 20
    assert min(rates) < 1e-3 < max(rates)


def test_sizes_and_rules_are_swept_too():
    options = "--learning-rate 1e-3 --reg 0 --hidden-dim 3 4 --update-rule sgd adam --num-filters 3 --epochs 1"
    assert main(["sweep", *options.split()]) == 0
    first = {"learning_rate": 1e-3, "update_rule": "sgd", "reg": 0.0, "hidden_dim": 3}
    assert params_of() == [
        {**first, "update_rule": rule, "hidden_dim": width} for rule in ("sgd", "adam") for width in (3, 4)
    ]


def test_random_search_draws_from_ranges_and_lists():
    options = "--random 5 --learning-rate 1e-4:1e-2 --hidden-dim 3:6 --batch-size 2 4 --seed 2 --epochs 1"
    for out in ("a", "b"):
        assert main(["sweep", *options.split(), "--out", out]) == 0
    assert without_times(trial_log("a")) == without_times(trial_log("b"))
    assert len({json.dumps(params) for params in params_of("a")}) == 5
    for params in params_of("a"):
        assert list(params) == ["batch_size", "learning_rate", "reg", "hidden_dim"]
        assert 1e-4 <= params["learning_rate"] <= 1e-2
        assert 1e-5 <= params["reg"] <= 0.1
        assert params["hidden_dim"] in (3, 4, 5, 6)
        assert params["batch_size"] in (2, 4)
    assert main(["sweep", *options.replace("5", "7", 1).split(), "--out", "a"]) == 0
    assert params_of("a")[:5] == params_of("b")
    assert len(trial_log("a")) == 7


def test_same_command_resumes(capsys, monkeypatch):
    assert main(["sweep", *SMALL, "--out", "whole"]) == 0
    original = settings.Settings.build_solver

    def build_solver(self, data, verbose=False):
        solver = original(self, data, verbose)
        if (self.learning_rate, self.reg) == (1e-2, 0.0):
            solver.callbacks.append(lambda solver: solver.iteration == 3 and signal.raise_signal(signal.SIGINT))
        return solver

    monkeypatch.setattr(settings.Settings, "build_solver", build_solver)
    capsys.readouterr()
    assert main(["sweep", *SMALL]) == 130
    out, err = capsys.readouterr()
    assert err == ""
    assert "interrupted          after 2 trials" in out
    *_, line = (line for line in out.splitlines() if line.startswith("resume with"))
    assert params_of() == FOUR[:2]
    monkeypatch.setattr(settings.Settings, "build_solver", original)
    assert main(line.split()[3:]) == 0
    assert "2 of 4 trials are in" in capsys.readouterr().out
    assert without_times(trial_log()) == without_times(trial_log("whole"))
    assert os.listdir("runs") == [os.path.basename(FOLDER)]
    before = trial_log()
    assert main(["sweep", *SMALL]) == 0
    assert trial_log() == before


def test_printed_command_to_resume_is_complete(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(settings.Settings, "build_solver", interrupt)
    options = "--random 3 --retry-failed --learning-rate 0.001:0.01 --update-rule sgd adam --epochs 1 --backend naive"
    assert main(["sweep", "--out", "a b", *options.split(), "--json"]) == 130
    err = capsys.readouterr().err
    assert f"sweep --out 'a b' {options[:26]}" in err
    for words in ("--learning-rate 0.001:0.01", "--update-rule sgd adam", "--epochs 1", "--backend naive", "--seed 0"):
        assert words in err
    assert "--json" not in err


def test_processes_write_the_same_trial_log(capsys):
    assert main(["sweep", *SMALL, "--out", "here"]) == 0
    assert main(["sweep", *SMALL, "--workers", "2", "--out", "there"]) == 0
    assert without_times(trial_log("there")) == without_times(trial_log("here"))
    assert capsys.readouterr().err == ""


def test_a_broken_executor_says_how_to_go_on(capsys, monkeypatch):
    class Broken(concurrent.futures.Executor):
        def submit(self, function, *arguments):
            raise concurrent.futures.BrokenExecutor("the cluster is gone")

    monkeypatch.setattr(sweep, "workers", lambda which: Broken())
    assert main(["sweep", *SMALL, "--workers", "tcp://node:8786"]) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("fastnn sweep: sweep: 4 of 4 trials were not run, because the executor is broken (")
    assert "interrupted          after 0 trials" in out
    *_, resume = (line for line in out.splitlines() if line.startswith("resume with"))
    assert "--workers tcp://node:8786" in resume
    assert {record["status"] for record in trial_log()} == {"not run"}
    assert main(["sweep", *SMALL]) == 0
    assert [record["status"] for record in trial_log()] == ["finished"] * 4


def test_other_values_add_to_the_table(capsys):
    assert main(["sweep", *SMALL]) == 0
    assert main(["sweep", "--learning-rate", "1e-2", "0.5", "--reg", "0.1", "--out", FOLDER]) == 0
    assert params_of() == [*FOUR, {"learning_rate": 0.5, "reg": 0.1}]
    assert "1 of 2 trials are in" in capsys.readouterr().out


def test_other_settings_make_another_folder(error_of):
    assert main(["sweep", *SMALL, "--epochs", "1"]) == 0
    assert main(["sweep", *SMALL]) == 0
    assert sorted(os.listdir("runs")) == [os.path.basename(FOLDER) + suffix for suffix in ("", "-2")]
    assert (
        "contains another sweep: epochs=1, not 2; expected one over the same names with the same settings"
        in error_of("sweep", *SMALL, "--out", FOLDER)
    )
    assert (
        "contains another sweep: over ['learning_rate', 'reg'], not ['learning_rate', 'reg', 'hidden_dim']"
        in error_of("sweep", *SMALL, "--epochs", "1", "--hidden-dim", "3", "4", "--out", FOLDER)
    )
    os.remove(f"{FOLDER}/sweep.json")
    assert "contains another sweep: a ledger without sweep.json" in error_of("sweep", *SMALL, "--out", FOLDER)
    with open(f"{FOLDER}/sweep.json", "w") as file:
        file.write("{")
    assert "contains another sweep: a file that is not readable" in error_of("sweep", *SMALL, "--out", FOLDER)


def test_failed_trials_are_in_the_table(capsys, fail_at):
    fail_at(1e-2, FloatingPointError("Solver: loss = nan in iteration 3; lower it"))
    assert main(["sweep", *SMALL]) == 0
    out = capsys.readouterr().out
    assert out.count("  -        -      0.0  FloatingPointError: Solver: loss = nan in iteration 3\n") == 2
    assert [record["status"] for record in trial_log()] == ["finished"] * 2 + ["failed"] * 2


def test_failed_trials_are_run_again_on_request(fail_at):
    fail_at(1e-2, ValueError("too bad"))
    main(["sweep", *SMALL])
    fail_at(1e9, None)
    main(["sweep", *SMALL])
    assert [record["status"] for record in trial_log()] == ["finished"] * 2 + ["failed"] * 2
    main(["sweep", *SMALL, "--retry-failed"])
    assert [record["status"] for record in trial_log()] == ["finished"] * 4


def test_sweep_of_which_nothing_finished(capsys, fail_at):
    fail_at(0, ValueError("too bad"))
    assert main(["sweep", *SMALL, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["best"] is None
    assert err.endswith("fastnn sweep: none of 4 trials finished; ValueError: too bad\n")


def test_loss_that_overflows_is_a_failed_trial(monkeypatch):
    original = ThreeLayerConvNet.loss

    def loss(self, X, y=None):
        result = original(self, X, y)
        return (float("inf"), result[1]) if y is not None and self.reg > 0 and len(X) > 1 else result

    monkeypatch.setattr(ThreeLayerConvNet, "loss", loss)
    assert main(["sweep", *SMALL]) == 0
    assert [record["status"] for record in trial_log()] == ["finished", "failed"] * 2
    assert trial_log()[1]["reason"].startswith(
        "FloatingPointError: Solver: loss = inf in iteration 1; expected a finite"
    )


def test_loss_that_overflows_in_preparation_is_a_failed_trial_too(monkeypatch):
    original = ThreeLayerConvNet.loss

    def loss(self, X, y=None):
        result = original(self, X, y)
        return result if y is None or self.reg > 0 else (float("inf"), result[1])

    monkeypatch.setattr(ThreeLayerConvNet, "loss", loss)
    assert main(["sweep", *SMALL]) == 0
    assert [record["status"] for record in trial_log()] == ["failed", "finished"] * 2


def test_data_are_loaded_and_kernels_prepared_once(monkeypatch):
    calls = []
    load_data = settings.Settings.load_data
    monkeypatch.setattr(settings.Settings, "load_data", lambda self: calls.append("data") or load_data(self))
    monkeypatch.setattr("fastnn.cli.sweep.prepare", lambda *_: calls.append("kernels"))
    assert main(["sweep", *SMALL]) == 0
    assert calls == ["data", "kernels"]


def test_backend_is_chosen_for_the_command_alone():
    assert main(["sweep", "--learning-rate", "1e-3", "--reg", "0", "--backend", "naive", "--epochs", "1"]) == 0
    assert trial_log()[0]["backend"] == "naive"
    assert fastnn.get_backend() == "vectorized"


@pytest.mark.skipif(sys.platform == "win32", reason="locks behave otherwise")
def test_two_sweeps_in_one_folder(error_of):
    import fcntl

    assert main(["sweep", *SMALL]) == 0
    with open(f"{FOLDER}/ledger.jsonl", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is being written by another sweep; expected one sweep at a time" in error_of("sweep", *SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--learning-rate 1e-4:1e-2", "--learning-rate has a range with other values, or without --random; expected"),
        ("--random 3 --reg 0:1 2", "--reg has a range with other values, or without --random"),
        ("--random 3 --reg 0:1", "log_uniform: low=0.0 is out of range; expected more than 0"),
        ("--random 3 --reg 2:1", "log_uniform: high=1.0 is out of range; expected at least 2.0"),
        ("--random 3 --hidden-dim 5:2", "integers: high=2 is out of range; expected at least 5"),
        ("--random 0", "random_search: count=0 is out of range"),
        ("--learning-rate 0 1", "learning_rate=0.0 is out of range; expected more than 0"),
        ("--reg 1 -1", "reg=-1.0 is out of range; expected at least 0"),
        ("--hidden-dim 1 0", "hidden_dim=0 is out of range; expected at least 1"),
        ("--epochs 0", "epochs=0 is out of range; expected at least 1"),
        ("--num-train 0", "num_train=0 is out of range"),
        ("--seed -1", "sweep: seed=-1"),
        ("--workers mpi", "which='mpi' needs ranks that wait for trials, besides the first; expected at least two"),
        ("--model two-layer --num-filters 2 4", "--num-filters=2 does not apply to --model two-layer"),
        ("--out file/folder", "sweep: out='file/folder' cannot be written, because of "),
    ],
)
def test_errors_are_one_line(error_of, arguments, message):
    open("file", "w").close()
    assert message in error_of("sweep", *arguments.split())
    assert not os.path.exists(f"{FOLDER}/ledger.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "argument --workers: '0' is out of range; expected at least 1"),
        (["--workers", "many"], "argument --workers: 'many' is not an integer"),
        (["--reg", "much"], "argument --reg: 'much' is not a number"),
        (["--random", "3", "--hidden-dim", "1:2:3"], "argument --hidden-dim: '2:3' is not an integer"),
        (["--update-rule", "adm"], "argument --optimizer/--update-rule: 'adm' is unknown"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", *arguments])
    assert message in capsys.readouterr().err
