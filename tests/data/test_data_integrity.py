"""Files of CIFAR-10 must be the original ones: manifest, published digests, content."""

import hashlib
import os
import pickle

import numpy as np
import pytest
from archive_server import cache, described, offer, page, server  # noqa: F401  (fixtures)
from cifar10_archives import BINARY, PYTHON, archive_of, names
from cifar10_files import PER_FILE, binary_files, fake_cifar10, python_files, small_cifar10, write

from fastnn.data_utils import find_CIFAR10, get_CIFAR10_data, integrity, layouts, load_CIFAR10

FILES = {BINARY: binary_files, PYTHON: python_files}
both_layouts = pytest.mark.parametrize("layout", [BINARY, PYTHON], ids=["bin", "py"])


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    small_cifar10(monkeypatch)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("fastnn.data_utils.download.SOURCES", ())


def archive(layout, order):
    files = FILES[layout](*fake_cifar10(order))
    return archive_of([(f"{layout.folder}/{name}", content) for name, content in files.items()])


def placed(layout, tmp_path, pixels, labels):
    """A folder of files that were placed by hand."""
    write(tmp_path / "data" / layout.folder, FILES[layout](pixels, labels))
    return tmp_path / "data"


@pytest.fixture
def downloaded(request, cache, offer):  # noqa: F811
    """A folder with an unpacked archive from the network."""

    def download(layout, order=1):
        content = archive(layout, order)
        offer(page(content), archive=described(content, layout))
        load_CIFAR10()
        return cache / layout.folder

    return download


@both_layouts
@pytest.mark.parametrize("order", [None, 1, 2])
def test_from_the_network_to_the_arrays(monkeypatch, cache, offer, layout, order):  # noqa: F811
    """The digest of the archive is checked; single files may be in any order."""
    monkeypatch.undo()  # the digests of the real files
    monkeypatch.setattr(layouts, "IMAGES_PER_FILE", PER_FILE)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    content = archive(layout, order)
    offer(page(content), archive=described(content, layout))
    pixels, labels = fake_cifar10(order)
    for _ in range(2):
        data = get_CIFAR10_data(40, 10, 10, subtract_mean=False)
        np.testing.assert_array_equal(data["X_train"], pixels.reshape(-1, 3, 32, 32)[:40])
        np.testing.assert_array_equal(data["y_val"], labels.reshape(-1)[40:50])
        np.testing.assert_array_equal(data["X_test"], pixels[5])
    assert names(cache) == [layout.folder]


@both_layouts
def test_the_manifest_is_what_sha256sum_writes(downloaded, layout):
    folder = downloaded(layout)
    lines = (folder / "fastnn.sha256").read_text().splitlines()
    expected = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}" for n in names(folder) if n[0] != "f"]
    assert sorted(lines, key=lambda line: line[66:]) == expected
    assert len(lines) == 6


@both_layouts
def test_a_byte_changed_after_unpacking_raises(downloaded, layout):
    folder = downloaded(layout)
    file = folder / ("data_batch_4" + layout.suffix)
    content = bytearray(file.read_bytes())
    content[content.index(fake_cifar10(1)[0][3, 2].tobytes()) + 77] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"data_batch_4\S* has the SHA-256 [0-9a-f]{64}; expected [0-9a-f]{64}, as in fastnn.sha256"
    ):
        get_CIFAR10_data(1, 1, 1)


LINE = b"0" * 64 + b"  data_batch_1.bin\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it lacks data_batch_1.bin, "),
        (LINE, "it lacks data_batch_2.bin, "),
        (LINE * 2, "line 2 is b'0000"),
        (LINE.upper().replace(b"0", b"A"), "line 1 is b'AAAA"),
        (b"0" * 63 + LINE[64:], "line 1 is b'000"),
        (b"0" * 64 + b"  ../../data_batch_1.bin\n", "line 1 is b'000"),
        (b"\xff\xfe\0" * 30, r"line 1 is b'\\xff\\xfe\\x00"),
        (b"\n", "line 1 is b''"),
        (LINE * 1000, "it has more than 4,096 bytes"),
    ],
)
def test_a_manifest_in_another_form_raises(tmp_path, content, problem):
    root = placed(BINARY, tmp_path, *fake_cifar10())
    (root / BINARY.folder / "fastnn.sha256").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^load_CIFAR10: .*fastnn\.sha256 is not a manifest of .*: {problem}"):
        load_CIFAR10(root)


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "named pipe"])
def test_a_manifest_that_is_not_a_file_raises(tmp_path, kind):
    root = placed(BINARY, tmp_path, *fake_cifar10())
    manifest = root / BINARY.folder / "fastnn.sha256"
    if kind == "folder":
        manifest.mkdir()
    elif kind == "link to nothing":
        manifest.symlink_to("nowhere")
    elif hasattr(os, "mkfifo"):
        os.mkfifo(manifest)
    else:
        pytest.skip("this system has no named pipes")
    with pytest.raises(ValueError, match=r"fastnn\.sha256 is not a manifest of .*: it is not a regular file"):
        load_CIFAR10(root)


