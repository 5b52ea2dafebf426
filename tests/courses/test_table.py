"""The table of courses: everything it names exists, and keywords mean what they mean in the course."""

import importlib
import inspect

import numpy as np
import pytest

from fastnn import courses
from fastnn.classifiers import fc_net
from fastnn.courses import adapters, finder, table
from fastnn.solver import Solver

EDITIONS = [(edition, modules) for name in table.COURSES for edition, modules in table.editions(name).items()]
MODULES = [(edition, module) for edition, modules in EDITIONS for module in modules]


@pytest.mark.parametrize(("edition", "module"), MODULES)
def test_every_module_can_be_imported_with_all_its_names(edition, module):
    found = importlib.import_module(f"{finder.PREFIX}{edition}.{module}".rstrip("."))
    entry = table.find(edition, module)
    assert set(entry.names) <= set(found.__all__)
    for source in entry.sources:
        assert set(finder.public(importlib.import_module(source))) <= set(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None


ADAPTED = [
    pytest.param(value, id=f"{edition}.{module}.{name}")
    for edition, modules in EDITIONS
    for module, entry in modules.items()
    for name, value in entry.names.items()
    if isinstance(value, adapters.Adapted)
]


@pytest.mark.parametrize("adapted", ADAPTED)
def test_adapted_names_pass_only_keywords_that_exist(adapted):
    target = finder.target(adapted.target)
    known = set(inspect.signature(target).parameters)
    assert set(adapted.defaults) <= known
    for name in adapted.parameters:
        change = adapted.keywords.get(name, name)
        if not callable(change):
            assert change in known, name
    for change in adapted.keywords.values():
        if not callable(change):
            assert change in known


def net(edition, **given):
    made = importlib.import_module(f"{finder.PREFIX}{edition}.classifiers.fc_net").FullyConnectedNet
    return made([6, 5], input_dim=4, num_classes=3, **given)


def kept(model):
    """The probability of keeping of a network's dropout layers; 1 if it has none."""
    return {1 - layer.p for layer in model.layers if type(layer).__name__ == "Dropout"} or {1}


@pytest.mark.parametrize(
    ("edition", "keyword", "value", "expected"),
    [
        ("cs231n", "dropout_keep_ratio", 0.75, 0.75),
        ("cs231n", "dropout", 0.75, 0.75),
        ("cs231n", "dropout", 1, 1),
        ("cs231n_2018", "dropout", 0.25, 0.25),
        ("cs231n_2018", "dropout", 1, 1),
        ("cs231n_2017", "dropout", 0.25, 0.75),
        ("cs231n_2017", "dropout", 0, 1),
        ("cs231n_2015", "dropout", 0.25, 0.75),
        ("cs182", "dropout", 0.25, 0.75),
        ("cs182", "dropout", 0, 1),
    ],
)
def test_dropout_by_edition(edition, keyword, value, expected):
    (found,) = kept(net(edition, **{keyword: value}))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (0.25, 0.25), (1, 1)])
def test_dropout_at_ucla(value, expected):
    from fastnn.courses.nndl.fc_net import FullyConnectedNet

    (found,) = kept(FullyConnectedNet([6], input_dim=4, dropout=value))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("edition", ["cs231n", "cs231n_2018"])
def test_an_ambiguous_call_names_the_editions(edition):
    with pytest.raises(ValueError, match=r"dropout=0 means no dropout in editions .* 2017.*2018 to 2020.*year=2017"):
        net(edition, dropout=0)
    with pytest.raises(ValueError, match=r"dropout=0.5 is the probability of dropping in editions .*year=2017"):
        net(edition, dropout=0.5, use_batchnorm=True)


@pytest.mark.parametrize("edition", ["cs231n", "cs231n_2018", "cs231n_2017"])
def test_use_batchnorm_in_every_edition(edition):
    assert "gamma1" in net(edition, use_batchnorm=True).params
    assert "gamma1" not in net(edition, use_batchnorm=False).params


@pytest.mark.parametrize("edition", ["cs231n_2017", "cs182"])
def test_the_probability_of_dropping_of_dropout_forward(edition):
    layers = importlib.import_module(f"{finder.PREFIX}{edition}.layers")
    x = np.ones((400, 500))
    out, _ = layers.dropout_forward(x, {"mode": "train", "p": 0.25, "seed": 1})
    assert np.mean(out > 0) == pytest.approx(0.75, abs=0.01)
    assert out.max() == pytest.approx(1 / 0.75)


@pytest.mark.parametrize("edition", ["cs231n_2017", "cs182"])
def test_use_batchnorm(edition):
    assert "gamma1" in net(edition, use_batchnorm=True).params
    assert "gamma1" not in net(edition, use_batchnorm=False).params


def test_positional_arguments_are_those_of_the_edition():
    from fastnn.courses.cs231n_2017.classifiers.fc_net import FullyConnectedNet

    model = FullyConnectedNet([5], 4, 3, 0.25, True, 0.5, 1e-2, np.float64)
    assert kept(model) == {0.75}
    assert model.reg == 0.5
    assert model.params["gamma1"].dtype == np.float64


