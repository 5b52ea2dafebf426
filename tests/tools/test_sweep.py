"""Sweeps in one process: trials, records, errors."""

import json
import math

import numpy as np
import pytest

from fastnn import reset_seed
from fastnn.classifiers import LinearSVM, fc_net
from fastnn.classifiers.linear_classifier import test_one_param_set as one_param_set
from fastnn.solver import Solver
from fastnn.sweep import best, choice, grid, integers, load_ledger, log_uniform, random_search, sweep, uniform


def succeed(params):
    return {"train_acc": 0.75, "val_acc": params["a"] / 8}


def run_all(run=succeed, trials=None, ledger=None, **options):
    return sweep(run, grid(a=[1, 2, 3]) if trials is None else trials, ledger, verbose=False, **options)


def lines_of(path):
    return path.read_text().splitlines()


# which trials


def test_grid_varies_the_last_name_fastest():
    actual = grid(a=[1, 2], b=("x", "y"), c=np.array([0.5]))
    assert actual == [{"a": a, "b": b, "c": 0.5} for a in (1, 2) for b in ("x", "y")]
    assert [list(params) for params in actual] == [["a", "b", "c"]] * 4
    assert type(actual[0]["c"]) is float


@pytest.mark.parametrize("seed", [0, 7])
def test_random_search_is_decided_by_its_seed(seed):
    distributions = {"a": log_uniform(1e-4, 1), "b": uniform(-1, 1), "c": integers(1, 9), "d": ["x", "y"]}
    actual = random_search(20, seed, **distributions)
    assert actual == random_search(20, seed, **distributions)
    assert actual[:5] == random_search(5, seed, **distributions)
    assert actual == random_search(20, np.random.default_rng(seed), **distributions)
    assert actual != random_search(20, seed + 1, **distributions)
    assert json.loads(json.dumps(actual)) == actual


def test_random_search_without_a_seed_draws_from_the_global_state():
    reset_seed(3)
    expected = random_search(4, a=log_uniform(1, 10), b=[1, 2, 3])
    assert expected != random_search(4, a=log_uniform(1, 10), b=[1, 2, 3])
    reset_seed(3)
    assert random_search(4, a=log_uniform(1, 10), b=[1, 2, 3]) == expected


def drawn(distribution, count=4000):
    return [params["a"] for params in random_search(count, 0, a=distribution)]


def test_log_uniform():
    values = np.array(drawn(log_uniform(1e-4, 1)))
    assert values.min() >= 1e-4
    assert values.max() <= 1
    counts, _ = np.histogram(np.log10(values), bins=4, range=(-4, 0))
    np.testing.assert_allclose(counts, 1000, atol=120)
    assert all(float(f"{value:.6g}") == value for value in values)
    assert set(drawn(log_uniform(math.pi, math.pi), 5)) == {math.pi}


def test_uniform():
    values = np.array(drawn(uniform(-1, 3)))
    counts, _ = np.histogram(values, bins=4, range=(-1, 3))
    assert counts.sum() == 4000
    np.testing.assert_allclose(counts, 1000, atol=120)


def test_integers_include_both_ends():
    values, counts = np.unique(drawn(integers(-1, 2)), return_counts=True)
    np.testing.assert_array_equal(values, [-1, 0, 1, 2])
    np.testing.assert_allclose(counts, 1000, atol=120)
    values, counts = np.unique(drawn(integers(1, 3, log=True)), return_counts=True)
    np.testing.assert_array_equal(values, [1, 2, 3])
    np.testing.assert_allclose(counts, 4000 * np.log([2, 3 / 2, 4 / 3]) / np.log(4), atol=120)
    assert all(type(value) is int for value in drawn(integers(1, 9), 5))


def test_choice_is_what_a_list_means():
    values, counts = np.unique(drawn(["x", "y"]), return_counts=True)
    np.testing.assert_array_equal(values, ["x", "y"])
    np.testing.assert_allclose(counts, 2000, atol=150)
    assert drawn(["x", "y"], 9) == drawn(choice(["x", "y"]), 9)


