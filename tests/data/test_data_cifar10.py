"""CIFAR-10 from disk: both layouts, splits, and errors for invalid files."""

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from cifar10_files import binary_files, fake_cifar10, python_files, small_cifar10, write

from fastnn.data_utils import (
    CIFAR10_CLASSES,
    find_CIFAR10,
    get_CIFAR10_data,
    layouts,
    load_CIFAR10,
    preprocess_cifar10,
)


@pytest.fixture(autouse=True)
def _small_and_alone(monkeypatch, tmp_path):
    """Files of ten images; no access to a data set, cache or network of this machine."""
    small_cifar10(monkeypatch)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("fastnn.data_utils.download.SOURCES", ())


@pytest.fixture(
    params=[("cifar-10-batches-bin", binary_files), ("cifar-10-batches-py", python_files)], ids=["bin", "py"]
)
def root(request, tmp_path):
    """A folder with the fake data set in one of the layouts."""
    name, files = request.param
    write(tmp_path / "data" / name, files(*fake_cifar10()))
    return tmp_path / "data"


def test_load_gives_the_course_s_arrays(root):
    pixels, labels = fake_cifar10()
    X, y, X_test, y_test = load_CIFAR10(root)
    expected = pixels[:5].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(y, labels[:5].reshape(-1))
    np.testing.assert_array_equal(X_test, pixels[5].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y_test, labels[5])
    assert X.dtype == X_test.dtype == np.float64
    assert y.dtype == y_test.dtype == np.int64
    assert X.flags.c_contiguous
    assert X_test.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, "float32"])