def test_adapted_classes_give_objects_that_checkpoints_know(tmp_path, small_data):
    model = net("cs231n_2017", dropout=0, use_batchnorm=True)
    assert type(model) is fc_net.FullyConnectedNet
    from fastnn.courses.cs231n.solver import Solver as Adapted

    solver = Adapted(model, small_data, num_epochs=1, batch_size=2, verbose=False, update_rule="sgd_nesterov_momentum")
    assert type(solver) is Solver
    assert solver.update_rule.__name__ == "nesterov"
    solver.train()
    solver.save(tmp_path / "run.h5")
    assert type(Solver.resume(tmp_path / "run.h5", small_data).model) is fc_net.FullyConnectedNet


@pytest.fixture
def small_data():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((8, 4)), np.arange(8) % 3
    return {"X_train": X, "y_train": y, "X_val": X, "y_val": y}


def test_classes_derived_from_an_adapted_one():
    from fastnn.courses.cs231n_2017.classifiers.fc_net import FullyConnectedNet

    class Mine(FullyConnectedNet):
        pass

    model = Mine([5], input_dim=4, dropout=0.5)
    assert isinstance(model, Mine)
    assert kept(model) == {0.5}


def test_wrong_keywords_and_too_many_arguments_are_errors_of_fastnn():
    with pytest.raises(TypeError, match=r"FullyConnectedNet.*hiden_dims"):
        net("cs231n_2017", hiden_dims=3)
    from fastnn.courses.cs231n.data_utils import get_CIFAR10_data

    with pytest.raises(TypeError, match="get_CIFAR10_data"):
        get_CIFAR10_data(1, 2, 3, True, 5)


def test_the_penalty_up_to_2016_is_half():
    rng = np.random.default_rng(0)
    W, X, y = rng.standard_normal((4, 3)), rng.standard_normal((5, 4)), np.arange(5) % 3
    for loss in ("svm.svm_loss_vectorized", "softmax.softmax_loss_naive"):
        module, name = loss.replace("svm.", "linear_svm.", 1).split(".")
        old, new = (
            getattr(importlib.import_module(f"{finder.PREFIX}{edition}.classifiers.{module}"), name)
            for edition in ("cs231n_2015", "cs231n_2017")
        )
        assert old(W, X, y, 0.5)[0] == new(W, X, y, 0.25)[0]
    for name in ("LinearSVM", "Softmax"):
        old, new = (
            getattr(importlib.import_module(f"{finder.PREFIX}{edition}.classifiers"), name)()
            for edition in ("cs231n_2015", "cs231n_2017")
        )
        old.W = new.W = W
        assert old.loss(X, y, 0.5)[0] == new.loss(X, y, 0.25)[0]
        histories = []
        for classifier, reg in ((old, 0.5), (new, 0.25)):
            np.random.seed(0)
            classifier.W = None
            histories.append(classifier.train(X, y, reg=reg, num_iters=4, batch_size=3))
        assert histories[0] == histories[1]
    nets = []
    for edition, reg in (("cs231n_2015", 0.5), ("cs231n_2017", 0.25)):
        np.random.seed(0)
        made = importlib.import_module(f"{finder.PREFIX}{edition}.classifiers.neural_net").TwoLayerNet(4, 6, 3, std=0.1)
        stats = made.train(X, y, X, y, 1e-3, 0.95, reg, num_iters=4, batch_size=3)
        nets.append((made.loss(X, y, reg)[0], stats["loss_history"]))
        assert made.params["W1"].dtype == np.float64
    assert nets[0] == nets[1]


def test_the_courses_load_images_in_float64(monkeypatch):
    given = {}
    monkeypatch.setattr("fastnn.data_utils.get_CIFAR10_data", lambda **options: given.update(options))
    adapted = table.find("cs231n", "data_utils").names["get_CIFAR10_data"]
    adapted.build("get_CIFAR10_data", "here")(num_training=10)
    assert given == {"num_training": 10, "dtype": "float64"}


def test_courses_are_listed(capsys):
    from fastnn.cli import main

    assert main(["courses"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and course.title in listed for name, course in table.COURSES.items())
    assert main(["courses", "cs231n"]) == 0
    assert "classifiers.fc_net" in capsys.readouterr().out
    assert main(["courses", "cs231"]) == 2
    assert "'cs231' is unknown; expected one of 'cs231n'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((("cs231",), {}), ValueError, "courses='cs231' is unknown"),
        (((), {"year": 2017}), TypeError, "year=2017 belongs to one course"),
        ((("cs231n",), {"year": 2014}), ValueError, "year=2014"),
        ((("cs231n",), {"year": "2017"}), TypeError, "year='2017'"),
    ],
)
def test_wrong_arguments_of_install(given, error, words):
    with pytest.raises(error, match=f"^install: .*{words}"):
        courses.install(*given[0], **given[1])
