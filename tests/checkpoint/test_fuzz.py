"""Randomly damaged files of every kind load correctly or raise one clear error, without large allocations.

The examples are the same in every run: several thousand in a few seconds.
"""

import contextlib
import gzip
import hashlib
import json
import pickle
import re
import tracemalloc
import warnings

import forged_checkpoints
import h5py
import numpy as np
import pytest
from checkpoint_trees import assert_identical, tree_of_everything
from cifar10_archives import BINARY, archive_of, good_members, names
from cifar10_files import binary_files, fake_cifar10, python_files, small_cifar10, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastnn import checkpoint, nn
from fastnn.data_utils import integrity, load_CIFAR10, load_patches, preprocess_patches, read_images, save_patches
from fastnn.data_utils.safe_pickle import load_dict
from fastnn.data_utils.unpack import unpack
from fastnn.sweep import grid, load_ledger, sweep

IN_WORDS = re.compile(r"[\w.]+: .+; expected .+", re.DOTALL)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
PARAMS = {"W": np.arange(12.0).reshape(3, 4), "b": np.zeros(4, np.float32), "count": np.array(3)}

changes = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6)
ends = st.one_of(st.none(), st.integers(0, 2**20))


def fuzzed(max_examples):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=max_examples, derandomize=True, database=None, deadline=None, suppress_health_check=checks
    )


def damaged(content, changes, end):
    """Draw changed bytes, and possibly a truncation."""
    content = bytearray(content)
    for place, value in changes:
        content[place % len(content)] = value
    return bytes(content if end is None else content[: end % len(content)])


