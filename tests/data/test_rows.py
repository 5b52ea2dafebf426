"""Rows of arrays in memory: the same as NumPy's, whatever the backend copies them with."""

import numpy as np
import pytest

from fastnn.data_utils.rows import rows
from fastnn.kernels import use_backend

SHAPES = {
    "images": (40, 3, 32, 32),
    "odd rows": (300, 1001),
    "short rows": (40000, 3),
    "few bytes": (5, 2),
    "labels": (9,),
}


def kinds(shape):
    """Arrays of each kind of number and layout, with values that differ from row to row, NaN included."""
    values = np.random.default_rng(0).integers(0, 200, shape)
    for dtype in (np.float32, np.float64, np.uint8, np.int64, bool):
        yield values.astype(dtype)
    special = values.astype(np.float32)
    special.reshape(-1)[::7] = np.nan
    yield special
    yield np.asfortranarray(special)
    yield special[::2]
    read_only = special.copy()
    read_only.flags.writeable = False
    yield read_only


@pytest.mark.parametrize("backend", ["njit", "vectorized"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rows_of_arrays_in_memory(shape, backend):
    for array in kinds(shape):
        count, generator = len(array), np.random.default_rng(1)
        chosen = generator.integers(-count, count, count)
        for positions in (chosen, np.sort(chosen), chosen[::2], chosen.astype(np.int32), chosen[:0], slice(1, 3)):
            with use_backend(backend):
                found = rows(array, positions)
            expected = array[positions]
            assert found.dtype == expected.dtype and found.shape == expected.shape
            assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("position", [40, -41, 2**62, -(2**63)])
def test_a_row_that_does_not_exist(position):
    images = np.zeros(SHAPES["images"], np.float32)
    positions = np.arange(40)
    positions[17] = position
    with pytest.raises(IndexError, match=str(position)):
        rows(images, positions)


def test_the_copy_of_all_rows_is_a_copy():
    images = np.zeros(SHAPES["images"], np.float32)
    rows(images, np.arange(40))[...] = 1
    assert not images.any()
