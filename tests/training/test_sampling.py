"""The images of a batch, and how they are read from a file."""

import tracemalloc

import h5py
import numpy as np
import pytest
import small_solver
from hypothesis import given
from hypothesis import strategies as st
from small_solver import Model, assert_identical, data, everything, make

from fastnn import nn
from fastnn.classifiers import linear_classifier
from fastnn.training.sampling import METHODS, Sampler, rows

pytestmark = pytest.mark.usefixtures("one_backend")


def test_an_epoch_takes_every_image_once():
    seen = []

    class Recording(Model):
        def loss(self, X, y=None):
            if y is not None:
                seen.append(X[:, 0].copy())
            return super().loss(X, y)

    make(Recording(), sampling="epoch", batch_size=5, num_epochs=2).train()
    expected = np.sort(data()["X_train"][:, 0])
    for epoch in (seen[:4], seen[4:]):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), expected)
    assert not np.array_equal(seen[0], seen[4])


def test_an_epoch_of_fewer_images_than_a_batch():
    solver = make(sampling="epoch", batch_size=50, num_epochs=2)
    solver.train()
    assert solver.iterations_per_epoch == 1
    assert solver.iteration == 2


def test_data_sets_in_a_file_are_read_by_batches(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, value in data().items():
            file[name] = value
    expected = make()
    expected.train()
    with h5py.File(tmp_path / "data.h5") as file:
        reads = []

        class Watched:
            def __init__(self, dataset):
                self.dataset = dataset

            def __len__(self):
                return len(self.dataset)

            def __getitem__(self, places):
                values = self.dataset[places]
                reads.append(len(values))
                return values

        watched = {name: Watched(file[name]) for name in file}
        actual = make(parts=watched)
        actual.train()
    assert max(reads) <= 10
    assert_identical(everything(actual), everything(expected))


def test_rows_keep_their_order():
    x = np.arange(10) ** 2

    class Sorted:
        def __getitem__(self, places):
            assert isinstance(places, slice) or (np.diff(places) > 0).all()
            return x[places]

    np.testing.assert_array_equal(rows(Sorted(), np.array([5, 2, 5, 9])), [25, 4, 25, 81])
    np.testing.assert_array_equal(rows(Sorted(), slice(2, 4)), [4, 9])


def test_sampler_draws_whole_batches():
    generator = np.random.default_rng(0)
    sampler = Sampler("f", 10, 4, "epoch")
    batches = [sampler.draw(iteration, generator) for iteration in range(4)]
    assert sampler.batches == 2
    assert all(len(np.unique(np.concatenate(pair))) == 8 for pair in (batches[:2], batches[2:]))


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 99))
def test_blocks_are_a_permutation_that_keeps_neighbours_near(count, batch_size, seed):
    sampler, generator = Sampler("f", count, batch_size, "blocks"), np.random.default_rng(seed)
    places = np.concatenate([sampler.draw(iteration, generator) for iteration in range(sampler.batches)])
    assert len(places) == min(sampler.batches * batch_size, count)
    np.testing.assert_array_equal(np.sort(sampler.order), np.arange(count))
    np.testing.assert_array_equal(places, sampler.order[: len(places)])
    for start in range(0, count, 8 * batch_size):
        runs = np.diff(np.sort(sampler.order[start : start + 8 * batch_size])) > 1
        assert runs.sum() <= 8  # nine if a shorter block is among them


