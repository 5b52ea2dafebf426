"""Objects of the project are described as plain data, from which they can be built again."""

import copy
import json
import pickle
import re

import numpy as np
import pytest
from argument_errors.calls_models import MODELS as CALLS
from argument_errors.calls_nn import CONSTRUCTORS

from fastnn import augment, layers, nn, optim, schedules
from fastnn.checkpoint import config
from fastnn.checkpoint.config import NotDescribed, build, build_model, describe, describe_model
from fastnn.classifiers import TwoLayerNet

pytestmark = pytest.mark.usefixtures("one_backend")

RNG = np.random.default_rng(0)
MODELS = [
    nn.AdaptiveAvgPool2d(1),
    nn.CrossEntropyLoss(label_smoothing=0.1),
    nn.MSELoss(reduction="sum"),
    nn.AvgPool2d(3, stride=(1, 2), padding=1),
    nn.BatchNorm1d(4, momentum=None, affine=False),
    nn.BatchNorm2d(4, 1e-3, dtype=np.float64),
    nn.Conv2d(3, 4, (3, 5), 2, (1, 2), bias=False, dtype="float64", init="xavier_normal", seed=3),
    nn.DenseBlock(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1)),
    nn.Dropout(0.25, seed=RNG, fixed=True),
    nn.ELU(0.5),
    nn.Flatten(),
    nn.GELU(),
    nn.GlobalAvgPool2d(),
    nn.GroupNorm(2, 4),
    nn.LayerNorm((3, 4), elementwise_affine=False),
    nn.LeakyReLU(0.2),
    nn.Linear(np.int64(4), 3, False, seed=RNG, init=lambda shape, seed, dtype: np.zeros(shape, dtype)),
    nn.MaxPool2d(2),
    nn.Maxout(2),
    nn.PReLU(4, init=0.5),
    nn.ReLU(),
    nn.Residual(nn.Linear(4, 3), nn.ReLU(), shortcut=nn.Linear(4, 3)),
    nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU()), loss=layers.svm_loss, reg=0.5, names=("W", "b")),
    nn.Sigmoid(),
    nn.Tanh(),
]
MODELS += [  # the others, with arguments of the tests of errors
    kind(**{name: fed.good for name, fed in given.items()})
    for kind, given in CONSTRUCTORS.items()
    if kind not in set(map(type, MODELS))
]
CLASSIFIERS = {name: call.make() for name, call in CALLS.items() if re.fullmatch(r"classifiers\.\w+", name)}
MODELS += [kind(**CALLS[name].values()) for name, kind in CLASSIFIERS.items() if issubclass(kind, nn.Module)]
OTHERS = [
    schedules.Step(2, 0.5),
    schedules.Exponential(0.5),
    schedules.Cosine(0.1),
    schedules.Warmup(0.5, then=schedules.Cosine()),
    schedules.OneCycle(anneal="linear"),
    schedules.Plateau(0.5, 3),
    augment.Augment(4, 0.5, 2),
]


def test_every_class_is_tried():
    assert {type(one).__name__ for one in MODELS + OTHERS} == set(config._classes())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_is_built_again(model):
    description = describe_model(model)
    again = build_model(json.loads(json.dumps(description)))
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert describe_model(again) == description
    for actual, expected in ((again.params, model.params), (again.buffers, model.buffers)):
        assert {name: (array.shape, array.dtype) for name, array in actual.items()} == {
            name: (array.shape, array.dtype) for name, array in expected.items()
        }


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_what_is_remembered_can_be_copied(model):
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert describe_model(again) == describe_model(model)


def test_a_network_of_the_global_generator_can_be_copied():
    model = TwoLayerNet(6, 5, 3)
    assert describe(copy.deepcopy(model)) == describe(model)


@pytest.mark.parametrize("one", OTHERS, ids=lambda one: type(one).__name__)
def test_schedules_and_transforms_are_built_again(one):
    again = build(json.loads(json.dumps(describe(one))))
    assert type(again) is type(one)
    assert repr(again) == repr(one)


def test_functions_are_found_again():
    assert build(describe(layers.softmax_loss)) is layers.softmax_loss
    assert build(describe(optim.adam)) is optim.adam


def test_what_was_changed_later_is_described():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Sequential(nn.Dropout(0.1)))
    model.reg = 0.5
    model.layers[1].momentum = 0.3
    model.layers[2].layers[0].p = 0.4
    model.layers[1].eval()
    model.layers[2].layers[0].eval()
    again = build_model(describe_model(model))
    assert (again.reg, again.layers[1].momentum, again.layers[2].layers[0].p) == (0.5, 0.3, 0.4)
    training = [again.training, *(layer.training for layer in again.layers), again.layers[2].layers[0].training]
    assert training == [True, True, False, True, False]


def test_the_global_random_state_is_left_alone():
    description = describe_model(TwoLayerNet(6, 5, 3))
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    build_model(description)
    assert np.random.random() == expected


class Own(nn.Linear):
    pass


def own_loss(scores, y):
    return layers.softmax_loss(scores, y)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Own(4, 3), "an object of the class Own"),
        (nn.Sequential(Own(4, 3)), "an object of the class Own"),
        (nn.Sequential(nn.Linear(4, 3), loss=own_loss), "the function own_loss"),
        (schedules.Warmup(1, then=lambda position: 1.0), "the function <lambda>"),
        (object(), "an object of the class object"),
    ],
)
def test_custom_objects_are_not_described(value, message):
    with pytest.raises(NotDescribed, match=message):
        describe(value)


def test_a_custom_class_named_like_one_of_ours_is_not_described():
    ReLU = type("ReLU", (nn.Module,), {})
    with pytest.raises(NotDescribed, match="an object of the class ReLU"):
        describe(ReLU())


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class": "system", "arguments": {"command": "true"}}, "the class system"),
        ({"class": "Module", "arguments": {}}, "the class Module"),
        ({"class": ["Linear"]}, r"the class \['Linear'\]"),
        ({}, "the class None"),
        ({"function": "eval"}, "the function eval"),
    ],
)
def test_unknown_names_raise(description, message):
    with pytest.raises(NotDescribed, match=message):
        build(description)


def test_arguments_that_a_class_does_not_take_raise():
    with pytest.raises(ValueError, match=r"build: Linear\['in_feature'\] is unknown; .*did you mean 'in_features'"):
        build({"class": "Linear", "arguments": {"in_feature": 3}})
    with pytest.raises(TypeError, match="build: Linear=None is not a dict"):
        build({"class": "Linear"})
    with pytest.raises(ValueError, match="Linear: in_features=-1 is out of range"):
        build({"class": "Linear", "arguments": {"in_features": -1, "out_features": 2}})
