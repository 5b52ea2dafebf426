"""Image patches: sampling, storage, reading and preprocessing."""

import re

import h5py
import numpy as np
import pytest

from fastnn import checkpoint
from fastnn.data_utils import cut_patches, load_patches, preprocess_patches, save_patches

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 7, 9), dtype=np.uint8)


def test_preprocessing_worked_by_hand():
    images = np.zeros((2, 3, 1, 2))
    images[0, :, 0, 0] = [1.0, 2.0, 3.0]  # luminance 0.2126 + 1.4304 + 0.2166 = 1.8596, and 0
    actual = preprocess_patches(images)
    # less the mean: -+0.9298; the deviation of (0.9298, -0.9298, 0, 0) is 0.9298 / sqrt(2), so nothing is clipped
    step = 0.4 / (3 / np.sqrt(2))
    np.testing.assert_allclose(actual, [[0.5 + step, 0.5 - step], [0.5, 0.5]], rtol=1e-12)


def test_preprocessing_clips_at_three_deviations():
    images = np.zeros((30, 3, 2, 2))
    images[0, :, 0, 0], images[1, :, 1, 1] = 1.0, -1.0
    actual = preprocess_patches(images)
    assert actual[0, 0] == pytest.approx(0.9)
    assert actual[1, 3] == pytest.approx(0.1)
    # mean 1/4 of the first image removed; sum of squares 2 * (9/16 + 3/16) over 120 pixels
    assert actual[0, 1] == pytest.approx(0.5 - 0.4 * 0.25 / (3 * np.sqrt(1.5 / 120)))
    np.testing.assert_array_equal(actual[2:], 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, ">f4"])
def test_preprocessing_of_any_dtype(dtype):
    images = IMAGES.astype(dtype)
    actual = preprocess_patches(images)
    assert actual.shape == (4, 63)
    assert actual.dtype == np.float64
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual.mean(axis=1), 0.5, atol=1e-12)  # nothing is beyond three deviations
    np.testing.assert_allclose(actual, preprocess_patches(3.0 * IMAGES + 7), rtol=1e-12)  # whatever the scale
    np.testing.assert_array_equal(images, IMAGES)


def test_preprocessing_of_images_without_contrast():
    np.testing.assert_array_equal(preprocess_patches(np.full((2, 3, 4, 4), 8)), np.full((2, 16), 0.5))


def test_patches_are_windows_of_the_images():
    images = np.arange(2 * 3 * 5 * 6).reshape(2, 3, 5, 6)  # the first pixel encodes image and position
    patches = cut_patches(images, 300, size=3, seed=0)
    assert patches.shape == (300, 3, 3, 3)
    assert patches.dtype == images.dtype
    assert patches.flags.writeable
    places = set()
    for patch in patches:
        n, c, top, left = np.unravel_index(patch[0, 0, 0], images.shape)
        assert c == 0
        np.testing.assert_array_equal(patch, images[n, :, top : top + 3, left : left + 3])
        places.add((n, top, left))
    assert len(places) == 2 * 3 * 4  # every position is drawn