def test_load_in_another_dtype(root, dtype):
    X, _, X_test, _ = load_CIFAR10(root, dtype=dtype)
    assert X.dtype == X_test.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(X, load_CIFAR10(root)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_get_splits_and_centres(root, dtype):
    pixels, labels = fake_cifar10()
    images = pixels[:5].reshape(-1, 3, 32, 32).astype(np.float64)
    data = get_CIFAR10_data(12, 5, 3, root=root, dtype=dtype)
    mean = images[:12].mean(axis=0)
    assert list(data) == ["X_train", "y_train", "X_val", "y_val", "X_test", "y_test"]
    tolerance = 64 * np.finfo(dtype).eps
    np.testing.assert_allclose(data["X_train"], images[:12] - mean, atol=tolerance)
    np.testing.assert_allclose(data["X_val"], images[12:17] - mean, atol=tolerance)
    np.testing.assert_allclose(data["X_test"], pixels[5, :3] - mean, atol=tolerance)
    np.testing.assert_array_equal(data["y_val"], labels[:5].reshape(-1)[12:17])
    for name, array in data.items():
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype == (dtype if name.startswith("X") else np.int64)


def test_get_without_centring_and_with_empty_sets(root):
    data = get_CIFAR10_data(50, 0, 0, subtract_mean=False, root=root)
    np.testing.assert_array_equal(data["X_train"], fake_cifar10()[0][:5].reshape(-1, 3, 32, 32))
    assert data["X_val"].shape == data["X_test"].shape == (0, 3, 32, 32)
    assert data["y_val"].shape == data["y_test"].shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_training": 51}, "get_CIFAR10_data: num_training=51 is out of range; expected at least 1 and at most 50"),
        ({"num_training": 48, "num_validation": 3}, "num_validation=3 is out of range; expected .* at most 2"),
        ({"num_training": 1, "num_validation": 0, "num_test": 11}, "num_test=11 is out of range; .* at most 10"),
        ({"num_training": 0}, "num_training=0 is out of range"),
    ],
)
def test_get_raises_for_more_images_than_there_are(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        get_CIFAR10_data(**arguments, root=root)


@pytest.mark.parametrize("dtype", [np.int32, "nonsense", "float16"])
def test_other_dtypes_are_refused(root, dtype):
    with pytest.raises(TypeError, match=r"dtype=.* is not supported here; expected float32 or float64"):
        get_CIFAR10_data(1, 1, 1, root=root, dtype=dtype)
    with pytest.raises(TypeError, match=r"preprocess_cifar10: dtype=.* expected float32 or float64"):
        preprocess_cifar10(root=root, dtype=dtype)
    with pytest.raises(TypeError, match=r"load_CIFAR10: dtype=.* expected float64 or float32 or uint8"):
        load_CIFAR10(root, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_preprocess_makes_rows_with_a_bias(root, dtype):
    images = fake_cifar10()[0].reshape(60, -1) / 255
    expected = images - images[:40].mean(axis=0)
    data = preprocess_cifar10(bias_trick=True, dtype=dtype, root=root)
    for name, rows in (("X_train", slice(0, 40)), ("X_val", slice(40, 50)), ("X_test", slice(50, 60))):
        assert data[name].dtype == dtype
        assert data[name].flags.c_contiguous
        np.testing.assert_allclose(data[name][:, :-1], expected[rows], atol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(data[name][:, -1], 1)


def test_preprocess_keeps_images_and_takes_the_validation_set_from_the_end(root):
    flat = preprocess_cifar10(validation_ratio=0.3, root=root)
    data = preprocess_cifar10(flatten=False, validation_ratio=0.3, root=root)
    assert data["X_train"].shape == (35, 3, 32, 32)
    assert data["X_val"].shape == (15, 3, 32, 32)
    np.testing.assert_array_equal(data["X_val"].reshape(15, -1), flat["X_val"])
    np.testing.assert_array_equal(data["y_val"], fake_cifar10()[1][:5].reshape(-1)[35:])


def test_preprocess_raises_for_invalid_arguments(root):
    with pytest.raises(ValueError, match="bias_trick=True needs rows to append to, but flatten=False"):
        preprocess_cifar10(bias_trick=True, flatten=False, root=root)
    with pytest.raises(ValueError, match="validation_ratio=1 is out of range; expected at least 0 and less than 1"):
        preprocess_cifar10(validation_ratio=1, root=root)


def test_preprocess_draws_examples(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    preprocess_cifar10(show_examples=True, root=root)
    assert capsys.readouterr().out == "cifar10_examples.png saved.\n"
    assert Path("cifar10_examples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("notebook", [True, False])
def test_preprocess_shows_examples_in_a_notebook(root, tmp_path, monkeypatch, notebook):
    shown = []

    class IPython:
        get_ipython = staticmethod(lambda: types.SimpleNamespace(**({"kernel": None} if notebook else {})))
        display = types.SimpleNamespace(display=shown.append)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    preprocess_cifar10(show_examples=True, root=root)
    assert [type(figure).__name__ for figure in shown] == ["Figure"] * notebook
    assert Path("cifar10_examples.png").exists() != notebook


def test_found_in_the_argument_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    expected = {}
    for order, place in enumerate(("argument", "variable", "cache/fastnn")):
        pixels, labels = fake_cifar10(order)
        expected[place] = labels[:5].reshape(-1)
        write(tmp_path / place / "cifar-10-batches-bin", binary_files(pixels, labels))
    np.testing.assert_array_equal(load_CIFAR10()[1], expected["cache/fastnn"])
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "variable"))
    np.testing.assert_array_equal(load_CIFAR10()[1], expected["variable"])
    np.testing.assert_array_equal(load_CIFAR10(str(tmp_path / "argument"))[1], expected["argument"])
    np.testing.assert_array_equal(load_CIFAR10(tmp_path / "argument/cifar-10-batches-bin")[1], expected["argument"])


def test_a_folder_without_the_data_set_is_skipped_with_a_warning(tmp_path, monkeypatch):
    write(tmp_path / "cache" / "fastnn" / "cifar-10-batches-py", python_files(*fake_cifar10()))
    with pytest.warns(
        UserWarning, match=r"load_CIFAR10: root='nowhere' does not contain CIFAR-10; .*; looking elsewhere"
    ) as caught:
        load_CIFAR10("nowhere")
    assert caught[0].filename == __file__
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="FASTNN_DATA="):
        get_CIFAR10_data(1, 1, 1)


@pytest.mark.parametrize("place", ["cs231n/datasets", "nndl/datasets", "deeplearning/datasets", "datasets", "."])
def test_found_where_notebooks_of_the_courses_keep_it(root, tmp_path, monkeypatch, place):
    """Below the working folder; $FASTNN_DATA comes before, the cache after them."""
    monkeypatch.chdir(tmp_path)
    (folder,) = root.iterdir()
    write(tmp_path / "cache" / "fastnn" / folder.name, binary_files(*fake_cifar10(3)))
    Path(place).mkdir(parents=True, exist_ok=True)
    found = folder.rename(tmp_path / place / folder.name)
    assert find_CIFAR10() == Path(place, folder.name)
    np.testing.assert_array_equal(load_CIFAR10()[1], fake_cifar10()[1][:5].reshape(-1))
    assert len(get_CIFAR10_data(40, 10, 10)["X_train"]) == 40
    assert len(load_CIFAR10(Path(place, folder.name))[0]) == 50
    monkeypatch.setenv(
        "FASTNN_DATA", str(write(tmp_path / "data" / "cifar-10-batches-bin", binary_files(*fake_cifar10(4))))
    )
    assert find_CIFAR10() == tmp_path / "data" / "cifar-10-batches-bin"
    assert found.exists()


@pytest.mark.parametrize("missing", ["cs231n/datasets/cifar-10-batches-py", "dl/datasets", "/a/nndl/datasets"])
def test_missing_places_of_the_courses_need_no_warning(root, tmp_path, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTNN_DATA", str(root))
    assert len(load_CIFAR10(missing)[0]) == 50  # warnings are errors here
    Path("cs231n/datasets/cifar-10-batches-py").mkdir(parents=True)
    with pytest.warns(UserWarning, match="root='cs231n.datasets' does not contain CIFAR-10"):
        load_CIFAR10("cs231n/datasets")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "sets" / "cifar-10-batches-bin", binary_files(*fake_cifar10()))
    assert len(load_CIFAR10("~/sets")[0]) == 50


def test_a_missing_file_is_named(root):
    folder = next(root.iterdir())
    for name in ("data_batch_3", "test_batch"):
        next(folder.glob(name + "*")).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"load_CIFAR10: .* lacks data_batch_3\S*, test_batch\S*; expected 6 files"
    ):
        load_CIFAR10(root)


def test_a_file_of_another_size_raises(root):
    file = next(next(root.iterdir()).glob("data_batch_2*"))
    file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"data_batch_2\S* has [\d,]+ bytes; expected 30,7\d\d"):
        load_CIFAR10(root)
    file.write_bytes(bytes(50_001))
    with pytest.raises(ValueError, match=r"data_batch_2\S* has 50,001 bytes"):
        load_CIFAR10(root)