def loaded(load, path, *arguments, factor=60):
    """Return the result of `load`, or None after a clear error; assert that memory is bounded by the file size."""
    for _ in range(2):  # the first call may import modules, which count as memory
        tracemalloc.start()
        try:
            result, message = load(path, *arguments), None
        except (ValueError, OSError, TypeError) as error:
            result, message = None, str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if peak < (4 << 20) + factor * path.stat().st_size:
            break
    assert message is None or IN_WORDS.match(message), message
    assert peak < (4 << 20) + factor * path.stat().st_size
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the contents of a valid file of each kind, by name."""
    folder = tmp_path_factory.mktemp("whole")
    Image.init()  # import the readers of all formats before memory is measured
    checkpoint.save(folder / "run.h5", tree_of_everything())
    nn.weights_io.save(folder / "net.npz", PARAMS, {"mean": np.ones(4)})
    np.save(folder / "image.npy", IMAGES[0])
    for name in ("image.png", "image.jpg"):
        Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(folder / name)
    save_patches(folder / "patches.h5", IMAGES)
    for library in ("earliest", "latest"):
        with h5py.File(folder / f"{library}.h5", "w", libver=library) as file:
            file["data"] = IMAGES
    accuracies = {"val_acc": 0.5, "train_acc": 0.25}
    sweep(lambda params: accuracies, grid(a=[1, 2], b=["x"]), folder / "ledger.jsonl", verbose=False)
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    return lambda name: contents[name]  # hypothesis would print the contents themselves


# ---- checkpoints ----


@fuzzed(500)
@given(changes, ends)
def test_checkpoints(whole, tmp_path, changes, end):
    path = write(tmp_path, {"run.h5": damaged(whole("run.h5"), changes, end)}) / "run.h5"
    tree = loaded(checkpoint.load, path)
    if tree is not None:
        assert_identical(tree, tree_of_everything())


@fuzzed(300)
@given(changes, ends)
def test_manifests_with_a_digest_that_is_right(whole, tmp_path, changes, end):
    hdf5, entries = forged_checkpoints.parts(write(tmp_path, {"run.h5": whole("run.h5")}) / "run.h5")
    content = damaged(json.dumps(entries).encode(), changes, end)
    tree = loaded(checkpoint.load, forged_checkpoints.write(tmp_path / "run.h5", hdf5, content))
    assert tree is None or isinstance(tree, dict)


lengths = st.one_of(st.integers(-2, 600), st.sampled_from([2**31, 2**63, -(2**64), 10**30, True, None]))
dtypes = st.sampled_from(["<f8", "|b1", ">i4", "|u1", "<c16", "<f3", "|O8", "<U4", "<M8", "|V9", "", "f8,O"])
kinds = st.sampled_from(["dict", "list", "tuple", "none", "str", "int", "float", "bool", "scalar", "array", "numbers"])
entries = st.recursive(
    st.one_of(st.tuples(kinds, dtypes, st.lists(lengths, max_size=3), lengths), st.tuples(kinds, dtypes), lengths),
    lambda inner: st.tuples(kinds, st.one_of(st.lists(inner, max_size=4), st.dictionaries(dtypes, inner, max_size=4))),
    max_leaves=6,
)


@fuzzed(300)
@given(st.dictionaries(dtypes, entries, max_size=3))
def test_handwritten_manifests(tmp_path, members):
    path = forged_checkpoints.write(tmp_path / "run.h5", bytes(range(256)) * 2, ["dict", members])
    tree = loaded(checkpoint.load, path)
    assert tree is None or list(tree) == list(members)


# ---- weights ----


@fuzzed(400)
@given(changes, ends)
def test_weights(whole, tmp_path, changes, end):
    path = write(tmp_path, {"net.npz": damaged(whole("net.npz"), changes, end)}) / "net.npz"
    result = loaded(nn.weights_io.load, path)
    if result is not None:
        assert_identical(result, (PARAMS, {"mean": np.ones(4)}))


@fuzzed(400)
@given(changes, ends)
def test_weights_without_a_digest(tmp_path, changes, end):
    pytest.importorskip("safetensors", reason="the format needs the extra safetensors")
    if not (tmp_path / "good.safetensors").exists():
        nn.weights_io.save(tmp_path / "good.safetensors", PARAMS)
    content = damaged((tmp_path / "good.safetensors").read_bytes(), changes, end)
    path = write(tmp_path, {"net.safetensors": content}) / "net.safetensors"
    result = loaded(nn.weights_io.load, path)
    if result is not None:  # other numbers, perhaps, but never more than the file holds
        assert sum(array.nbytes for array in result[0].values()) < len(content)
        assert all(np.isfinite(array).all() for array in result[0].values())


# ---- images ----


@pytest.mark.parametrize("name", ["image.npy", "image.png", "image.jpg"])
@fuzzed(200)
@given(changes, ends)
def test_images(whole, tmp_path, name, changes, end):
    path = write(tmp_path, {name: damaged(whole(name), changes, end)}) / name
    image = loaded(lambda path: read_images(path, (3, 4, 4)), path)
    if image is not None:
        assert (image.shape, image.dtype) == ((1, 3, 4, 4), np.uint8)


# ---- data sets ----


@fuzzed(200)
@given(changes, ends)
def test_patches(whole, tmp_path, changes, end):
    path = write(tmp_path, {"patches.h5": damaged(whole("patches.h5"), changes, end)}) / "patches.h5"
    patches = loaded(load_patches, path)
    if patches is not None:
        assert_identical(patches, preprocess_patches(IMAGES))


@pytest.mark.parametrize("library", ["earliest", "latest"])
@fuzzed(200)
@given(changes, ends)
def test_patches_of_other_programs(whole, tmp_path, library, changes, end):
    """Without a digest, damage may go unnoticed, but the result is images that are not larger than the file."""
    path = write(tmp_path, {"other.h5": damaged(whole(f"{library}.h5"), changes, end)}) / "other.h5"
    patches = loaded(load_patches, path)
    if patches is not None:
        assert patches.ndim == 2 and np.isfinite(patches).all() and patches.size <= path.stat().st_size


@pytest.mark.parametrize("files", [binary_files, python_files])
@pytest.mark.parametrize("is_original", [True, False])
@fuzzed(50)
@given(changes, ends)
def test_cifar10(tmp_path, files, is_original, changes, end):
    """Original files are verified by digest; other files give images of ten classes."""
    content = files(*fake_cifar10())
    name = next(iter(content))
    known = {file: hashlib.md5(content[file]).hexdigest() for file in content} if is_original else {}
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other images are possible
        small_cifar10(patched)
        patched.setattr(integrity, "MD5", known)
        write(tmp_path / "data", {**content, name: damaged(content[name], changes, end)})
        result = loaded(lambda _: load_CIFAR10(tmp_path / "data", dtype=np.uint8), tmp_path / "data" / name)
    if result is None:
        return
    X, y, _, _ = result
    assert set(y) <= set(range(10))
    if is_original:
        np.testing.assert_array_equal(X, fake_cifar10()[0][:5].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


@fuzzed(300)
@given(changes, ends)
def test_pickles(tmp_path, changes, end):
    content = pickle.dumps({"data": IMAGES, "labels": [1, 2], "name": b"x"}, protocol=2)
    batch = loaded(load_dict, write(tmp_path, {"batch": damaged(content, changes, end)}) / "batch")
    assert batch is None or all(isinstance(key, str) for key in batch)


@fuzzed(300)
@given(st.binary(max_size=60))
def test_handwritten_pickles(tmp_path, content):
    loaded(load_dict, write(tmp_path, {"batch": b"\x80\x05" + content + b"."}) / "batch", factor=1000)


@fuzzed(150)
@given(changes, ends)
def test_archives(tmp_path, changes, end):
    """Damage before compression, which gzip cannot detect; only files of the data set are unpacked."""
    content = gzip.compress(damaged(archive_of(good_members(), "w:"), changes, end), 1)
    archive = write(tmp_path / "cache", {"good.tar.gz": content}) / "good.tar.gz"
    folder = loaded(unpack, archive, BINARY, archive.parent, factor=200)
    assert names(tmp_path) == ["cache"]
    assert names(archive.parent) in (["good.tar.gz"], ["cifar-10-batches-bin", "good.tar.gz"])
    if folder is not None:
        assert set(names(folder)) <= {integrity.MANIFEST, *binary_files(*fake_cifar10())}
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


# ---- trial logs ----


@fuzzed(300)
@given(changes, ends)
def test_trial_logs(whole, tmp_path, changes, end):
    path = write(tmp_path, {"ledger.jsonl": damaged(whole("ledger.jsonl"), changes, end)}) / "ledger.jsonl"
    records = loaded(load_ledger, path)
    assert records is None or all(isinstance(record["params"], dict) for record in records)


@pytest.mark.parametrize("depth", [100, 600, 5000])
def test_deeply_nested_trial_logs(whole, tmp_path, depth):
    line = whole("ledger.jsonl").splitlines(keepends=True)[0]
    deep = line.replace(b'"a": 1', b'"a": ' + b'{"b": ' * depth + b"1" + b"}" * depth)
    records = loaded(load_ledger, write(tmp_path, {"ledger.jsonl": deep}) / "ledger.jsonl")
    assert (records is None) == (depth > 100)


# ---- anything ----


@pytest.mark.parametrize("load", [checkpoint.load, nn.weights_io.load, load_patches, load_dict, load_ledger])
@fuzzed(60)
@given(st.binary(max_size=2000))
def test_bytes_of_any_kind(tmp_path, load, content):
    path = write(tmp_path, {"file": content}) / "file"
    with contextlib.suppress(AttributeError):
        assert loaded(load, path, factor=1000) in (None, [])
