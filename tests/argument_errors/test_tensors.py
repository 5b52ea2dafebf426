"""Torch in, torch out: every public function that computes gives for tensors what it gives for arrays, as tensors."""

import importlib
import inspect

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.kernels.dispatch import tensors

from . import walk
from .kinds import untouched
from .leaves import as_arrays, paths, without_addresses
from .table import TABLE

torch = pytest.importorskip("torch", reason="tensors are made with torch")
pytestmark = pytest.mark.usefixtures("files")

UNUSUAL = {"uint16", "uint32", "uint64"}  # dtypes of indices in caches, which some versions of torch lack


def is_array(value):
    return isinstance(value, np.ndarray)


def holds_arrays(call):
    return any(True for _ in paths({name: fed.good for name, fed in call.arguments.items()}, is_array))


COMPUTING = {name: value for name, value in walk.public().items() if tensors.are_taken_by(value)}
NAMES = [
    name for name in TABLE if name in COMPUTING and not inspect.isclass(COMPUTING[name]) and holds_arrays(TABLE[name])
]


def as_tensors(value):
    """Return a value with a tensor that shares its memory for each array."""
    if is_array(value):
        return torch.from_numpy(value)
    if isinstance(value, dict):
        return {name: as_tensors(inner) for name, inner in value.items()}
    return type(value)(map(as_tensors, value)) if type(value) in (list, tuple) else value


def leaves(value):
    """Yield what is inside tuples, lists and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (list, tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def result_of(name, change, backend="vectorized"):
    """Return the result of a call, its arguments after it, and snapshots of both and of the object of a method."""
    function = TABLE[name].make()
    arguments = {key: change(value) for key, value in TABLE[name].values().items()}
    np.random.seed(0)
    with fastnn.use_backend(backend):
        result = function(**arguments)
    everything = result, arguments, getattr(function, "__self__", None)
    return result, arguments, without_addresses([untouched(as_arrays(value)) for value in everything])


def test_the_functions_of_all_modules_are_tested():
    tested = [COMPUTING[name].__module__ for name in NAMES]
    public = [module for module in tensors.TAKING if module != "fastnn.kernels.linear_losses"]  # under other names
    assert [module for module in public if any(one.startswith(module) for one in tested)] == public
    assert {"layers.conv_forward", "layer_utils.affine_relu_backward", "fast_layers.conv_forward_fast"} <= {*NAMES}
    assert {"optim.adam", "gradient_check.rel_error", "classifiers.two_layer_net.nn_train"} <= {*NAMES}
    assert {"layers.softmax_loss", "classifiers.linear_classifier.svm_loss_naive", "nn.Module.loss"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_tensors_give_what_arrays_give(name):
    expected, _, before = result_of(name, lambda value: value)
    actual, arguments, after = result_of(name, as_tensors)
    assert after == before, "other numbers, dtypes or shapes, or other arguments were changed"
    for one, other in zip(leaves(expected), leaves(actual), strict=True):
        if is_array(one) and one.dtype.name not in UNUSUAL:
            assert type(other) is torch.Tensor
            assert str(other.dtype) == f"torch.{one.dtype}"
    for value in leaves(arguments):
        assert not is_array(value), "an array was stored beside the tensors"


@pytest.mark.parametrize("name", NAMES)
def test_kernels_get_the_memory_of_the_tensors(name, monkeypatch):
    """Each array that reaches a kernel uncopied if it is a NumPy array also does so if it is a tensor."""
    seen = []

    def watched(function, name):
        def watching(*arguments):
            seen.append((name, [value.ctypes.data for value in leaves(list(arguments)) if is_array(value)]))
            return function(*arguments)

        return watching

    for operation in kernels.OPERATIONS:
        variant = importlib.import_module(f"fastnn.kernels.{operation}.vectorized")
        contract = importlib.import_module(f"fastnn.kernels.{operation}")
        for key, function in vars(contract).items():
            if inspect.isfunction(function) and hasattr(variant, key):
                monkeypatch.setattr(variant, key, watched(getattr(variant, key), key))

    def calls(change, address):
        seen.clear()
        given = []

        def noted(value):
            made = change(value)
            given.extend(made_leaf for made_leaf in leaves(made) if hasattr(made_leaf, "dtype"))
            return made

        result_of(name, noted)
        pointers = {address(value): position for position, value in enumerate(given)}
        return [(function, [pointers.get(pointer) for pointer in found]) for function, found in seen]

    expected = calls(lambda value: value, lambda array: array.ctypes.data)
    assert calls(as_tensors, lambda tensor: tensor.data_ptr()) == expected