def test_a_custom_function_is_a_distribution():
    assert drawn(lambda generator: generator.normal() > 9, 3) == [False] * 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: grid(a=0.5), TypeError, r"grid: a=0.5 is not a list of values; expected one; pass \[0.5\]"),
        (lambda: grid(a="adam"), TypeError, "grid: a='adam' is not a list of values"),
        (lambda: grid(a=[]), ValueError, r"grid: a=\[\] is empty; expected at least one value"),
        (lambda: random_search(0, a=[1]), ValueError, "random_search: count=0 is out of range"),
        (lambda: random_search(1, "x", a=[1]), TypeError, "seed='x' is not a seed"),
        (lambda: random_search(1, a=1.0), TypeError, "random_search: a=1.0 is not a list of values"),
        (lambda: log_uniform(0, 1), ValueError, "log_uniform: low=0 is out of range; expected more than 0"),
        (lambda: log_uniform(2, 1), ValueError, "log_uniform: high=1 is out of range; expected at least 2"),
        (lambda: uniform(0, math.inf), ValueError, "uniform: high=inf is not finite"),
        (lambda: integers(0, 1, log=True), ValueError, "integers: low=0 is out of range; expected at least 1"),
        (lambda: integers(3, 2), ValueError, "integers: high=2 is out of range; expected at least 3"),
        (lambda: choice([]), ValueError, r"choice: values=\[\] is empty"),
        (lambda: best([]), ValueError, "best: none of the 0 trials finished; expected at least one"),
        (lambda: sweep(succeed, [[1]]), TypeError, r"trials contains \[1\]; expected non-empty dicts"),
        (lambda: sweep(succeed, [{}]), TypeError, r"trials contains \{\}; expected non-empty dicts"),
        (lambda: sweep(succeed, [{"a": 1}, {"b": 1}]), ValueError, r"with the names \['b'\] and \['a'\]"),
        (lambda: sweep(succeed, [{"a": math.nan}]), ValueError, r"params\['a'\] = nan is not finite; expected finite"),
        (
            lambda: sweep(succeed, [{"a": len}]),
            TypeError,
            r"params\['a'\] is a builtin_function_or_method; expected num",
        ),
        (lambda: sweep(succeed, [{"a": {1: 2}}]), TypeError, r"params\['a'\] has the key 1; expected strings; use '1'"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# what is recorded


def test_records(tmp_path):
    def run(params):
        return {
            "val_acc": np.float32(0.5),
            "train_acc": 1,
            "history": np.arange(2),
            "note": None,
            "deep": {"x": (1, 2)},
        }

    path = tmp_path / "new" / "ledger.jsonl"
    trials = [{"learning_rate": np.float64(0.1), "dims": (3, 4)}]
    (record,) = run_all(run, trials, path)
    assert record.pop("seconds") >= 0
    assert record == {
        "params": {"learning_rate": 0.1, "dims": [3, 4]},
        "status": "finished",
        "reason": None,
        "train_acc": 1,
        "val_acc": 0.5,
        "history": [0, 1],
        "note": None,
        "deep": {"x": [1, 2]},
        "number": 1,
    }
    (line,) = lines_of(path)
    assert list(json.loads(line))[:5] == ["params", "status", "reason", "train_acc", "val_acc"]
    assert load_ledger(path)[0].items() >= record.items()
    assert run_all(lambda params: pytest.fail("run again"), trials, path) == load_ledger(path)


def test_run_gets_params_of_its_own():
    def run(params):
        assert type(params["a"]) is tuple
        params.clear()
        return {"val_acc": 0}

    trials = [{"a": (1, 2)}]
    assert run_all(run, trials)[0]["status"] == "finished"
    assert trials == [{"a": (1, 2)}]


def test_failed_trials_are_recorded_and_the_sweep_continues(tmp_path):
    outcomes = {
        1: lambda: {}["x"],
        2: lambda: {"val_acc": math.nan, "train_acc": 0.5},
        3: lambda: {"val_acc": 0.5, "loss": np.float32(np.inf), "history": [1.0, math.nan]},
        4: lambda: {"val_acc": 0.25},
        5: lambda: exec("raise FloatingPointError('Solver: loss = nan\\nsecond line')"),
        6: lambda: exec("raise ValueError"),
    }
    path = tmp_path / "ledger.jsonl"
    records = run_all(lambda params: outcomes[params["a"]](), grid(a=list(outcomes)), path)
    assert [record["reason"] for record in records] == [
        "KeyError: 'x'",
        "result['val_acc'] = nan is not finite",
        "result['loss'] = inf is not finite",
        None,
        "FloatingPointError: Solver: loss = nan",
        "ValueError",
    ]
    assert [record["status"] for record in records] == ["failed"] * 3 + ["finished"] + ["failed"] * 2
    assert [record["val_acc"] for record in records] == [None, None, 0.5, 0.25, None, None]
    assert [record["train_acc"] for record in records] == [None, 0.5, None, None, None, None]
    assert records[2]["history"] == [1.0, None]
    assert not {"NaN", "Infinity"} & set(path.read_text().replace(",", " ").split())
    assert load_ledger(path) == records
    assert best(records) is records[3]
    with pytest.raises(ValueError, match="none of the 3 trials finished, the first because of \"KeyError: 'x'\""):
        best(records[:3])


def test_a_trial_that_diverges_has_failed(one_backend):
    X, y = np.eye(4), np.arange(4) % 2
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}

    def of_solver(params):
        model = fc_net.TwoLayerNet(4, 5, 2, seed=0)
        solver = Solver(model, data, optim_config={"learning_rate": params["a"]}, verbose=False, seed=0)
        solver.train()
        return {"val_acc": solver.best_val_acc}

    def of_classifier(params):
        return {"val_acc": one_param_set(LinearSVM(seed=0), data, params["a"], 1.0, 20)[2]}

    for run in (of_solver, of_classifier):
        records = run_all(run, grid(a=[1e-3, 1e200]))
        assert [record["status"] for record in records] == ["finished", "failed"]
        assert records[1]["reason"].startswith("FloatingPointError: ")