@both_layouts
@pytest.mark.parametrize("order", [None, 1, 2])
def test_files_placed_by_hand_may_be_in_any_order(tmp_path, layout, order):
    pixels, labels = fake_cifar10(order)
    X, y, X_test, y_test = load_CIFAR10(placed(layout, tmp_path, pixels, labels))
    np.testing.assert_array_equal(X, pixels[:5].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y, labels[:5].reshape(-1))
    np.testing.assert_array_equal(X_test, pixels[5].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y_test, labels[5])


@both_layouts
@pytest.mark.parametrize(("position", "name", "number"), [(2, "training", 5), (5, "test", 1)])
def test_classes_of_other_sizes_raise(tmp_path, layout, position, name, number):
    pixels, labels = fake_cifar10()
    labels[position, 0] = (labels[position, 0] + 1) % 10
    with pytest.raises(
        ValueError, match=rf"holds \d {name} images of class \d; expected {number} of each class, as in CIFAR-10"
    ):
        load_CIFAR10(placed(layout, tmp_path, pixels, labels))


@both_layouts
@pytest.mark.parametrize(("original", "copy", "name"), [((0, 0), (4, 9), "training"), ((1, 3), (5, 2), "test")])
def test_images_that_occur_twice_raise(tmp_path, layout, original, copy, name):
    pixels, labels = fake_cifar10()
    pixels[copy] = pixels[original]
    with pytest.raises(ValueError, match=f"holds 1 images twice, found among those for {name}; expected none"):
        load_CIFAR10(placed(layout, tmp_path, pixels, labels))


def changed_pixel(pixels, labels):
    pixels[3, 1, 0, 0, 0] ^= 1


def changed_test_pixel(pixels, labels):
    pixels[5, 1, 0, 0, 0] ^= 1


def exchanged_labels(pixels, labels):
    other = np.flatnonzero(labels[2] != labels[2, 0])[0]
    labels[2, [0, other]] = labels[2, [other, 0]]


@both_layouts
@pytest.mark.parametrize(
    ("change", "name"),
    [(changed_pixel, "training"), (changed_test_pixel, "test"), (exchanged_labels, "training")],
)
def test_another_set_of_images_gives_a_warning(tmp_path, layout, change, name):
    pixels, labels = fake_cifar10()
    change(pixels, labels)
    root = placed(layout, tmp_path, pixels, labels)
    with pytest.warns(
        UserWarning, match=f"may differ from CIFAR-10: its {name} images have the digest .*; expected .* from a copy"
    ) as caught:
        y = load_CIFAR10(root)[1]
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(y, labels[:5].reshape(-1))


@both_layouts
def test_published_digests_verify_files(monkeypatch, tmp_path, layout):
    """Their content is then not checked."""
    files = FILES[layout](*fake_cifar10())
    root = placed(layout, tmp_path, *fake_cifar10())
    monkeypatch.setattr(integrity, "SET_DIGESTS", {})
    if layout is BINARY:
        known = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        monkeypatch.setattr(integrity, "SHA256", known)
        load_CIFAR10(root)
        return
    known = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(integrity, "MD5", known)
    load_CIFAR10(root)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("encoding", ["bytes", "latin1"])
def test_batches_pickled_anew_are_accepted(monkeypatch, tmp_path, protocol, encoding):
    """They have other digests, but their content is checked as that of any files."""
    pixels, labels = fake_cifar10()
    for name, content in python_files(pixels, labels).items():
        monkeypatch.setitem(integrity.MD5, name, hashlib.md5(content).hexdigest())
        anew = pickle.dumps(pickle.loads(content, encoding=encoding), protocol)
        assert anew != content
        write(tmp_path / PYTHON.folder, {name: anew})
    X, y, _, _ = load_CIFAR10(tmp_path, dtype=np.uint8)
    np.testing.assert_array_equal(X, pixels[:5].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y, labels[:5].reshape(-1))


@both_layouts
def test_two_other_sets_give_one_warning(tmp_path, layout):
    pixels, labels = fake_cifar10()
    changed_pixel(pixels, labels)
    changed_test_pixel(pixels, labels)
    with pytest.warns(UserWarning, match="training images have the digest .* and its test images have the") as caught:
        load_CIFAR10(placed(layout, tmp_path, pixels, labels))
    assert len(caught) == 1


def test_the_digest_of_a_set_by_hand():
    images, labels = np.array([[[[7]]], [[[1]]]], np.uint8), np.array([3, 9])
    records = [hashlib.sha256(b"\x07").digest() + b"\x03", hashlib.sha256(b"\x01").digest() + b"\x09"]
    expected = hashlib.sha256(min(records) + max(records)).hexdigest()
    assert integrity.set_digest(images, labels) == integrity.set_digest(images[::-1], labels[::-1]) == expected
    assert integrity.set_digest(images, labels[::-1]) != expected


def test_digests_are_well_formed():
    pattern = {32: integrity.MD5, 64: integrity.SHA256 | integrity.SET_DIGESTS}
    for length, table in pattern.items():
        assert all(len(digest) == length and set(digest) <= set("0123456789abcdef") for digest in table.values())


def test_find_ignores_the_manifest(tmp_path):
    write(tmp_path / BINARY.folder, {"fastnn.sha256": b""})
    assert find_CIFAR10(tmp_path) is None
