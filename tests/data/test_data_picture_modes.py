"""Images in every mode of Pillow are converted to 8-bit colours of the same brightness, or raise."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from script_runs import predicted, shape_images

from fastnn.cli import main
from fastnn.data_utils import pictures, read_images

GREY16 = np.array([[0, 128, 129, 32768], [20_000, 65535 - 129, 65535 - 128, 65535]], np.uint16)
GREY16_AS_8 = np.array([[0, 0, 1, 128], [78, 254, 255, 255]], np.uint8)  # v / 257, rounded
COLOUR = (200, 100, 50)
GREYED = 124  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path, array, depth, colour_type=0, transparent=None, extra=b""):
    """Write a PNG file, also of kinds that Pillow cannot write.

    array: (H, W) or (H, W, C), samples of `depth` bits
    """
    height, width = array.shape[:2]
    rows = array.reshape(height, -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif depth < 8:
        bits = (rows[..., None] >> np.arange(depth)[::-1] & 1).astype(np.uint8)
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    if transparent is not None:
        extra += chunk(b"tRNS", struct.pack(f">{np.size(transparent)}H", *np.atleast_1d(transparent)))
    content = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).astype(np.uint8).tobytes())
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", content), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def grey(path, shape=(2, 4)):
    return read_images(path, (1, *shape))[0, 0]


# ---- 16 bits ----


@pytest.mark.parametrize("extra", [b"", chunk(b"sBIT", b"\x0c")], ids=["16 bits", "12 bits in the highest places"])
def test_16_bit_grey_is_scaled(tmp_path, extra):
    """PNG scales samples of fewer bits to 16 bits; its chunk sBIT only records how many there were."""
    np.testing.assert_array_equal(grey(png(tmp_path / "a.png", GREY16, 16, extra=extra)), GREY16_AS_8)


@pytest.mark.parametrize(
    ("channels", "colour_type"), [(3, 2), (2, 4), (4, 6)], ids=["colour", "grey and alpha", "colour and alpha"]
)
def test_16_bit_colours_are_scaled(tmp_path, channels, colour_type):
    array = np.stack([GREY16] * channels, axis=-1)
    if channels in (2, 4):
        array[..., -1] = 65535
    actual = grey(png(tmp_path / "a.png", array, 16, colour_type))
    np.testing.assert_allclose(actual.astype(int), GREY16_AS_8, atol=1)  # Pillow drops the lower 8 bits


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "I;16L"])
def test_every_mode_of_integers(tmp_path, monkeypatch, mode):
    """Older versions of Pillow open 16-bit PNG files in mode I."""
    image = Image.fromarray(GREY16.astype(np.int32)) if mode == "I" else Image.new(mode, (4, 2))
    if mode != "I":
        image.frombytes(GREY16.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    open_as(monkeypatch, image)
    np.testing.assert_array_equal(grey(png(tmp_path / "a.png", GREY16, 16)), GREY16_AS_8)


def open_as(monkeypatch, image):
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", lambda opened: image)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (Image.fromarray(np.full((2, 4), 65536, np.int32)), "values from 65,536 to 65,536"),
        (Image.fromarray(np.full((2, 4), -1, np.int32)), "values from -1 to -1"),
        (Image.fromarray(np.full((2, 4), 0.5, np.float32)), "floats"),
    ],
    ids=["large", "negative", "float"],
)
def test_values_of_an_unknown_range_raise(tmp_path, monkeypatch, image, found):
    open_as(monkeypatch, image)
    with pytest.raises(ValueError, match=rf"^read_images: path=.* holds {found}; expected .* 0 to 65,535; scale"):
        grey(png(tmp_path / "a.png", GREY16, 16))


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("largest", [255, 4095])
def test_16_bit_images_that_use_12_give_a_warning(tmp_path, as_array, largest):
    array = np.linspace(0, largest, 8).astype(np.uint16).reshape(2, 4)
    path = tmp_path / ("a.npy" if as_array else "a.png")
    np.save(path, array) if as_array else png(path, array, 16)
    with pytest.warns(UserWarning, match=f"^read_images: .* no value above {largest:,}; .* nearly black") as caught:
        actual = grey(path)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(actual, np.rint(array / 257))


def test_a_black_image_of_16_bits_gives_no_warning(tmp_path):
    assert not grey(png(tmp_path / "a.png", np.zeros((2, 4), np.uint16), 16)).any()


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_arrays_of_16_bits_are_scaled(tmp_path, dtype):
    np.save(tmp_path / "a.npy", GREY16.astype(dtype))
    np.testing.assert_array_equal(grey(tmp_path / "a.npy"), GREY16_AS_8)
    np.save(tmp_path / "b.npy", np.stack([GREY16] * 3, axis=-1).astype(dtype)[None])
    np.testing.assert_array_equal(read_images(tmp_path / "b.npy", (3, 2, 4))[0], [GREY16_AS_8] * 3)


# ---- fewer than 8 bits ----


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_few_bits_are_scaled(tmp_path, depth):
    array = np.arange(8).reshape(2, 4) % 2**depth
    actual = grey(png(tmp_path / "a.png", array, depth))
    np.testing.assert_array_equal(actual, array * 255 // (2**depth - 1))


# ---- transparency ----


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_that_stands_for_transparent_is_white(tmp_path, depth):
    """Pillow compares it with already scaled values."""
    array = np.array([[0, 1, 1, 0], [1, 0, 1, 2**depth - 1]], np.uint16)
    actual = grey(png(tmp_path / "a.png", array, depth, transparent=0))
    np.testing.assert_array_equal(actual[array == 0], 255)
    np.testing.assert_array_equal(actual[array == 1], np.rint(255 / (2**depth - 1)))


def test_a_grey_beside_the_transparent_one_stays(tmp_path):
    array = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    np.testing.assert_array_equal(
        grey(png(tmp_path / "a.png", array, 2, transparent=2)), [[0, 85, 255, 255], [255, 255, 85, 0]]
    )


def test_a_colour_that_stands_for_transparent_is_white(tmp_path):
    array = np.full((2, 4, 3), COLOUR, np.uint8)
    array[0, 0] = 1, 2, 3
    actual = read_images(png(tmp_path / "a.png", array, 8, 2, transparent=(1, 2, 3)), (3, 2, 4))[0]
    np.testing.assert_array_equal(actual[:, 0, 0], 255)
    np.testing.assert_array_equal(actual[:, 1, 1], COLOUR)
    path = png(tmp_path / "b.png", array.astype(np.uint16) * 257, 16, 2, transparent=(257, 514, 771))
    with pytest.raises(ValueError, match=r"^read_images: path=.* 16-bit colours with a transparent one; expected"):
        read_images(path, (3, 2, 4))


@pytest.mark.parametrize("transparent", [0, b"\0", b"\x80\xff"], ids=["one", "all of it", "half of it"])
def test_a_palette_with_transparency(tmp_path, transparent):
    image = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "L").convert("P")
    image.putpalette([0, 0, 0, *COLOUR])
    image.save(tmp_path / "a.png", transparency=transparent)
    actual = read_images(tmp_path / "a.png", (3, 2, 2))[0]
    np.testing.assert_array_equal(actual[:, 0, 0], 127 if transparent == b"\x80\xff" else 255)
    np.testing.assert_array_equal(actual[:, 1, 1], COLOUR)


# ---- every mode that Pillow writes ----


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", "png", COLOUR),
        ("RGBA", "png", COLOUR),
        ("P", "png", COLOUR),
        ("L", "png", [GREYED] * 3),
        ("LA", "png", [GREYED] * 3),
        ("1", "png", [255] * 3),
        ("P", "gif", COLOUR),
        ("L", "bmp", [GREYED] * 3),
        ("RGB", "bmp", COLOUR),
        ("1", "bmp", [255] * 3),
        ("L", "jpg", [GREYED] * 3),
        ("YCbCr", "jpg", COLOUR),
        ("CMYK", "jpg", COLOUR),
        ("RGB", "webp", COLOUR),
        ("RGBA", "webp", COLOUR),
    ],
)
def test_modes_as_pillow_writes_them(tmp_path, mode, suffix, expected):
    image = Image.new("RGB", (8, 8), (255, 255, 255) if mode == "1" else COLOUR)
    image = image.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    actual = read_images(tmp_path / f"a.{suffix}", (3, 8, 8))[0]
    np.testing.assert_allclose(actual[:, 4, 4].astype(int), expected, atol=1 if suffix == "jpg" else 0)


def test_the_formats_are_those_that_are_promised():
    assert set(pictures._FORMATS) == {"PNG", "JPEG", "GIF", "BMP", "WEBP"}


# ---- fastnn predict ----


@pytest.mark.usefixtures("tiny_runs")
def test_predict_sees_the_same_in_16_bits(capsys):
    assert main(["train", "--out", "part"]) == 0
    images, inputs = shape_images()
    grey = images[0][..., 0]
    Image.fromarray(grey).save("grey8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save("grey16.png")
    np.save("pixels8.npy", images[:1])
    np.save("pixels16.npy", images[:1].astype(np.uint16) * 257)
    np.save("half.npy", inputs[:1].astype(np.float16))
    np.save("rounded.npy", inputs[:1].astype(np.float16).astype(np.float32))
    files = ("grey8.png", "grey16.png", "pixels8.npy", "pixels16.npy", "half.npy", "rounded.npy")
    found = [one["classes"] for one in predicted(capsys, "part", *files)["predictions"]]
    assert found[::2] == found[1::2]
