"""DataLoader and SubsetRandomSampler: batches, orders, seeds, files, threads, errors."""

import gc
import threading

import h5py
import numpy as np
import pytest

import fastnn
from fastnn import augment
from fastnn.autograd import Tensor
from fastnn.data_utils import DataLoader, SubsetRandomSampler
from fastnn.data_utils import sampler as samplers

X = np.arange(70.0).reshape(10, 7)
Y = np.arange(10)
PREFETCH = pytest.mark.parametrize("prefetch", [0, 1, 2, 50])


def labels(loader):
    return [y.tolist() for _, y in loader]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "fastnn DataLoader"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert threads() == []


@PREFETCH
def test_batches_are_tensors_in_order(backend, prefetch):
    loader = DataLoader((X, Y), batch_size=4, prefetch=prefetch)
    assert len(loader) == 3
    for _ in range(2):  # every iteration is an epoch
        start = 0
        for x, y in loader:
            assert type(x) is type(y) is Tensor
            np.testing.assert_array_equal(x.numpy(), X[start : start + 4])
            np.testing.assert_array_equal(y.numpy(), Y[start : start + 4])
            start += 4
        assert start == 12


def test_the_loop_of_the_course():
    for t, (x, y) in enumerate(DataLoader((X, Y), batch_size=5)):
        x = x.to(device="cpu", dtype=np.float32)
        y = y.to(device="cpu", dtype=np.int64)
        assert x.dtype == np.float32
        assert y.tolist() == [5 * t + i for i in range(5)]


@PREFETCH
def test_an_incomplete_batch_may_be_dropped(prefetch):
    loader = DataLoader((X, Y), batch_size=4, drop_last=True, prefetch=prefetch)
    assert len(loader) == len(labels(loader)) == 2
    assert len(DataLoader(X, batch_size=11, drop_last=True)) == 0
    assert len(DataLoader(X, batch_size=11)) == 1


def test_one_array_gives_tensors():
    assert [batch.tolist() for batch in DataLoader(Y, batch_size=6)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


def test_tensors_and_more_arrays_are_data_sets():
    batches = list(DataLoader((Tensor(X), Y, Y * 2), batch_size=10))
    assert [part.shape for part in batches[0]] == [(10, 7), (10,), (10,)]


def test_a_dict_has_parts():
    data = {"X_train": X, "y_train": Y, "X_val": X[:3], "y_val": Y[:3] + 100}
    assert labels(DataLoader(data, batch_size=10)) == [list(range(10))]
    assert labels(DataLoader(data, batch_size=10, part="val")) == [[100, 101, 102]]
    with pytest.raises(ValueError, match=r"^DataLoader: dataset lacks the keys? 'X_test'"):
        DataLoader(data, part="test")


def test_batches_are_copies():
    values = X.copy()
    for (x,) in DataLoader((values,), batch_size=3):
        x.zero_()
    np.testing.assert_array_equal(values, X)


# ---- orders and seeds ----


@PREFETCH
def test_shuffling_draws_a_new_permutation_for_each_epoch(prefetch):
    loader = DataLoader((X, Y), batch_size=3, shuffle=True, seed=7, prefetch=prefetch)
    epochs = [np.concatenate(labels(loader)) for _ in range(2)]
    generator = np.random.default_rng(7)
    for epoch in epochs:
        np.testing.assert_array_equal(epoch, generator.permutation(10))


def test_without_a_seed_numpys_global_state_decides():
    np.random.seed(3)
    first = labels(DataLoader((X, Y), shuffle=True))
    np.random.seed(3)
    assert labels(DataLoader((X, Y), shuffle=True)) == first
    assert labels(DataLoader((X, Y), shuffle=True)) != first


def test_subsets_in_random_order():
    sampler = SubsetRandomSampler(range(2, 8), seed=1)
    loader = DataLoader((X, Y), batch_size=4, sampler=sampler)
    assert len(sampler) == 6
    assert len(loader) == 2
    epochs = [np.concatenate(labels(loader)).tolist() for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(2, 8))] * 2
    assert epochs[0] != epochs[1]
    again = SubsetRandomSampler(range(2, 8), seed=1)
    assert [list(again), list(again)] == epochs
    assert samplers.SubsetRandomSampler is SubsetRandomSampler


def test_any_iterable_of_row_numbers_is_a_sampler():
    assert labels(DataLoader((X, Y), batch_size=2, sampler=[3, 3, 1])) == [[3, 3], [1]]
    assert labels(DataLoader((X, Y), batch_size=2, sampler=(i for i in (5, 4)))) == [[5, 4]]


