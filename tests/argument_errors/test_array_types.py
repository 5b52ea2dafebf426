"""Memory maps, tensors and similar objects are used as arrays; subclasses of arrays with another meaning raise."""

import numpy as np
import pytest

import fastnn

from .leaves import called, cases
from .table import STYLE, TABLE

pytestmark = [
    pytest.mark.usefixtures("files"),
    pytest.mark.filterwarnings("ignore:Solver.resume. the run was saved with backend"),  # which is another here
]


class Quantity(np.ndarray):
    """An array with a unit, as in packages for physics."""

    unit = "cm"


class Foreign:
    """An array of another package, with its own dtype and `__array__`."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, f"foreign.{values.dtype}"

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        return Foreign(np.asarray(self._values[key]))

    def __array__(self, dtype=None, copy=None):
        return self._values if dtype is None else self._values.astype(dtype)


class Exchanged:
    """An array of another package that NumPy can only read through DLPack."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, f"exchanged.{values.dtype}"

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        return Exchanged(np.asarray(self._values[key]))

    def __dlpack__(self, **options):
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


def memory_map(value):
    np.save("map.npy", value)
    return np.load("map.npy", mmap_mode="r+")


def tensor(value):
    torch = pytest.importorskip("torch", reason="tensors of torch's are made with it")
    return torch.from_numpy(value)


def gradient_tensor(value):
    return tensor(value.astype(float)).requires_grad_()


REFUSED = {
    "masked": (np.ma.MaskedArray, r"masked arrays are not supported; .*\.filled\(value\)"),
    "nothing masked": (lambda value: np.ma.MaskedArray(value, mask=False), r"\.filled\(value\)"),
    "matrix": (lambda value: value.view(np.matrix), r"matrix.*np\.asarray\("),
    "quantity": (lambda value: value.view(Quantity), r"Quantity.*np\.asarray\("),
}
ACCEPTED = {"memory map": memory_map, "foreign": Foreign, "exchanged": Exchanged, "tensor": tensor}


def is_written(name, path):
    """Whether the array is changed in place, which does not work for arrays of other packages except tensors."""
    places = {("optim.update", "params"), ("nn.Module", "params"), ("classifiers.two_layer_net.nn_train", "params")}
    moved = name.startswith("gradient_check.") and path[0] == "x" and name != "gradient_check.rel_error"
    return moved or path[-1] in ("out", "velocity", "cache", "m", "v") or (name, path[0]) in places


def is_array(value):
    return isinstance(value, np.ndarray) and value.ndim > 0


def skipped(name, path):
    return "cache" in path or name in ("rng.set_state", "solver.Solver.load_state")  # what the package itself wrote


CASES = list(cases(TABLE, is_array, skipped))
IDS = {"ids": lambda value: value if isinstance(value, str) else str(value[-1])}


@pytest.mark.parametrize(("name", "path"), CASES, **IDS)
def test_subclasses_with_another_meaning_raise(name, path):
    for change, message in REFUSED.values():
        value = TABLE[name].values()
        for key in path:
            value = value[key]
        if "matrix" in message and value.ndim != 2:
            continue
        with fastnn.use_backend("vectorized"), pytest.raises(TypeError, match=message) as caught:
            called(TABLE[name], path, change)
        assert STYLE.match(str(caught.value))


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize(("name", "path"), CASES, **IDS)
def test_arrays_of_other_packages_count_as_numpy_arrays(name, path, change):
    with fastnn.use_backend("vectorized"):
        expected, *_ = called(TABLE[name])
        if (change in (Foreign, Exchanged) and is_written(name, path)) or (change is tensor and name == "nn.Module"):
            with pytest.raises(TypeError, match=r"^[^;]+; expected .*; ") as caught:
                called(TABLE[name], path, change)
            assert STYLE.match(str(caught.value))
        else:
            actual, _ = called(TABLE[name], path, change)
            assert actual() == expected()


@pytest.mark.parametrize(("name", "path"), CASES, **IDS)
def test_a_tensor_with_a_gradient_raises(name, path):
    with (
        fastnn.use_backend("vectorized"),
        pytest.raises(TypeError, match=r"detach|in place|not an array|of floats") as caught,
    ):
        called(TABLE[name], path, gradient_tensor)
    assert STYLE.match(str(caught.value))
