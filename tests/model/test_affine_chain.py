"""Steps of a Sequential of affine layers: the bits and errors of its layers, whatever changes between two steps."""

import copy
import itertools
import os
import pickle

import numpy as np
import pytest

from fastnn import nn, use_backend
from fastnn.layers import mse_loss, softmax_loss, svm_loss
from fastnn.nn.affine_chain import AffineChain

D, N = 12, 7
COMPILED = "NUMBA_DISABLE_JIT" not in os.environ
compiled = pytest.mark.skipif(not COMPILED, reason="the chain is compiled code")


def network(kind="two", dtype="float32", **options):
    a, b, c = (
        nn.Linear(D, 8, dtype=dtype, seed=1),
        nn.Linear(8, 6, dtype=dtype, seed=2),
        nn.Linear(6, 5, dtype=dtype, seed=4),
    )
    layers = {
        "one": (nn.Linear(D, 5, dtype=dtype, seed=0),),
        "two": (a, nn.ReLU(), nn.Linear(8, 5, dtype=dtype, seed=3)),
        "flattened": (nn.Flatten(), a, nn.ReLU(), b, c),
        "relu at the end": (a, b, nn.ReLU()),
    }
    return nn.Sequential(*layers[kind], **options)


def images(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape or (N, D)).astype(dtype)


LABELS = np.array([0, 4, 3, 1, 2, 0, 1])


def outcome(model, X, y):
    """What a step returns, or its error and notes."""
    try:
        with np.errstate(all="ignore"):
            loss, grads = model.loss(X, y)
    except (TypeError, ValueError) as error:
        return type(error), str(error), getattr(error, "__notes__", [])
    return loss, [(name, value.dtype, value.shape, value.tobytes()) for name, value in grads.items()]


def by_layers(model, X, y):
    """The outcome without the chain."""
    chain, model._chain = model._chain, None
    try:
        return outcome(model, X, y)
    finally:
        model._chain = chain


@pytest.fixture
def quick(monkeypatch):
    """Whether each step was made by the chain."""
    made, fits, step = [], AffineChain.fits, AffineChain.step

    def fitting(*arguments):
        found = fits(*arguments)
        if not found:
            made.append(False)
        return found

    def counted(*arguments):
        found = step(*arguments)
        made.append(found is not None)
        return found

    monkeypatch.setattr(AffineChain, "fits", fitting)
    monkeypatch.setattr(AffineChain, "step", counted)
    return made


@pytest.mark.parametrize("loss", [softmax_loss, svm_loss])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["one", "two", "flattened", "relu at the end"])
def test_the_bits_of_the_layers(quick, backend, kind, dtype, loss):
    model = network(kind, dtype, loss=loss, reg=0.1)
    for X in (images(dtype=dtype), images(N, 3, 2, 2, dtype=dtype), images(dtype="float64"), images().astype(np.uint8)):
        assert outcome(model, X, LABELS) == by_layers(model, X, LABELS)
        assert list(model.loss(X, LABELS)[1]) == list(model.params)
    assert set(quick) == {COMPILED and backend == "njit" and loss is softmax_loss}


def affine(*sizes):
    return [nn.Linear(*sizes, seed=1), nn.ReLU(), nn.Linear(sizes[1], 5, seed=2)]


# Networks of which only the last layers are affine.
ENDS = {
    "convolution": lambda: [nn.Conv2d(3, 4, 3, padding=1, seed=0), nn.Flatten(), *affine(16, 8)],
    "fused": lambda: [nn.Conv2d(3, 4, 3, padding=1, seed=0), nn.ReLU(), nn.MaxPool2d(2), *affine(4, 8)],
    "batch norm": lambda: [nn.Flatten(), nn.Linear(D, 6, seed=0), nn.BatchNorm1d(6), nn.ReLU(), *affine(6, 8)],
    "no parameters": lambda: [nn.Tanh(), nn.AvgPool2d(2), *affine(3, 8)],
    "residual": lambda: [nn.Residual(nn.Conv2d(3, 3, 3, padding=1, seed=0)), *affine(D, 8)],
    "one layer": lambda: [nn.Flatten(), *affine(D, 7)[:1], nn.Tanh(), nn.Linear(7, 5, seed=3)],
}


@pytest.mark.parametrize("layers", ENDS.values(), ids=ENDS)
def test_affine_layers_at_the_end_of_other_networks(quick, backend, layers):
    quicker = nn.Sequential(*layers(), reg=0.1)
    slower = copy.deepcopy(quicker)
    for X in (images(N, 3, 2, 2), images(N, 3, 2, 2, dtype="float64", seed=1)):
        expected = by_layers(slower, X, LABELS)
        assert not quick
        assert outcome(quicker, X, LABELS) == expected
        assert [*quicker.loss(X, LABELS)[1]] == [*quicker.params]
        by_layers(slower, X, LABELS)
        assert quick == [COMPILED and backend == "njit"] * 2
        quick.clear()
        for name, value in quicker.buffers.items():
            np.testing.assert_array_equal(value, slower.buffers[name])
    for X, y in ((images(N, 3, 2, 2), LABELS + 9), (images(N, 3, 2, 2), LABELS[1:]), (images(N, 3, 3, 2), LABELS)):
        assert outcome(quicker, X, y) == by_layers(slower, X, y)


SIZES = [(100, 3072, 100, 10), (1500, 12, 8, 5), (256, 640, 200, 200, 200, 10), (3, 5000, 300, 1), (1, 7, 1, 1, 1, 3)]


