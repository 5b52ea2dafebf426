"""The sizes of blocks: their model, the table of tuned ones, what they change, and their file."""

import json
import warnings

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.kernels import affine, conv2d
from fastnn.kernels.cpu import processor

if "njit" not in AVAILABLE:
    pytest.skip("numba is not installed", allow_module_level=True)

from fastnn.kernels.cache import code_cache
from fastnn.kernels.cpu import threads
from fastnn.kernels.cpu.simd import matmul, size_model, sizes, tuned_sizes

NO_BITS = ("in_place", "short_rows")  # sizes that change none
FLOAT32 = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def on_njit():
    with fastnn.use_backend("njit"):
        yield


def everywhere(**changed):
    """Return the table in which all classes have these sizes."""
    return {name: of_class._replace(**changed) for name, of_class in sizes.with_overrides({}).items()}


# the model


@pytest.fixture
def caches(monkeypatch):
    """Return a function that sets the caches of the processor."""

    def set_caches(**found):
        size_model.model.cache_clear()
        monkeypatch.setattr(processor, "caches", lambda: found)

    yield set_caches
    monkeypatch.undo()
    size_model.model.cache_clear()


@pytest.mark.parametrize(
    ("level_2", "expected"),
    [(1 << 17, 1 << 18), (1 << 19, 1 << 18), (1280 << 10, 1 << 19), (1 << 20, 1 << 19), (2 << 20, 1 << 19),
     (12 << 20, 1 << 19)],
)  # fmt: skip
def test_blocks_take_half_of_the_second_cache(caches, level_2, expected):
    caches(L1=32 << 10, L2=level_2)
    assert size_model.model() == size_model.Sizes(panels=expected, block=expected)


def test_without_a_known_cache_it_is_a_typical_one(caches):
    caches()
    assert size_model.model() == size_model.Sizes(panels=1 << 19, block=1 << 19)


def test_the_model_is_within_the_limits():
    for name, value in size_model.model()._asdict().items():
        least, most = size_model.LIMITS[name]
        assert least <= value <= most


def test_caches_are_read_from_sysfs(tmp_path):
    for number, (level, kind, size) in enumerate(
        [("1", "Data", "48K"), ("1", "Instruction", "64K"), ("2", "Unified", "2M"), ("3", "Unified", "strange")]
    ):
        (tmp_path / f"index{number}").mkdir()
        for file, text in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{number}" / file).write_text(f"{text}\n")
    (tmp_path / "index9").mkdir()
    assert dict(processor._linux(tmp_path)) == {"L1": 48 << 10, "L2": 2 << 20}
    assert dict(processor._linux(tmp_path / "missing")) == {}


# classes


def test_classes_of_shapes():
    assert size_model.product_class(100, 100, 3072, False, False, FLOAT32) == "float32 forward small"
    assert size_model.product_class(8192, 500, 50, True, False, FLOAT32) == "float32 dw large"
    assert size_model.product_class(50, 8192, 500, False, True, np.dtype(float)) == "float64 dx large"
    assert size_model.convolution_class(27, FLOAT32) == "float32 convolution short"
    assert size_model.convolution_class(64, FLOAT32) == "float32 convolution long"


def test_a_size_is_that_of_its_class_only():
    with sizes.use(sizes.with_overrides({"float32 dw large": {"depth": 512}})):
        depths = {
            matmul.plan_of(*lengths, is_dw, False, dtype, 2)[matmul.DEPTH]
            for lengths in ((8192, 500, 50), (64, 32, 100))
            for is_dw in (True, False)
            for dtype in (FLOAT32, np.dtype(float))
            if (lengths[0], is_dw, dtype) != (8192, True, FLOAT32)
        }
        assert matmul.plan_of(8192, 500, 50, True, False, FLOAT32, 2)[matmul.DEPTH] == 512
        assert depths == {256}
    assert matmul.plan_of(8192, 500, 50, True, False, FLOAT32, 2)[matmul.DEPTH] == 256


# what they change

VALUES = [(name, value) for name, limits in size_model.LIMITS.items() for value in limits]