def test_patches_come_from_the_seed():
    np.testing.assert_array_equal(cut_patches(IMAGES, 9, 2, seed=3), cut_patches(IMAGES, 9, 2, seed=3))
    assert (cut_patches(IMAGES, 9, 2, seed=3) != cut_patches(IMAGES, 9, 2, seed=4)).any()
    np.random.seed(1)
    first = cut_patches(IMAGES, 9, 2)
    np.random.seed(1)
    np.testing.assert_array_equal(cut_patches(IMAGES, 9, 2), first)
    np.testing.assert_array_equal(cut_patches(IMAGES[:1, :, :, :7], 2, 7, seed=0), IMAGES[[0, 0], :, :, :7])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_hdf5_round_trip(tmp_path, dtype):
    path = tmp_path / "patches.h5"
    patches = cut_patches(np.tile(IMAGES, (1, 1, 3, 2)).astype(dtype), 20, seed=0)
    save_patches(path, patches)
    with h5py.File(path) as file:
        assert file["data"].shape == (20, 3, 16, 16)
        assert file["data"].dtype == dtype
        np.testing.assert_array_equal(file["data"], patches)
    np.testing.assert_array_equal(load_patches(str(path)), preprocess_patches(patches))


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "patches.h5"
    save_patches(path, IMAGES)

    def full_disk(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(h5py.File, "create_dataset", full_disk)
        with pytest.raises(OSError, match=r"save_patches: path=.* could not be written: no space left"):
            save_patches(path, IMAGES[:1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["patches.h5"]
    assert load_patches(path).shape == (4, 63)
    save_patches(path, IMAGES[:1])
    assert load_patches(path).shape == (1, 63)


def test_files_that_hold_no_patches(tmp_path):
    missing, text, other = tmp_path / "missing.h5", tmp_path / "text.h5", tmp_path / "other.h5"
    with pytest.raises(
        FileNotFoundError, match=r"load_patches: path='.*missing.h5' is not a file; expected an HDF5 file"
    ):
        load_patches(missing)
    text.write_text("no patches")
    with pytest.raises(ValueError, match=r"load_patches: path='.*text.h5' is not an HDF5 file; expected one with"):
        load_patches(text)
    with h5py.File(other, "w") as file:
        file["images"] = IMAGES
        file.create_group("data")
    with pytest.raises(ValueError, match=r"path='.*other.h5' has no readable dataset 'data': .*; expected images"):
        load_patches(other)
    with h5py.File(other, "w") as file:
        file["data"] = IMAGES[0]
    with pytest.raises(ValueError, match=r"load_patches: data.shape = \(3, 7, 9\) holds no colour images"):
        load_patches(other)
    with h5py.File(other, "w") as file:
        file["data"] = "words"
    with pytest.raises(ValueError, match=r"load_patches: 'data' in .* contains no pixels; expected contiguous numbers"):
        load_patches(other)


FOREIGN = {
    "a soft link": (lambda file: file.__setitem__("data", h5py.SoftLink("/images")), "has no readable dataset 'data'"),
    "an external link": (
        lambda file: file.__setitem__("data", h5py.ExternalLink("o.h5", "/")),
        "has no readable dataset",
    ),
    "another group": (lambda file: file.create_group("data"), "has no readable dataset"),
    "chunks": (lambda file: file.create_dataset("data", data=IMAGES, chunks=True), "'data' in .* is chunked"),
    "a bomb": (
        lambda file: file.create_dataset("data", (2**20, 3, 99, 99), "u1", compression="gzip"),
        "'data' in .* is chunked, compressed",
    ),
    "virtual": (lambda file: file.create_virtual_dataset("data", virtual_layout()), "assembled from other files"),
    "external": (
        lambda file: file.create_dataset("data", (9,), "u1", external=[("o", 0, 9)]),
        "is stored in another file",
    ),
    "a terabyte": (
        lambda file: file.create_dataset("data", (2**30, 3, 16, 16), "f4"),
        "claims 3,298,534,883,328 bytes of a file",
    ),
    "no value": (lambda file: file.create_dataset("data", data=h5py.Empty("f")), "'data'"),
    "references": (lambda file: file.create_dataset("data", (3,), h5py.ref_dtype), "'data' in .* contains no pixels"),
    "texts": (lambda file: file.create_dataset("data", data=["a"]), "'data' in .* contains no pixels"),
    "structures": (lambda file: file.create_dataset("data", (3,), "f8,i4"), "'data' in .* contains no pixels"),
}


def virtual_layout():
    layout = h5py.VirtualLayout(IMAGES.shape, "u1")
    layout[:] = h5py.VirtualSource("o.h5", "data", IMAGES.shape)
    return layout


@pytest.mark.parametrize("library", ["earliest", "latest"])
@pytest.mark.parametrize("name", FOREIGN)
def test_datasets_of_other_programs_that_would_do_harm(tmp_path, name, library):
    make, message = FOREIGN[name]
    with h5py.File(tmp_path / "other.h5", "w", libver=library) as file:
        file["images"] = IMAGES
        make(file)
    with pytest.raises(ValueError, match=f"^load_patches: .*{message}"):
        load_patches(tmp_path / "other.h5")


@pytest.mark.parametrize("library", ["earliest", "latest"])
def test_datasets_of_other_programs_are_read(tmp_path, library):
    with h5py.File(tmp_path / "other.h5", "w", libver=library) as file:
        file["data"] = IMAGES
    np.testing.assert_array_equal(load_patches(tmp_path / "other.h5"), preprocess_patches(IMAGES))


def test_damage_is_found(tmp_path):
    save_patches(tmp_path / "patches.h5", IMAGES)
    whole = (tmp_path / "patches.h5").read_bytes()
    (tmp_path / "patches.h5").write_bytes(whole.replace(IMAGES.tobytes()[50:60], bytes(10)))
    with pytest.raises(ValueError, match=r"load: path=.*patches.h5' is damaged: .* the digest differs"):
        load_patches(tmp_path / "patches.h5")
    checkpoint.save(tmp_path / "patches.h5", {"images": IMAGES})
    with pytest.raises(TypeError, match=r"load_patches: data"):
        load_patches(tmp_path / "patches.h5")


def test_pixels_in_a_file_that_are_not_finite(tmp_path):
    images = np.where(IMAGES.max() == IMAGES, np.nan, IMAGES)
    save_patches(tmp_path / "patches.h5", images)
    with pytest.raises(ValueError, match="preprocess_patches: images contain NaN or infinity"):
        load_patches(tmp_path / "patches.h5")


@pytest.mark.parametrize(
    "function", [preprocess_patches, lambda x: cut_patches(x, 1, 1), lambda x: save_patches("", x)]
)
def test_arrays_that_are_no_images(function):
    last = re.escape("shape = (2, 4, 4, 3) holds no colour images; expected (N, 3, h, w); for channels last pass")
    with pytest.raises(ValueError, match=last):
        function(np.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"shape = \(0, 3, 4, 4\) is empty"):
        function(np.zeros((0, 3, 4, 4)))
    with pytest.raises(TypeError, match=r"dtype = complex128 holds no pixels; expected integers or floats"):
        function(np.zeros((2, 3, 4, 4), complex))
    with pytest.raises(TypeError, match=r"is not an array"):
        function([[1, 2], [3]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite(value):
    images = IMAGES.astype(float)
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match="preprocess_patches: images contain NaN or infinity"):
        preprocess_patches(images)


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match="cut_patches: size=8 is out of range; expected at least 1 and at most 7"):
        cut_patches(IMAGES, 1, 8)
    with pytest.raises(ValueError, match="cut_patches: count=0 is out of range; expected at least 1"):
        cut_patches(IMAGES, 0, 2)
    with pytest.raises(TypeError, match="generator: seed='a' is not a seed"):
        cut_patches(IMAGES, 1, 2, seed="a")
