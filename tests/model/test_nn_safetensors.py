"""Weights in the format of safetensors: torch reads them and back, bits equal; bad files raise one error."""

import json
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from fastnn import nn
from fastnn.classifiers import Softmax, SparseAutoencoder
from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.classifiers.fc_net import FullyConnectedNet
from fastnn.classifiers.two_layer_net import TwoLayerNet

safetensors = pytest.importorskip("safetensors", reason="the format needs the extra safetensors")
pytestmark = pytest.mark.usefixtures("one_backend")


class Residual(nn.Module):
    """A network in torch's style."""

    def __init__(self, seed):
        super().__init__()
        self.first = nn.Linear(4, 4, seed=seed)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.first(x)) + x


def convnet(seed, dtype=np.float32):
    made = {"seed": seed, "dtype": dtype}
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, **made),
        nn.BatchNorm2d(4, dtype=dtype),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(seed=seed),
        nn.Linear(64, 3, **made),
    )


def same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert (actual[name].dtype, actual[name].shape) == (value.dtype, value.shape)
        assert np.asarray(actual[name]).tobytes() == np.asarray(value).tobytes(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_networks_come_back(tmp_path, dtype):
    model, other = convnet(1, dtype), convnet(2, dtype)
    model.loss(np.random.default_rng(0).standard_normal((5, 3, 6, 6)), np.arange(5) % 3)
    model.save(tmp_path / "net.safetensors")
    other.load(tmp_path / "net.safetensors")
    same(other.state_dict(), model.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("name", ["net.safetensors", "net.npz", "net.h5"])
def test_modules_in_the_style_of_torch_are_saved_too(tmp_path, name):
    model, other = Residual(1), Residual(2)
    model.save(tmp_path / name)
    other.load(tmp_path / name)
    same(other.state_dict(), model.state_dict())


MODELS = {
    "FullyConnectedNet": lambda seed: FullyConnectedNet([5], 12, 3, normalization="batchnorm", generator=seed),
    "ThreeLayerConvNet": lambda seed: ThreeLayerConvNet((1, 4, 4), 2, 3, 5, seed=seed),
    "TwoLayerNet": lambda seed: TwoLayerNet(5, 4, 3, seed=seed),
    "SparseAutoencoder": lambda seed: SparseAutoencoder(6, 3, 0.1, 1.0, 0.1, seed=seed),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back(tmp_path, name, capsys):
    model, other = MODELS[name](1), MODELS[name](2)
    model.save(tmp_path / "net.safetensors")
    other.load(tmp_path / "net.safetensors")
    same(dict(other.params), dict(model.params))


def test_a_linear_classifier_comes_back(tmp_path, capsys):
    model, other = Softmax(), Softmax()
    model.W = np.arange(6.0).reshape(3, 2)
    model.save(tmp_path / "net.safetensors")
    other.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other.W, model.W)


# ---- torch ----


def torch_net(torch):
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Dropout(), torch.nn.Linear(64, 3))


def test_torch_reads_what_is_saved(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model, theirs = convnet(1), torch_net(torch)
    model.save(tmp_path / "net.safetensors")
    loaded = load_file(tmp_path / "net.safetensors")
    same({name: value.numpy() for name, value in loaded.items()}, model.state_dict())
    theirs.load_state_dict(loaded)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.loss(x), expected, atol=1e-5)


def test_what_torch_saves_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    model, theirs = convnet(1), torch_net(torch)
    save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    model.load(tmp_path / "net.safetensors")
    same(model.state_dict(), {name: value.numpy() for name, value in theirs.state_dict().items()})


def test_numbers_that_numpy_does_not_have(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"\('w' is BF16, which NumPy does not have: convert it to F32 before\)"):
        nn.weights_io.load(tmp_path / "net.safetensors")


# ---- kinds of numbers ----


def test_every_kind_and_layout_of_numbers(tmp_path):
    x = np.arange(6).reshape(2, 3)
    kinds = [
        np.dtype(f"{letter}{size}")
        for letter, sizes in (("f", (2, 4, 8)), ("iu", (1, 2, 4, 8)))
        for size in sizes
        for letter in letter
    ]
    arrays = {kind.name: x.astype(kind) for kind in kinds}
    arrays |= {"bool": x > 2, "number": np.array(1.5), "empty": np.zeros((0, 3)), "transposed": x.T.astype(float)}
    nn.weights_io.save(tmp_path / "net.safetensors", {**arrays, "big": x.astype(">f4")})
    found, buffers = nn.weights_io.load(tmp_path / "net.safetensors")
    same(found, {**arrays, "big": x.astype("f4")})
    assert buffers == {}
    assert all(value.flags.writeable for value in found.values())


def test_numbers_that_the_format_does_not_have(tmp_path):
    with pytest.raises(
        TypeError, match=r"save: 'c' is complex128; expected a dtype that safetensors has.*; convert it"
    ):
        nn.weights_io.save(tmp_path / "net.safetensors", {"c": np.zeros(2, complex)})
    assert list(tmp_path.iterdir()) == []


# ---- files that do not fit ----


def test_networks_of_other_sizes_and_names(tmp_path):
    path = tmp_path / "net.safetensors"
    nn.Sequential(nn.Linear(2, 3)).save(path)
    model = nn.Sequential(nn.Linear(2, 4))
    before = model.state_dict()
    with pytest.raises(
        ValueError, match=r"Sequential\.load_state_dict: '0\.weight' has shape \(3, 2\); expected \(4, 2\)"
    ):
        model.load(path)
    same(model.state_dict(), before)
    with pytest.raises(
        ValueError, match=r"values lack \['1\.weight', '1\.bias'\] and have unexpected \['0\.bias', '0\.weight'\]"
    ):
        nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).load(path)
    with pytest.raises(
        FileNotFoundError, match=r"load: name=.*missing\.safetensors' is not a file; expected one written"
    ):
        model.load(tmp_path / "missing.safetensors")