@PREFETCH
def test_transforms_draw_from_a_generator_of_their_own(prefetch):
    images = np.random.default_rng(0).standard_normal((6, 3, 8, 8))
    options = {"batch_size": 4, "transform": augment.Augment(padding=2, flip=0.5), "prefetch": prefetch}
    np.random.seed(0)
    found = [x.numpy() for x, _ in DataLoader((images, Y[:6]), **options)]
    np.random.seed(0)
    expected = []
    for x, _ in DataLoader((images, Y[:6]), **options):
        np.random.standard_normal(3)  # as a training step with dropout
        expected.append(x.numpy())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(np.concatenate(found), images)


# ---- files ----


@PREFETCH
def test_data_sets_in_a_file_are_read_by_batches(tmp_path, prefetch):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = X, Y
        for options in ({}, {"shuffle": True, "seed": 2}, {"sampler": [9, 0, 0]}):
            expected = DataLoader((X, Y), batch_size=3, prefetch=0, **options)
            actual = DataLoader((file["X"], file["y"]), batch_size=3, prefetch=prefetch, **options)
            for (x, y), (x_file, y_file) in zip(expected, actual, strict=True):
                np.testing.assert_array_equal(x.numpy(), x_file.numpy())
                np.testing.assert_array_equal(y.numpy(), y_file.numpy())


# ---- threads ----


@PREFETCH
def test_the_thread_ends_when_a_loop_is_left(prefetch):
    loader = DataLoader((X, Y), prefetch=prefetch)
    for _ in range(20):
        for _batch in loader:
            break
        assert threads() == []
    iterator = iter(loader)
    next(iterator)
    iterator.close()
    assert threads() == []
    with pytest.raises(StopIteration):
        next(iterator)


def test_the_thread_ends_when_a_loop_raises():
    def fail():
        for _ in DataLoader((X, Y)):
            raise KeyError

    for _ in range(5):
        with pytest.raises(KeyError):
            fail()
        gc.collect()
        assert threads() == []


def test_iterators_of_one_loader_are_independent():
    loader = DataLoader((X, Y), batch_size=5)
    assert [(a.tolist()[0], b.tolist()[0]) for (_, a) in loader for (_, b) in loader] == [
        (0, 0),
        (0, 5),
        (5, 0),
        (5, 5),
    ]


def test_no_more_batches_are_read_ahead_than_asked_for():
    read = []
    transform = lambda images, generator: read.append(1) or images  # noqa: E731
    iterator = iter(DataLoader((X, Y), prefetch=2, transform=transform))
    next(iterator)
    iterator.close()
    assert len(read) <= 1 + 2 + 1 + 1  # taken, in the queue, waiting for room, put while the queue was emptied


@PREFETCH
def test_errors_of_a_transform_are_raised_in_the_loop(prefetch):
    def broken(images, generator):
        if images[0, 0] > 30:
            raise OSError("broken")
        return images

    batches = iter(DataLoader((X, Y), batch_size=3, transform=broken, prefetch=prefetch))
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(OSError, match="broken"):
        next(batches)


@PREFETCH
def test_a_transform_computes_on_the_active_backend(prefetch):
    found = []
    with fastnn.use_backend("naive"):
        list(DataLoader(X, transform=lambda x, _: found.append(fastnn.get_backend()) or x, prefetch=prefetch))
    assert set(found) == {"naive"}


# ---- errors ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataLoader((X, Y[:3])), r"dataset has arrays of \[10, 3\] rows; expected as many labels as images"),
        (lambda: DataLoader(X[:0]), r"dataset has arrays of \[0\] rows"),
        (lambda: DataLoader((X, "abc")), "dataset contains 'abc'; expected arrays"),
        (lambda: DataLoader(X.astype(np.float16)), "dataset contains an array of float16"),
        (lambda: DataLoader(X, batch_size=0), "batch_size=0"),
        (lambda: DataLoader(X, shuffle=True, sampler=[1]), "shuffle=True does not fit a sampler"),
        (lambda: DataLoader(X, sampler=3), "sampler=3 is not an iterable"),
        (lambda: list(DataLoader(X, sampler=[10])), "sampler contains 10; expected row numbers from 0 to 9"),
        (lambda: list(DataLoader(X, sampler=[-1])), "sampler contains -1; expected row numbers from 0 to 9"),
        (lambda: list(DataLoader(X, sampler=[0.5])), "sampler=.* is an array of float64"),
        (lambda: len(DataLoader(X, sampler=iter([1]))), "sampler=.* has no length"),
        (lambda: list(DataLoader(X, transform=lambda x, _: x[:0])), r"the result of transform has the shape \(0, 7\)"),
        (lambda: list(DataLoader(X, transform=lambda x, _: None)), "the result of transform"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises((ValueError, TypeError), match=f"^DataLoader: {message}"):
        make()


@pytest.mark.parametrize("indices", [[], [-1], [0.5], 3, "ab"])
def test_bad_subsets_raise(indices):
    with pytest.raises((ValueError, TypeError), match=r"^SubsetRandomSampler: indices"):
        SubsetRandomSampler(indices)