def test_blocks_are_shuffled():
    sampler, generator = Sampler("f", 1000, 10, "blocks"), np.random.default_rng(1)
    batches = [sampler.draw(iteration, generator) for iteration in range(200)]
    assert not np.array_equal(np.concatenate(batches[:100]), np.concatenate(batches[100:]))
    assert np.mean([len(np.unique(batch // 10)) for batch in batches]) > 5  # the blocks of a batch
    assert np.abs(np.corrcoef(np.concatenate(batches[:100]), np.arange(1000))[0, 1]) < 0.5


class File:
    """A data set that supports only slices, and counts what is read."""

    def __init__(self, values):
        self.values, self.reads = values, []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, places):
        assert isinstance(places, slice)
        self.reads.append(len(self.values[places]))
        return self.values[places]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_a_file_gives_the_same_batches(method, batch_size):
    X, y = np.arange(40).reshape(20, 2) ** 2, np.arange(20)
    in_memory, in_file = (Sampler("f", 20, batch_size, method) for _ in range(2))
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    images, labels = File(X), File(y)
    for iteration in range(3 * in_memory.batches):
        expected = in_memory.batch(iteration, first, X, y)
        actual = in_file.batch(iteration, second, images, labels)
        for ours, theirs in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
            ours[...] = -1  # batches are copies
    assert images.reads == labels.reads
    if method == "blocks":
        assert sum(images.reads) == (20 if 8 * batch_size >= 20 else 3 * 20)  # once, or once in an epoch
    np.testing.assert_array_equal(X, np.arange(40).reshape(20, 2) ** 2)


def test_blocks_are_read_by_slices():
    file, sampler, generator = File(np.arange(1000)), Sampler("f", 1000, 10, "blocks"), np.random.default_rng(1)
    for iteration in range(100):
        sampler.batch(iteration, generator, file)
    assert sum(file.reads) == 1000
    assert len(file.reads) <= 100


def test_a_buffer_that_was_read_for_another_order_is_not_used():
    X = np.arange(100)
    sampler = Sampler("f", 100, 5, "blocks")
    sampler.batch(0, np.random.default_rng(1), File(X))
    sampler.order = np.random.default_rng(2).permutation(100)
    (actual,) = sampler.batch(1, None, File(X))
    np.testing.assert_array_equal(actual, sampler.order[5:10])


@pytest.mark.parametrize("sampling", METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_file_trains_as_arrays_do(tmp_path, sampling, dtype):
    parts = {name: value.astype(dtype) if value.ndim > 1 else value for name, value in data().items()}

    def trained(parts):
        model = nn.Sequential(nn.Linear(4, 3, seed=1, dtype=np.float32))
        solver = make(model, parts=parts, sampling=sampling, num_val_samples=5)
        solver.train()
        return everything(solver)

    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, value in parts.items():
            file.create_dataset(name, data=value, chunks=(3, *value.shape[1:]))
    with h5py.File(tmp_path / "data.h5") as file:
        assert_identical(trained(dict(file)), trained(parts))


@pytest.mark.parametrize("sampling", METHODS)
def test_memory_stays_flat_on_a_large_file(tmp_path, sampling):
    count, shape = 6000, (3, 32, 32)  # 18 MB, or 74 MB in float32
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, length in (("train", count), ("val", 200)):
            file.create_dataset(f"X_{name}", (length, *shape), np.uint8, chunks=(16, *shape), fillvalue=3)
            file[f"y_{name}"] = np.arange(length) % 3
    with h5py.File(tmp_path / "data.h5") as file:
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3, seed=1, dtype=np.float32))
        solver = make(model, parts=dict(file), sampling=sampling, batch_size=30, num_epochs=1, num_train_samples=100)
        tracemalloc.start()
        try:
            solver.train()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert solver.iteration == 200
    assert peak < 6_000_000  # a check of accuracies has batches of 100, in float32: 1.2 MB


class OnDisk:
    """A data set in a file, as in h5py, which must not be read as a whole."""

    def __init__(self, values, most=8):
        self._values, self._most, self.shape, self.dtype = values, most, values.shape, values.dtype

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        assert isinstance(key, slice)
        assert key.stop - key.start <= self._most
        return self._values[key].copy()

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read whole")


class Table:
    """A table as in pandas: with a NumPy dtype, indexed by labels instead of positions."""

    iloc = None

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        raise KeyError(key)

    def __array__(self, dtype=None, copy=None):
        return self._values


def test_a_data_set_in_a_file_is_never_read_whole(one_backend):
    parts = small_solver.data()
    files = {name: OnDisk(value) if name[0] == "X" else value for name, value in parts.items()}
    options = {"sampling": "epoch", "num_train_samples": 4, "num_val_samples": 4}
    expected, actual = small_solver.make(parts=parts, **options), small_solver.make(parts=files, **options)
    expected.train()
    actual.train()
    assert actual.loss_history == expected.loss_history
    classifier = linear_classifier.Softmax(seed=0)
    classifier.train(OnDisk(parts["X_train"]), parts["y_train"], num_iters=2, batch_size=4)
    predicted = classifier.predict(OnDisk(parts["X_train"], most=1000))
    np.testing.assert_array_equal(predicted, classifier.predict(parts["X_train"]))


def test_a_table_is_an_array(one_backend):
    parts = small_solver.data()
    actual = small_solver.run(parts={name: Table(value) for name, value in parts.items()})
    assert actual.loss_history == small_solver.run(parts=parts).loss_history


def test_slices_with_masked_numbers_raise(one_backend):
    class Masked(OnDisk):
        def __getitem__(self, key):
            return np.ma.MaskedArray(super().__getitem__(key), mask=False)

    parts = small_solver.data()
    with pytest.raises(TypeError, match=r"the slice \[.*\] is a masked array; masked arrays are not supported"):
        small_solver.make(parts={**parts, "X_train": Masked(parts["X_train"])}).train()