def computed(rng, dtype, images=5):
    """Return outputs and gradients of an affine layer, and of two convolutions with short and with long sums."""
    x, w, b, dout = (rng(shape).astype(dtype) for shape in ((70, 1100), (1100, 90), (90,), (70, 90)))
    found = [affine.affine_forward(x, w, b), affine.affine_forward(x[:9], w, b), *affine.affine_backward(dout, x, w)]
    long = (rng(shape).astype(dtype) for shape in ((6, 5000), (5000, 300), (300,)))
    found.append(affine.affine_forward(*long))
    for C in (3, 10):
        x, w, b = rng((images, C, 13, 17)).astype(dtype), rng((9, C, 3, 3)).astype(dtype), rng((9,)).astype(dtype)
        dout = rng((images, 9, 13, 17)).astype(dtype)
        found += [conv2d.conv2d_forward(x, w, b, 1, 1), *conv2d.conv2d_backward(dout, x, w, 1, 1)]
    return found


def integers(shape):
    """Small numbers, whose sums are exact in any order."""
    return np.random.default_rng(sum(shape)).integers(-3, 4, shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "value"), VALUES)
def test_products_and_convolutions_are_right_with_sizes_at_their_limits(name, value, dtype):
    expected = computed(integers, dtype)
    with sizes.use(everywhere(**{name: value})):
        for actual, right in zip(computed(integers, dtype), expected, strict=True):
            np.testing.assert_array_equal(actual, right, strict=True)