def test_a_label_out_of_range_raises(root):
    pixels, labels = fake_cifar10()
    labels[4, 1] = 10
    files = python_files if next(root.iterdir()).name.endswith("py") else binary_files
    write(next(root.iterdir()), files(pixels, labels))
    with pytest.raises(ValueError, match=r"data_batch_5\S* holds labels from \d to 10; expected 0 to 9"):
        load_CIFAR10(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.replace(b"data\x63", b"dada\x63"),
            "'data' in .*data_batch_1 is NoneType; expected uint8",
        ),
        (
            lambda content: content.replace(b"u1K", b"i1K"),
            r"'data' in .* is int8 \(10, 3072\); expected uint8 \(10, 3072\)",
        ),
        (
            lambda content: content.replace(b"labels]", b"babels]"),
            "'labels' in .*data_batch_1 is not a list of 10",
        ),
        (
            lambda content: content.replace(b"labels](K", b"labels](NK"),
            "'labels' in .*data_batch_1 is not a list of 10",
        ),
        (lambda content: content[:-1], "data_batch_1 cannot be read as plain data"),
    ],
    ids=["no data", "dtype", "no labels", "count", "damaged"],
)
def test_a_python_batch_with_other_content_raises(tmp_path, change, message):
    files = python_files(*fake_cifar10())
    assert change(files["data_batch_1"]) != files["data_batch_1"]
    write(tmp_path / "data", {**files, "data_batch_1": change(files["data_batch_1"])})
    with pytest.raises(ValueError, match=message):
        load_CIFAR10(tmp_path / "data")


def test_the_real_data_set(monkeypatch):
    """50,000 and 10,000 images, ten classes of 6,000, and the well-known mean colour."""
    monkeypatch.undo()
    root = os.environ.get("FASTNN_DATA")
    if not root or not layouts.find(Path(root)):
        pytest.skip("$FASTNN_DATA does not point to CIFAR-10")
    X, y, X_test, y_test = load_CIFAR10(root, dtype=np.uint8)
    assert X.shape == (50000, 32, 32, 3)
    assert X_test.shape == (10000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(y), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(y_test), [1000] * 10)
    np.testing.assert_allclose(X.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=5e-5)
    assert len(CIFAR10_CLASSES) == 10


def test_find_names_the_folder_and_reads_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_CIFAR10() is None
    folder = tmp_path / "cache" / "fastnn" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").touch()
    assert find_CIFAR10() == find_CIFAR10(tmp_path) == folder