@compiled
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("relus", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_large_layers_are_computed_as_one_by_one_on_all_threads(quick, sizes, relus, count):
    batch, *widths = sizes
    layers = [[nn.Linear(*pair, seed=1), *[nn.ReLU()] * relus] for pair in itertools.pairwise(widths)]
    model = nn.Sequential(*itertools.chain(*layers))
    X, y = images(batch, widths[0]), np.random.default_rng(0).integers(0, widths[-1], batch)
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="numba is not installed")
    with use_backend("njit"), threads.use_num_threads(count):
        assert outcome(model, X, y) == by_layers(model, X, y)
    assert quick == [True]


def read_only_images(model, X, y):
    X.flags.writeable = False


def read_only_weight(model, X, y):
    model.layers[0].params["weight"].flags.writeable = False


def other_shape_of_the_weight(model, X, y):
    model.layers[2].params["bias"].shape = (1, 5)


def other_dtype_of_the_weight(model, X, y):
    model.layers[0].params["weight"] = model.layers[0].params["weight"].astype(np.float64)


def fortran_weight(model, X, y):
    model.layers[0].params["weight"] = np.asfortranarray(model.layers[0].params["weight"])


def new_weight(model, X, y):
    model.params["0.weight"] = np.ones((D, 8))


def fewer_outputs(model, X, y):
    model.layers[2].params["weight"] = images(8, 4)
    model.layers[2].params["bias"] = images(4)


def another_loss(model, X, y):
    model.loss_function = lambda scores, y: (float(scores.sum()), np.ones_like(scores, dtype=np.float64))


def another_forward(model, X, y):
    model.forward, forward = (lambda x: (2 * forward(x)[0], forward(x)[1])), model.forward


def another_forward_of_a_layer(model, X, y):
    layer = model.layers[2]
    layer.forward, forward = (lambda x: (2 * forward(x)[0], forward(x)[1])), layer.forward


def penalty(model, X, y):
    model.reg = 0.5


CHANGES = [
    read_only_images, read_only_weight, other_shape_of_the_weight, other_dtype_of_the_weight, fortran_weight,
    new_weight, fewer_outputs, another_loss, another_forward, another_forward_of_a_layer, penalty,
]  # fmt: skip


@compiled
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_two_steps_is_seen(quick, change):
    model, X, y = network(), images(), LABELS.copy()
    with use_backend("njit"):
        outcome(model, X, y)
        change(model, X, y)
        assert outcome(model, X, y) == by_layers(model, X, y)
    assert quick == [True, change in (new_weight, penalty)]


ARGUMENTS = {
    "a list": (images().tolist(), LABELS),
    "too few numbers": (images(N, D - 1), LABELS),
    "another shape of as many numbers": (images(2 * N, D // 2), LABELS),
    "one image": (images(D), LABELS),
    "no image": (images(0, D), LABELS[:0]),
    "Fortran order": (np.asfortranarray(images()), LABELS),
    "every second image": (images(2 * N, D)[::2], LABELS),
    "other byte order": (images(dtype=">f4"), LABELS),
    "complex numbers": (images() * 1j, LABELS),
    "labels of int32": (images(), LABELS.astype(np.int32)),
    "a list of labels": (images(), LABELS.tolist()),
    "every second label": (images(), np.repeat(LABELS, 2)[::2]),
    "too few labels": (images(), LABELS[1:]),
    "a label too large": (images(), LABELS + 1),
    "a label below 0": (images(), LABELS - 1),
    "labels of floats": (images(), LABELS.astype(float)),
    "NaN": (images() * np.nan, LABELS),
}


@pytest.mark.parametrize("kind", ["two", "flattened"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_other_arguments_give_what_the_layers_give(backend, kind, name):
    model = network(kind)
    outcome(model, images(), LABELS)
    X, y = ARGUMENTS[name]
    actual, expected = outcome(model, X, y), by_layers(model, X, y)
    np.testing.assert_equal(actual, expected)


@compiled
def test_another_backend_between_steps(quick):
    model = network()
    for name in ("njit", "naive", "njit", "vectorized"):
        with use_backend(name):
            assert outcome(model, images(), LABELS) == by_layers(model, images(), LABELS)
    assert quick == [True, False, True, False]


class Doubled(nn.Sequential):
    def forward(self, x):
        out, cache = super().forward(x)
        return 2 * out, cache


class OwnLinear(nn.Linear):
    pass


def test_subclasses_compute_what_they_define(quick):
    a, c = nn.Linear(D, 8, seed=1), nn.Linear(8, 5, seed=3)
    plain, doubled = (kind(a, nn.ReLU(), c) for kind in (nn.Sequential, Doubled))
    assert doubled.loss(images(), LABELS)[0] != plain.loss(images(), LABELS)[0]
    for layers in ((OwnLinear(D, 5),), (nn.Linear(D, 5, bias=False),), (nn.Linear(D, 5), nn.Tanh()), (nn.ReLU(),)):
        assert nn.Sequential(*layers)._chain is None
    assert nn.Sequential(nn.Linear(D, 5), loss=mse_loss).loss(images(), images(N, 5))[0] > 0


@compiled
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_computes_with_its_own_parameters(quick, copied):
    model = network()
    with use_backend("njit"):
        first = outcome(model, images(), LABELS)
        other = copied(model)
        for value in other.params.values():
            value *= 2
        assert outcome(other, images(), LABELS) == by_layers(other, images(), LABELS) != first
        assert outcome(model, images(), LABELS) == first
    assert quick == [True] * 3


def test_gradients_and_scores_stay_those_of_their_step():
    model = network()
    with use_backend("njit"):
        _, grads = model.loss(images(), LABELS)
        kept = {name: value.copy() for name, value in grads.items()}
        model.loss(images(seed=1), LABELS)
    for name, value in grads.items():
        np.testing.assert_array_equal(value, kept[name])
        assert value.base is None and value.flags.owndata
