"""Saved networks: round trips; files that do not match, are damaged or malicious raise."""

import io
import os
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import fastnn
from fastnn import nn


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def convnet(seed):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, seed=seed),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Dropout(seed=seed),
        nn.Linear(64, 3, seed=seed),
    )


@pytest.mark.parametrize("name", ["net.npy", "net.npz", "net", "net.h5"])
def test_saved_networks_come_back(tmp_path, name):
    X = normal(5, 3, 6, 6)
    model, other = convnet(1), convnet(2)
    model.loss(X, np.arange(5) % 3)
    model.save(tmp_path / name)
    other.load(tmp_path / name)
    for arrays, expected in ((other.params, model.params), (other.buffers, model.buffers)):
        for key, value in expected.items():
            np.testing.assert_array_equal(arrays[key], value)
            assert arrays[key].dtype == value.dtype
    np.testing.assert_array_equal(other.loss(X), model.loss(X))
    np.testing.assert_array_equal(other(X), model(X))  # in training mode, masks continue
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_of_parameters_alone(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3, seed=1))
    np.savez(tmp_path / "old.npz", **model.params)
    fastnn.checkpoint.save(tmp_path / "old.h5", {"params": dict(model.params)})
    for name in ("old.npz", "old.h5"):
        other = nn.Sequential(nn.Linear(2, 3, seed=2))
        other.load(tmp_path / name)
        np.testing.assert_array_equal(other.params["0.weight"], model.params["0.weight"])
        normalized = nn.Sequential(nn.Linear(2, 3, seed=2), nn.BatchNorm1d(3, affine=False))
        before = normalized.params["0.weight"].copy()
        with pytest.raises(ValueError, match=r"Sequential\.buffers: buffers lacks the key '1\.running_mean'"):
            normalized.load(tmp_path / name)
        np.testing.assert_array_equal(normalized.params["0.weight"], before)


def test_files_that_do_not_fit(tmp_path):
    nn.Sequential(nn.Linear(2, 3)).save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"'0\.weight' has shape \(2, 3\); expected \(2, 4\)"):
        nn.Sequential(nn.Linear(2, 4)).load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"params lacks the key '1\.weight'"):
        nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).load(tmp_path / "net.npz")
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(
        FileNotFoundError, match=r"load: name=.*missing\.npz' is not a file; expected one written by save"
    ):
        model.load(tmp_path / "missing.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "pickles.npz", a=np.array([{}], object))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("array.npy", "pickle.npy", "pickles.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"load: name=.*{name}.* contains no named arrays"):
            model.load(tmp_path / name)
    fastnn.checkpoint.save(tmp_path / "other.h5", {"a": 1})
    with pytest.raises(ValueError, match=r"load: name=.*other\.h5.* holds \['a'\]; expected 'params'"):
        model.load(tmp_path / "other.h5")


def test_trees_that_are_not_weights(tmp_path):
    for tree in ({"params": 3}, {"params": {"a": [1.0]}}, {"params": {}, "buffers": {"a": {}}}):
        fastnn.checkpoint.save(tmp_path / "other.h5", tree)
        with pytest.raises(ValueError, match=r"load: name=.* holds .*; expected 'params' and 'buffers' with arrays"):
            nn.weights_io.load(tmp_path / "other.h5")


