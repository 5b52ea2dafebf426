"""The sum over shards: one tree, whatever the number of ranks."""

import functools

import numpy as np
import pytest
from shard_arrays import SHAPES, expected, values
from thread_ranks import on_ranks

from fastnn.distributed.flat import Flat
from fastnn.distributed.ranks import Ranks
from fastnn.distributed.tree import Tree


def mean(comm, shards, repeats=2):
    tree = Tree(Ranks(comm), shards, SHAPES)

    def fill(is_new, shard, flat, ready):
        for name, value in values(shard).items():
            flat.put(name, value, is_new)

    for repeat in range(repeats):
        result = tree.mean(functools.partial(fill, repeat == 1))
    return {name: value.copy() for name, value in result.arrays.items()}, tree.sent


@pytest.mark.parametrize("shards", [1, 2, 4, 8, 16])
def test_every_number_of_ranks_gives_the_bits_of_the_tree(shards):
    for size in (1, 2, 4, 8):
        if shards % size == 0:
            for actual, _ in on_ranks(size, lambda comm: mean(comm, shards)):
                for name, array in expected(shards).items():
                    assert actual[name].tobytes() == array.tobytes(), (size, name)


@pytest.mark.parametrize(("size", "share"), [(2, 1), (4, 1.5), (8, 1.75)])
def test_a_rank_sends_less_than_twice_the_buffer(size, share):
    length = sum(array.nbytes for array in values(0).values()) - 8
    short = 8 * (size.bit_length() - 1)  # the loss, sent whole on every level
    for _, sent in on_ranks(size, lambda comm: mean(comm, 8, repeats=1)):
        assert abs(sent - short - share * length) < 8 * 3 * 4


def test_a_shard_that_raises_leaves_the_tree_usable():
    calls = []

    def fill(shard, flat, ready):
        calls.append(shard)
        if len(calls) == 3:
            raise ZeroDivisionError
        for name, value in values(shard).items():
            flat.put(name, value)

    def work(comm):
        tree = Tree(Ranks(comm), 4, SHAPES)
        with pytest.raises(ZeroDivisionError):
            tree.mean(fill)
        return tree.mean(fill).arrays["W"].copy()

    (actual,) = on_ranks(1, work)
    np.testing.assert_array_equal(actual, expected(4)["W"])


def test_short_arrays_lie_together_by_dtype():
    flat = Flat(SHAPES)
    assert [segment.dtype for segment in flat.segments] == [np.float64, np.float32, np.float32, np.float32]
    flat.put("b", np.full(5, 3.0))
    assert (flat.segments[1] == 3).sum() >= 5
    assert flat.arrays["none"].shape == (0, 3)


def test_a_long_array_that_is_new_is_not_copied():
    flat, new = Flat(SHAPES), values(0)["long"]
    flat.put("long", new, is_new=True)
    assert flat.arrays["long"] is new
    assert np.shares_memory(flat.segments[-2], new)
    unfit = new.astype(np.float64), new.T.copy().T, new[:]
    for value, is_new in ((new, False), *((value, True) for value in unfit)):
        flat.put("long", value, is_new)
        assert not np.shares_memory(flat.arrays["long"], value)
        np.testing.assert_array_equal(flat.arrays["long"], new)
    with pytest.raises(TypeError, match="same_kind"):
        flat.put("b", np.full(5, 1j))


def test_an_array_that_is_two_gradients_is_copied_once():
    shapes = {name: ((600, 500), np.dtype(np.float32)) for name in "AB"}
    flat, both = Flat(shapes), np.ones((600, 500), np.float32)
    flat.put("A", both, is_new=True)
    flat.put("B", both, is_new=True)
    flat.add(flat)
    assert (flat.arrays["A"] == 2).all()
    assert (flat.arrays["B"] == 2).all()


@pytest.mark.parametrize("length", [5, 5000])
def test_numbers_that_are_not_finite_are_added_in_silence(length):
    """The Solver explains them; `scale` is 1 on all levels but the last."""

    def work(comm):
        def fill(shard, flat, ready):
            flat.put("W", np.full(length, [np.inf, -np.inf, 3e38, 3e38][shard], np.float32))

        return Tree(Ranks(comm), 4, {"W": ((length,), np.dtype(np.float32))}).mean(fill).arrays["W"]

    for size in (1, 2, 4):
        for actual in on_ranks(size, work):
            assert np.isnan(actual).all()