def test_failed_trials_are_run_again_on_request(tmp_path):
    def fail(params):
        raise ValueError("too bad")

    path = tmp_path / "ledger.jsonl"
    run_all(lambda params: fail(params) if params["a"] == 2 else succeed(params), ledger=path)
    assert [record["status"] for record in run_all(fail, ledger=path)] == ["finished", "failed", "finished"]
    assert len(lines_of(path)) == 3
    records = run_all(ledger=path, retry_failed=True)
    assert [record["status"] for record in records] == ["finished"] * 3
    assert [record["number"] for record in records] == [1, 2, 3]
    assert len(lines_of(path)) == 4
    assert load_ledger(path) == records == run_all(fail, ledger=path, retry_failed=True)


def test_equal_params_run_once(tmp_path):
    path, ran = tmp_path / "ledger.jsonl", []

    def run(params):
        ran.append(params)
        return {"val_acc": 0.5}

    run_all(run, [{"a": 1, "b": 0.1}, {"b": np.float64(0.1), "a": 1.0}], path)
    assert ran == [{"a": 1, "b": 0.1}]
    run_all(run, [{"a": True, "b": 0.1}, {"a": 1, "b": 0.1 + 1e-16}, {"a": "1", "b": 0.1}], path)
    assert len(ran) == 4
    assert [record["number"] for record in load_ledger(path)] == [1, 2, 3, 4]


def test_best_is_the_first_of_equals():
    records = run_all(lambda params: {"val_acc": 0.5 if params["a"] > 1 else 0.25})
    assert best(records) is records[1]


def test_progress_is_printed(capsys, tmp_path):
    path = tmp_path / "ledger.jsonl"
    sweep(succeed, grid(a=[1]), path)
    sweep(lambda params: {}["x"], grid(a=[1, 1e-7]), path)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "1/1  a=1  val_acc 0.1250  (0.0 s)"
    assert second == f"1 of 2 trials are in {str(path)!r} already"
    assert third == "2/2  a=1e-07  failed: KeyError: 'x'  (0.0 s)"


def test_nothing_to_do_is_done(tmp_path):
    assert run_all(trials=[]) == []
    run_all(ledger=tmp_path / "ledger.jsonl")
    assert run_all(trials=[], ledger=tmp_path / "ledger.jsonl") == []


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (0.5, TypeError, "run returned 0.5; expected a dict with 'val_acc'"),
        ({"accuracy": 0.5}, TypeError, "expected a dict with 'val_acc'"),
        ({"val_acc": None}, TypeError, "run returned val_acc=None; expected a number"),
        ({"val_acc": True}, TypeError, "run returned val_acc=True; expected a number"),
        ({"val_acc": 1, "number": 1}, ValueError, "run returned 'number', which the sweep records itself"),
        ({"val_acc": 1, "model": object()}, TypeError, r"result\['model'\] is a object; expected numbers, strings"),
    ],
)
def test_wrong_results_end_the_sweep(result, error, message, tmp_path):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(error, match=message):
        run_all(lambda params: succeed(params) if params["a"] < 2 else result, ledger=path)
    assert [record["params"] for record in load_ledger(path)] == [{"a": 1}]


def test_linear_classifier_in_one_line():
    """The example of the docstring, with a fake of the course's function."""

    def one_param_set(classifier, data, lr, reg, num_iters):
        return classifier, 0.5, data[lr, reg]

    def run(params):
        _, train_acc, val_acc = one_param_set(None, data, params["learning_rate"], params["reg"], 2000)
        return {"train_acc": train_acc, "val_acc": val_acc}

    data = {(1e-3, 0.1): 0.25, (1e-3, 1.0): 0.5, (1e-2, 0.1): 0.125, (1e-2, 1.0): 0.375}
    trials = sweep(run, grid(learning_rate=[1e-3, 1e-2], reg=[0.1, 1.0]), verbose=False)
    assert best(trials)["params"] == {"learning_rate": 1e-3, "reg": 1.0}
