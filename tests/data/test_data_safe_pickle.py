"""The restricted unpickler loads plain data and never executes anything."""

import contextlib
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data_utils.safe_pickle import load_dict


def saved(tmp_path, content):
    path = tmp_path / "batch"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_come_back(tmp_path, protocol):
    expected = {"labels": [0, 1, -(2**70), 2.5, True, None], "names": ["a", "ü"], "nested": {"x": (1, [2])}}
    assert load_dict(saved(tmp_path, pickle.dumps(expected, protocol))) == expected


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4", "f4", "f8", "?"])
def test_arrays_come_back(tmp_path, protocol, dtype):
    expected = np.arange(24).reshape(2, 3, 4).astype(dtype)
    tree = {
        "C": expected,
        "F": np.asfortranarray(expected),
        "empty": expected[:0],
        "scalar": np.array(expected[1, 2, 3]),
    }
    actual = load_dict(saved(tmp_path, pickle.dumps(tree, protocol)))
    assert list(actual) == list(tree)
    for name, array in tree.items():
        assert type(actual[name]) is np.ndarray
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


def test_names_of_old_and_new_numpy(tmp_path):
    content = pickle.dumps({"data": np.arange(5, dtype=np.uint8)}, protocol=3)
    new, old = (b"c" + name + b".multiarray\n_reconstruct" for name in (b"numpy._core", b"numpy.core"))
    for one, other in ((old, new), (new, old)):
        np.testing.assert_array_equal(load_dict(saved(tmp_path, content.replace(one, other)))["data"], np.arange(5))


def test_strings_of_python_2_are_bytes_and_keys_are_text(tmp_path):
    assert load_dict(saved(tmp_path, b"\x80\x02}U\x03keyU\x02\xff\x00s.")) == {"key": b"\xff\x00"}


class Call:
    """An object that pickles as a function call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__, np.load, np.frombuffer, np.float64])
def test_a_call_raises_and_is_not_made(tmp_path, protocol, function):
    mark = tmp_path / "mark"
    argument = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    content = pickle.dumps({"data": Call(function, argument)}, protocol)
    with pytest.raises(ValueError, match=r"batch cannot be read as plain data: it asks for \S+, which is not data"):
        load_dict(saved(tmp_path, content))
    assert not mark.exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
DTYPE = b"cnumpy\ndtype\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02}",
        b"\x80\x02].",
        b"hello",
        b"\x80\x02}U\x01acbuiltins\neval\ns.",
        b"\x80\x04}\x8c\x01a\x8c\x05numpy\x8c\x10ndarray.__class__\x93s.",
        b"\x80\x02}U\x01acnumpy\nndarray\n)Rs.",
        b"\x80\x02}U\x01acnumpy\nndarray\n}U\x01xK\x01sbs.",
        b"\x80\x02}U\x01a" + RECONSTRUCT + b")Rs.",
        b"\x80\x02}U\x01a" + RECONSTRUCT + b")R(K\x01K\x05\x85NK\x00U\x05hellotbs.",
        b"\x80\x02}U\x01a" + RECONSTRUCT + b")R(K\x01K\x05\x85" + DTYPE + b"U\x02u1\x85R\x89U\x04helltbs.",
        b"\x80\x02}U\x01a" + DTYPE + b"U\x01O\x85Rs.",
        b"\x80\x02}U\x01a" + DTYPE + b"U\x02u3\x85Rs.",
        b"\x80\x02}U\x01a" + DTYPE + b"U\x05u1,O8\x85Rs.",
        b"\x80\x02}U\x01a" + DTYPE + b"U\x02O8\x85R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbs.",
        b"\x80\x02}U\x01aPsomething\ns.",
        b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"U\x01a\x8e" + struct.pack("<Q", 2**60) + b"s.",
        b"\x80\x02" + b"(" * 10 + b"u.",
    ],
    ids=range(18),
)
def test_pickles_of_other_than_plain_data_raise(tmp_path, content):
    with pytest.raises(
        ValueError, match=r"load_dict: .*batch cannot be read as plain data: .+; expected a pickled dict"
    ):
        load_dict(saved(tmp_path, content))


def doubled(depth):
    """Return a tuple of two equal tuples, nested: hashing or printing it takes 2 ** depth steps."""
    return b"K\x01" + b"2\x86" * depth


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"}" + doubled(60) + b"K\x01s.", "it has a dict with keys that are not text"),
        (b"}(" + doubled(60) + b"K\x01u.", "it has a dict with keys that are not text"),
        (b"(" + doubled(60) + b"K\x01d.", "it has a dict with keys that are not text"),
        (b"}U\x01a" + DTYPE + doubled(60) + b"\x85Rs.", "it has a tuple in place of text"),
        (b"}U\x01a\x96" + struct.pack("<Q", 2**36) + b"s.", "EOFError"),  # no memory is taken
        (b"}U\x01a\x82\x01s.", "it uses an operation that plain data do not need"),
        (b"}U\x01a\x83\x01\x00s.", "it uses an operation that plain data do not need"),
        (b"}U\x01a\x84\x01\x00\x00\x00s.", "it uses an operation that plain data do not need"),
        (b"}U\x01a\x8fs.", "it uses an operation that plain data do not need"),
        (b"}U\x01a(" + doubled(60) + b"\x91s.", "it uses an operation that plain data do not need"),
        (b"}U\x01a" + RECONSTRUCT + b"}U\x04noteK\x01sbs.", "it sets attributes of what is not an array"),
    ],
    ids=range(11),
)
def test_steps_that_would_do_harm(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"batch cannot be read as plain data: {message}; expected"):
        load_dict(saved(tmp_path, b"\x80\x05" + content))


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_dict(tmp_path / "batch")


@settings(max_examples=200)
@given(position=st.integers(0, 10_000), replacement=st.binary(max_size=6))
def test_damage_anywhere_gives_data_or_the_error(tmp_path, position, replacement):
    content = pickle.dumps({"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2]}, protocol=3)
    position %= len(content)
    damaged = content[:position] + replacement + content[position + len(replacement) :]
    with contextlib.suppress(ValueError):
        assert isinstance(load_dict(saved(tmp_path, damaged)), dict)