def test_weights_that_are_not_finite(tmp_path):
    model = convnet(1)
    model.params["0.weight"][1, 2, 0, 1] = np.nan
    model.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"load: '0\.weight' in name=.* holds NaN or infinity, 1 of 108 numbers"):
        convnet(2).load(tmp_path / "net.safetensors")


def test_without_the_package_an_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    words = r"name=.* needs the package safetensors.*; pip install \"fastnn-numba\[safetensors\]\", or choose"
    with pytest.raises(ModuleNotFoundError, match=f"save: {words}"):
        convnet(1).save(tmp_path / "net.safetensors")
    with pytest.raises(ModuleNotFoundError, match=f"load: {words}"):
        convnet(1).load(tmp_path / "net.safetensors")


# ---- malicious files ----


def content(header, data=bytes(32)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape=(4,), start=0, stop=32, dtype="F64"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


BAD = {
    "nothing": b"",
    "text": b"no weights of a network",
    "a header of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "a header of 2**64 - 1 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": content(b"[" * 64),
    "depth": content(b'{"a":' * 50_000),
    "a list": content([1, 2]),
    "a terabyte": content({"a": entry((2**37,), 0, 2**40)}),
    "a shape that overflows": content({"a": entry((2**33, 2**33, 2**33))}),
    "a shape below zero": content({"a": entry((-2, -2))}),
    "a shape too small": content({"a": entry((3,))}),
    "one array over another": content({"a": entry(), "b": entry()}),
    "a gap": content({"a": entry((2,), 16, 32)}),
    "data after the last array": content({"a": entry()}, bytes(40)),
    "too few bytes": content({"a": entry()}, bytes(31)),
    "backwards": content({"a": entry((4,), 32, 0)}),
    "a name twice": content(
        b'{"a":' + json.dumps(entry((2,), 0, 16)).encode() + b',"a":' + json.dumps(entry((2,), 16, 32)).encode() + b"}"
    ),
    "objects": content({"a": entry(dtype="O")}),
    "8-bit floats": content({"a": entry((32,), dtype="F8_E4M3")}),
    "a boolean of 7": content({"a": entry((32,), dtype="BOOL")}, b"\x07" * 32),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_harm(tmp_path, name):
    path = tmp_path / "net.safetensors"
    path.write_bytes(BAD[name])
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=r"^load: name=.* is not a safetensors file with arrays of numbers \(.+\); exp"
        ):
            nn.weights_io.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_pickle_is_not_executed(tmp_path):
    import pickle

    class Harm:
        def __reduce__(self):
            return (tmp_path / "harm").touch, ()

    (tmp_path / "net.safetensors").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match="is not a safetensors file"):
        nn.weights_io.load(tmp_path / "net.safetensors")
    assert not (tmp_path / "harm").exists()


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    model = nn.Sequential(nn.Linear(2, 3, seed=1))
    model.save(path)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(
        OSError, match=r"save: name=.* could not be written: \[Errno 28\] No space left.*; expected a wri"
    ):
        model.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]
