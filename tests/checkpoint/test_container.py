"""Damaged and malicious checkpoints raise one clear error, without the HDF5 library and without large allocations."""

import json
import subprocess
import sys
import tracemalloc

import forged_checkpoints
import h5py
import numpy as np
import pytest

from fastnn import checkpoint
from fastnn.checkpoint import container

TREE = {"W": np.arange(300.0).reshape(3, 100), "b": np.arange(10), "flags": np.array([True, False]), "name": "läuft"}


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "run.h5", TREE)
    return tmp_path / "run.h5"


def assert_raises(path, message):
    """Assert that loading raises an error about damage, with less memory than the size of the file."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"^load: path='.*' is damaged: .*{message}.*; expected a whole fastnn"):
            checkpoint.load(path)
        assert tracemalloc.get_traced_memory()[1] < 300_000 + 40 * path.stat().st_size
    finally:
        tracemalloc.stop()


# ---- damage ----


@pytest.mark.parametrize("share", [0.3, 0.5, 0.999])
def test_a_truncated_file(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_raises(path, rf"it has {int(share * len(whole)):,} bytes of {len(whole):,}")


def test_a_file_that_is_too_long(path):
    path.write_bytes(path.read_bytes() + b"\0")
    assert_raises(path, "it has [0-9,]+ bytes of")


def test_a_line_that_continues_with_other_things(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:511] + b"!" + whole[512:])
    assert_raises(path, "its first line is malformed")


@pytest.mark.parametrize("part", ["numbers", "HDF5 around them", "manifest"])
def test_a_single_bit(path, part):
    whole = bytearray(path.read_bytes())
    numbers = whole.index(TREE["W"].tobytes())
    whole[{"numbers": numbers + 1234, "HDF5 around them": numbers - 20, "manifest": -3}[part]] ^= 1
    path.write_bytes(whole)
    assert_raises(path, "its content is not what was written: the digest differs")


def test_the_digest_covers_what_stands_before_it(path):
    whole = path.read_bytes()
    length = int(container._HEADER.fullmatch(whole[:512])[3])
    path.write_bytes(whole.replace(b"manifest %d," % length, b"manifest %d," % (length - 1), 1))
    assert_raises(path, "the digest differs")


def test_a_change_with_another_program(path):
    with h5py.File(path, "r+") as file:
        file["W"][0, 0] = 7
    assert_raises(path, "it has [0-9,]+ bytes of")  # the library truncates what it does not know


# ---- malicious files with a valid digest ----


MANIFESTS = {
    "no JSON": (b"[", "Expecting value"),
    "no text": (b"\xff\xfe\xfd", "can't decode"),
    "nothing but a number": (["int", "5"], "it holds a int, not a dict"),
    "a float": ([1.5], r"its manifest holds \['1.5'\]"),
    "an unknown kind": (["dict", {"a": ["pickle", "x"]}], r"its manifest holds \['pickle', 'x'\]"),
    "a kind of another shape": (["dict", {"a": ["float", "<f8", [3], 512]}], "its manifest holds .'float'"),
    "a number under another name": (["dict", {"a": ["bool", "<f8", [], 512]}], "its manifest holds .'bool'"),
    "objects": (["dict", {"a": ["array", "|O8", [3], 512]}], r"its manifest holds an array of \['.O8'"),
    "texts": (["dict", {"a": ["array", "<U8", [3], 512]}], "its manifest holds an array of .'<U8'"),
    "a dtype that there is not": (["dict", {"a": ["array", "<f3", [3], 512]}], "data type '<f3' not understood"),
    "structures": (["dict", {"a": ["array", "f8,O", [3], 512]}], "its manifest holds an array of .'f8,O'"),
    "a negative length": (["dict", {"a": ["array", "<f8", [-1, -3], 512]}], "its manifest holds an array of"),
    "a length that is none": (["dict", {"a": ["array", "<f8", [True], 512]}], "its manifest holds an array of"),
    "a terabyte": (["dict", {"a": ["array", "<f8", [2**37], 512]}], r"its manifest claims 1.1e\+12 bytes at 512"),
    "numbers beyond all bounds": (["dict", {"a": ["array", "<f8", [10**400], 512]}], "its manifest claims '8000"),
    "digits without end": (b'["dict",{"a":["array","<f8",[1' + b"0" * 10_000 + b"],512]}]", "Exceeds the limit"),
    "an int without end": (["dict", {"a": ["int", "1" * 10_000]}], "Exceeds the limit"),
    "too many dimensions": (["dict", {"a": ["array", "<f8", [1] * 100, 512]}], "maximum supported dimension"),
    "the user block": (["dict", {"a": ["array", "<u1", [3], 0]}], "its manifest claims 3 bytes at 0"),
    "the manifest": (["dict", {"a": ["array", "<u1", [3], 10**6]}], "its manifest claims 3 bytes at 1e.06"),
    "what lies before the file": (["dict", {"a": ["array", "<u1", [3], -5]}], "its manifest claims 3 bytes at -5"),
    "the same bytes again and again": (["list", [["array", "<u1", [4000], 512]] * 9], "its manifest claims 4e.03"),
    "depth": (b'["list",[' * 100_000, "recursion"),
    "depth in order": (b'["list",[' * 900 + b"]]" * 900, "recursion|not a dict"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_harms(path, name):
    content, message = MANIFESTS[name]
    hdf5, _ = forged_checkpoints.parts(path)
    assert_raises(forged_checkpoints.write(path, hdf5, content), message)


def test_an_invalid_boolean(path):
    hdf5, entries = forged_checkpoints.parts(path)
    place = entries[1]["flags"][3] - container.USER_BLOCK
    assert hdf5[place : place + 2] == b"\1\0"
    assert_raises(
        forged_checkpoints.write(path, hdf5[:place] + b"\x02" + hdf5[place + 1 :], entries), "neither 0 nor 1"
    )


def test_a_manifest_longer_than_the_file(path):
    whole = path.read_bytes()
    length = int(container._HEADER.fullmatch(whole[:512])[3])
    path.write_bytes(whole.replace(b"manifest %d," % length, b"manifest 10000000,", 1)[: len(whole)])
    assert_raises(path, "its manifest of 10,000,000 bytes does not fit")


LINKS = {
    "external link": lambda file: file.__setitem__("W", h5py.ExternalLink("other.h5", "/")),
    "soft link": lambda file: file.__setitem__("W", h5py.SoftLink("/b")),
    "hard link in a circle": lambda file: file.__setitem__("W", file),
    "external storage": lambda file: file.create_dataset("W", (300,), "u1", external=[("raw", 0, 300)]),
    "virtual dataset": lambda file: file.create_virtual_dataset("W", virtual_layout()),
    "chunks that are not there": lambda file: file.create_dataset("W", (2**20, 2**20), "f8", chunks=(64, 64)),
    "a bomb in gzip": lambda file: file.create_dataset("W", (2**24,), "u1", compression="gzip", fillvalue=1),
    "attributes without end": lambda file: file.attrs.update({f"a{i}": np.zeros(1000) for i in range(64)}),
    "another object": lambda file: file.__setitem__("W", np.dtype("f8")),
}


def virtual_layout():
    layout = h5py.VirtualLayout((3, 100), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 100))
    return layout


@pytest.mark.parametrize("name", LINKS)
def test_what_hdf5_could_do_is_never_done(path, name):
    """Numbers are read as in the manifest; links, filters and layouts of HDF5 are never followed."""
    with h5py.File(path, "r+") as file:
        if name != "attributes without end":
            del file["W"]
        LINKS[name](file)
    assert_raises(path, "its content is not what was written|bytes of")
    content = path.read_bytes()[container.USER_BLOCK :]
    forged_checkpoints.write(path, content, ["dict", {"magic": ["array", "|u1", [8], 512]}])
    assert checkpoint.load(path)["magic"].tobytes() == b"\x89HDF\r\n\x1a\n"


def test_reading_needs_no_hdf5_library(path):
    code = "import sys; from fastnn import checkpoint; print(*checkpoint.load(sys.argv[1]), 'h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["W", "b", "flags", "name", "False"]


def test_the_manifest_is_as_described(path):
    _, entries = forged_checkpoints.parts(path)
    kind, members = entries
    assert kind == "dict"
    assert list(members) == list(TREE)
    assert members["name"] == ["str", "läuft"]
    assert members["b"][:3] == ["array", "<i8", [10]]
    assert path.read_bytes()[members["b"][3] :][:80] == TREE["b"].tobytes()
    json.dumps(entries, allow_nan=False)