@pytest.mark.parametrize("name", ["net.npz", "net.h5"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite(tmp_path, name, value):
    model, other = convnet(1), convnet(2)
    model.params["0.weight"][1, 2, 0, 1] = value
    model.save(tmp_path / name)
    before = other.params["0.bias"].copy()
    with pytest.raises(ValueError, match=r"load: '0\.weight' in name=.* holds NaN or infinity, 1 of 108 numbers"):
        other.load(tmp_path / name)
    np.testing.assert_array_equal(other.params["0.bias"], before)
    model = convnet(1)
    model.buffers["1.running_var"][:] = value
    model.save(tmp_path / name)
    with pytest.raises(ValueError, match=r"load: '1\.running_var' in name=.* holds NaN or infinity, 4 of 4"):
        other.load(tmp_path / name)


# ---- malicious archives ----


def npy(array, shape=None, version=(1, 0)):
    """Return an array in the npy format, possibly with a false shape."""
    stream = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    write_header = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write_header(stream, header | ({} if shape is None else {"shape": shape}))
    return stream.getvalue() + array.tobytes()


def archive(path, *members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


ARRAY = np.arange(4.0)
DEEP = b"\x93NUMPY\x01\x00\x10\x27" + (b"(" * 10_000)
HEADER = "'a' begins with no header of the npy format, version 1 or 2"
MEMBERS = {
    "a terabyte": (npy(ARRAY, (2**37,)), r"'a' claims the shape \(137438953472,\), and has 32 bytes"),
    "a shape below zero": (npy(ARRAY, (-2, -2)), r"'a' claims the shape \(-2, -2\), and has 32 bytes"),
    "a shape too small": (npy(ARRAY, (3,)), r"'a' claims the shape \(3,\), and has 32 bytes"),
    "text": (npy(np.array(["x"])), "'a' has the dtype <U1, not one of numbers"),
    "dates": (npy(np.array([0], "M8[s]")), "'a' has the dtype datetime64.*, not one of numbers"),
    "structures": (npy(np.zeros(2, "f8,i4")), "'a' has the dtype .*, not one of numbers"),
    "objects": (npy(np.array([1], object), (1,)), "'a' has the dtype object, not one of numbers"),
    "no array": (b"hello", HEADER),
    "a later version": (b"\x93NUMPY\x07\x00" + bytes(100), HEADER),
    "code": (npy(ARRAY).replace(b"'<f8'", b"exit("), HEADER),
    "depth": (DEEP, HEADER),
}


def assert_raises(path, message):
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=rf"^load: name=.* contains no named arrays \(.*(?:{message}).*\); expected a fi"
        ):
            nn.weights_io.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", MEMBERS)
def test_members_that_harm(tmp_path, name):
    content, message = MEMBERS[name]
    assert_raises(archive(tmp_path / "net.npz", ("a.npy", content)), message)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bombs(tmp_path, compression):
    bomb = npy(np.zeros(4 << 20))
    path = archive(tmp_path / "net.npz", ("a.npy", bomb), compression=compression)
    assert path.stat().st_size < len(bomb) // 100
    assert_raises(path, "'a' is compressed")


DIRECTORY, LAST = b"PK\x01\x02", b"PK\x05\x06"


def rearranged(tmp_path, change):
    """Write an archive of the arrays a and b, with the two directory entries changed by `change`."""
    path = archive(tmp_path / "net.npz", ("a.npy", npy(ARRAY)), ("b.npy", npy(ARRAY)))
    members, _, directory = path.read_bytes().partition(DIRECTORY)
    entries, _, _ = directory.partition(LAST)
    entries = b"".join(change(*(DIRECTORY + entry for entry in entries.split(DIRECTORY))))
    count = struct.pack("<2H", *[entries.count(DIRECTORY)] * 2)
    last = LAST + bytes(4) + count + struct.pack("<2LH", len(entries), len(members), 0)
    path.write_bytes(members + entries + last)
    return path


def test_members_that_lie_over_each_other(tmp_path):
    """A thousand names for the same bytes, by which 10 MB become gigabytes; here they are two."""
    assert_raises(rearranged(tmp_path, lambda a, b: (a, a.replace(b"a.npy", b"b.npy"))), "'b' does not follow")


def test_members_that_are_missing(tmp_path):
    """A changed length in the directory hides later members."""
    nn.weights_io.load(rearranged(tmp_path, lambda a, b: (a, b)))
    assert_raises(rearranged(tmp_path, lambda a, b: (a,)), "there is data after the last array, 'a'")
    assert_raises(rearranged(tmp_path, lambda a, b: (b,)), "'b' does not follow the array before it")
    assert_raises(rearranged(tmp_path, lambda a, b: ()), "it is empty")


def test_members_that_claim_a_gigabyte(tmp_path):
    size, claimed = (struct.pack("<2L", *[size] * 2) for size in (len(npy(ARRAY)), 2**30))
    assert_raises(rearranged(tmp_path, lambda a, b: (a, b.replace(size, claimed))), "'b' does not follow the array")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path):
    assert_raises(archive(tmp_path / "net.npz", ("a.npy", npy(ARRAY)), ("a.npy", npy(ARRAY))), "'a' occurs twice")


def test_a_bit_in_an_array(tmp_path):
    np.savez(tmp_path / "net.npz", a=ARRAY)
    whole = bytearray((tmp_path / "net.npz").read_bytes())
    whole[whole.index(ARRAY.tobytes()) + 9] ^= 4
    (tmp_path / "net.npz").write_bytes(whole)
    assert_raises(tmp_path / "net.npz", "Bad CRC-32")


def test_both_versions_of_the_format_and_every_layout(tmp_path):
    fortran, empty, number = np.asfortranarray(normal(2, 3)), np.zeros((0, 3)), np.array(1.5, ">f4")
    members = ("f", fortran.T), ("e", empty), ("n", number)
    for version in ((1, 0), (2, 0)):
        params, _ = nn.weights_io.load(
            archive(tmp_path / "net.npz", *((f"{key}.npy", npy(array, version=version)) for key, array in members))
        )
        for key, array in members:
            np.testing.assert_array_equal(params[key], array)
            assert params[key].dtype == array.dtype
            assert params[key].flags.writeable
    np.savez(tmp_path / "net.npz", f=fortran)
    np.testing.assert_array_equal(nn.weights_io.load(tmp_path / "net.npz")[0]["f"], fortran)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    model = nn.Sequential(nn.Linear(2, 3, seed=1))
    model.save(tmp_path / "net.npz")
    before = (tmp_path / "net.npz").read_bytes()

    def full(file, *_, **__):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    message = re.escape(
        f"save: name={os.fspath(tmp_path / 'net.npz')!r} could not be written: [Errno 28] No space left"
    )
    with pytest.raises(OSError, match=message):
        model.save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.npz"]