def reals(shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize(("name", "value"), [pair for pair in VALUES if pair[0] in NO_BITS])
def test_some_sizes_change_no_bit(name, value):
    expected = computed(reals, "float32")
    with sizes.use(everywhere(**{name: value})):
        for actual, right in zip(computed(reals, "float32"), expected, strict=True):
            np.testing.assert_array_equal(actual, right)


@pytest.mark.parametrize("name", [name for name in size_model.LIMITS if name not in NO_BITS])
def test_others_change_last_bits(name):
    """With 40 images, and little work for each task."""
    least, most = (everywhere(**{"task": 1 << 18, name: value}) for value in size_model.LIMITS[name])
    with sizes.use(least):
        expected = computed(reals, "float32", images=40)
    with sizes.use(most):
        found = computed(reals, "float32", images=40)
    pairs = list(zip(found, expected, strict=True))
    assert any((actual != right).any() for actual, right in pairs)
    for actual, right in pairs:
        np.testing.assert_allclose(actual, right, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_no_bit_depends_on_the_number_of_threads(name, value):
    results = []
    with sizes.use(everywhere(**{name: value})):
        for count in (1, 2, 4):
            with threads.use_num_threads(count):
                results.append(computed(reals, "float32"))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


# the file

RATES = {"B/s": 2e10, "FLOP/s": {"float32": 1e11}}


def tuned(size="depth", value=512, name="dw large", gain=1.07):
    return {"date": "2026-11-30", "threads": 2, "classes": {name: {"size": size, "value": value, "gain": gain}}}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder of tuned sizes, which are used."""
    monkeypatch.setattr(code_cache, "folders_of", lambda *_: ((tmp_path,), True))
    monkeypatch.setenv(sizes.VARIABLE, "")
    with sizes.use(None):
        yield tmp_path


def again():
    """Return the table as a new process reads it."""
    with sizes.use(None):
        return dict(sizes.table()), sizes.identifier()


def test_without_a_file_sizes_are_those_of_the_model(folder):
    table, identifier = again()
    assert set(table.values()) == {size_model.model()}
    assert identifier.startswith("model-")
    assert list(folder.iterdir()) == []


def test_the_file_replaces_the_sizes_of_its_classes(folder):
    usual = again()
    path = tuned_sizes.write({"float32": tuned()}, RATES)
    assert list(folder.iterdir()) == [path]
    table, identifier = again()
    assert table == {**usual[0], "float32 dw large": size_model.model()._replace(depth=512)}
    assert identifier.startswith("tuned-")
    tuned_sizes.write({"float64": tuned("task", 1 << 24, "dx small")}, {"B/s": 3e10, "FLOP/s": {"float64": 5e10}})
    assert tuned_sizes.overrides() == {"float32 dw large": {"depth": 512}, "float64 dx small": {"task": 1 << 24}}
    assert tuned_sizes.record()["rates"] == {"B/s": 3e10, "FLOP/s": {"float32": 1e11, "float64": 5e10}}
    assert again()[1] not in (identifier, usual[1])
    tuned_sizes.write({"float32": {**tuned(), "classes": {}}, "float64": {**tuned(), "classes": {}}}, RATES)
    assert again() == usual


def test_a_variable_ignores_the_file(folder, monkeypatch):
    tuned_sizes.write({"float32": tuned()}, RATES)
    monkeypatch.setenv(sizes.VARIABLE, "0")
    assert again()[1].startswith("model-")


def test_the_table_is_read_once_in_a_process(folder):
    before = sizes.identifier()
    tuned_sizes.write({"float32": tuned()}, RATES)
    assert sizes.identifier() == before


def test_files_of_other_processors_and_versions_are_not_found(folder, monkeypatch):
    tuned_sizes.write({"float32": tuned()}, RATES)
    key = tuned_sizes.key()
    for name in key:
        monkeypatch.setattr(tuned_sizes, "key", lambda name=name: {**key, name: "another"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert tuned_sizes.record() == {}


def changed(content, *path, value):
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value


CLASS = ("dtypes", "float32", "classes", "dw large")
BROKEN = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "binary": lambda text: "\udcff\udc80",
    "a list": lambda text: "[]",
    "deep": lambda text: "[" * 100_000,
    **{
        f"{'.'.join(path)} is {value!r}": (path, value)
        for path, value in [
            (("key",), {}), (("key", "sources"), "foreign"), (("rates",), None), (("rates", "B/s"), "fast"),
            (("rates", "FLOP/s", "float32"), None), (("dtypes",), []), (("dtypes", "float16"), tuned()),
            (("dtypes", "float32", "date"), 5), (("dtypes", "float32", "threads"), "2"),
            (("dtypes", "float32", "classes"), ["dw large"]), (CLASS, {}), ((*CLASS, "size"), "width"),
            ((*CLASS[:-1], "dw huge"), tuned()["classes"]["dw large"]), ((*CLASS, "value"), 1 << 40),
            ((*CLASS, "value"), 0), ((*CLASS, "value"), 256.0), ((*CLASS, "value"), True), ((*CLASS, "gain"), "much"),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_ignored_with_a_warning_and_replaced(folder, fault):
    path, usual = tuned_sizes.write({"float32": tuned()}, RATES), size_model.model()
    change, text = BROKEN[fault], path.read_text()
    if callable(change):
        text = change(text)
    else:
        content = json.loads(text)
        changed(content, *change[0], value=change[1])
        text = json.dumps(content)
    path.write_text(text, errors="surrogateescape")
    message = (
        r"the tuned sizes in '.*\.json' are ignored \(.*\), and kernels use those of the model; run `fastnn warmup"
    )
    with pytest.warns(RuntimeWarning, match=message) as warned:
        assert set(again()[0].values()) == {usual}
    assert len(warned) == 1
    tuned_sizes.write({"float32": tuned()}, RATES)
    assert again()[0]["float32 dw large"].depth == 512


def test_a_file_that_cannot_be_read_is_ignored(folder, monkeypatch):
    tuned_sizes.write({"float32": tuned()}, RATES)
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.warns(RuntimeWarning, match=r"are ignored \(PermissionError: no\)"):
        assert tuned_sizes.record() == {}


def test_without_a_folder_nothing_is_kept(folder, monkeypatch):
    for folders in (((), False), ((folder / "file",), True), ((folder,), False)):
        (folder / "file").write_text("")
        monkeypatch.setattr(code_cache, "folders_of", lambda *_, folders=folders: folders)
        assert tuned_sizes.write({"float32": tuned()}, RATES) is None
        assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_file_that_is_read_first_is_replaced(folder, monkeypatch):
    """An installation that can only be read, with a tuned file, and the user's cache: the first one found counts."""
    first, last = folder / "first", folder / "last"
    monkeypatch.setattr(code_cache, "folders_of", lambda *_: ((first, last), True))
    assert tuned_sizes.write({"float32": tuned()}, RATES).parent == last
    path = first / next(last.iterdir()).name
    first.mkdir()
    path.write_bytes(next(last.iterdir()).read_bytes())
    assert tuned_sizes.write({"float32": tuned(value=128)}, RATES) == path
    assert tuned_sizes.overrides() == {"float32 dw large": {"depth": 128}}
