"""Checkpoint files: round trips, atomic replacement, and errors for damaged files."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from checkpoint_trees import assert_identical, tree_of_everything

import fastnn
from fastnn.checkpoint import load, save
from fastnn.checkpoint import tree as checkpoint_tree


def test_everything_survives_a_round_trip(tmp_path):
    tree = tree_of_everything()
    save(tmp_path / "run.h5", tree)
    assert_identical(load(tmp_path / "run.h5"), tree)


def test_generator_continues_where_it_was(tmp_path):
    generator = np.random.Generator(np.random.MT19937(3))
    generator.standard_normal(5)
    save(tmp_path / "run.h5", {"generator": generator.bit_generator.state})
    expected = generator.standard_normal(5)
    generator.bit_generator.state = load(tmp_path / "run.h5")["generator"]
    np.testing.assert_array_equal(generator.standard_normal(5), expected)


def test_arrays_of_any_layout(tmp_path):
    x = np.arange(24.0).reshape(2, 3, 4)
    save(tmp_path / "run.h5", {"fortran": np.asfortranarray(x), "view": x[:, ::-1, ::2]})
    actual = load(tmp_path / "run.h5")
    np.testing.assert_array_equal(actual["fortran"], x)
    np.testing.assert_array_equal(actual["view"], x[:, ::-1, ::2])


def test_other_tools_can_read_it(tmp_path):
    save(tmp_path / "run.h5", {"params": {"W1": np.ones((2, 3))}, "epoch": 4})
    with h5py.File(tmp_path / "run.h5") as file:
        assert file.attrs["format"] == "fastnn checkpoint"
        assert file.attrs["format_version"] == 2
        assert file.attrs["fastnn_version"] == fastnn.__version__
        assert file["params/W1"].shape == (2, 3)
        assert file["epoch"][()] == 4


def test_a_second_later_the_bytes_are_the_same(tmp_path):
    """HDF5 1 records the time in every group by default."""
    for name in ("now.h5", "later.h5"):
        save(tmp_path / name, {"params": {"W1": np.ones((2, 3))}, "layers": [{}, "a"]})
        time.sleep(1.1)
    assert (tmp_path / "now.h5").read_bytes() == (tmp_path / "later.h5").read_bytes()


def test_long_histories_are_one_dataset(tmp_path):
    save(tmp_path / "run.h5", {"loss_history": [0.5] * 100_000})
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["loss_history"].shape == (100_000,)


def test_previous_file_is_kept(tmp_path):
    path = tmp_path / "folder" / "run.h5"
    for number in range(3):
        save(path, {"number": number})
    assert load(path) == {"number": 2}
    assert load(f"{path}.prev") == {"number": 1}
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["run.h5", "run.h5.prev"]


def test_previous_file_is_kept_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    for number in range(2):
        save(tmp_path / "run.h5", {"number": number})
    assert load(tmp_path / "run.h5.prev") == {"number": 0}


def test_leftovers_of_a_killed_process_do_no_harm(tmp_path):
    path = tmp_path / "run.h5"
    save(path, {"number": 0})
    (tmp_path / "run.h5.tmp").write_bytes(b"half a file")
    os.link(path, tmp_path / "run.h5.prev")
    os.link(path, tmp_path / "run.h5.prev.tmp")
    save(path, {"number": 1})
    assert (load(path), load(f"{path}.prev")) == ({"number": 1}, {"number": 0})
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("step", ["_write_file", "_verify", "_keep_previous"])
def test_old_file_survives_a_failure(tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError("no space left")

    path = tmp_path / "run.h5"
    save(path, {"number": 0})
    monkeypatch.setattr(checkpoint_tree, step, fail)
    with pytest.raises(OSError, match=r"save: path=.*could not be written: no space left; expected a writable folder"):
        save(path, {"number": 1})
    assert load(path) == {"number": 0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


def test_what_was_written_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_tree, "load", lambda path: {"number": 2})
    with pytest.raises(OSError, match="reads back differently"):
        save(tmp_path / "run.h5", {"number": 1})


def test_what_was_written_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_tree, "_write_file", lambda path, tree: path.write_bytes(b"nonsense"))
    with pytest.raises(OSError, match="cannot be read back"):
        save(tmp_path / "run.h5", {"number": 1})


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written"):
        save(tmp_path / "file" / "run.h5", {})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([1], "tree=list cannot be saved; expected a dict"),
        ({"a": {1: 2}}, r"tree\['a'\] has the key 1; expected non-empty strings"),
        ({"": 2}, "tree has the key ''"),
        ({"a": [1, {2}]}, r"tree\['a'\]\[1\] is a set; expected dicts"),
        ({"a": np.array([None])}, r"tree\['a'\] has dtype object; expected booleans or numbers"),
        ({"a": np.array(["x"])}, "has dtype <U1"),
        ({"a": save}, "is a function"),
    ],
)
def test_what_cannot_be_saved(tmp_path, tree, message):
    with pytest.raises(TypeError, match=f"^save: .*{message}"):
        save(tmp_path / "run.h5", tree)
    assert list(tmp_path.iterdir()) == []


def test_text_that_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match=r"save: tree\['a'\]='x\\x00' cannot be stored.*expected plain text"):
        save(tmp_path / "run.h5", {"a": "x\0"})


def test_missing_file_names_the_nearest(tmp_path):
    save(tmp_path / "checkpoint.h5", {})
    with pytest.raises(FileNotFoundError, match=r"is not a file; .*did you mean 'checkpoint.h5'"):
        load(tmp_path / "chekpoint.h5")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'checkpoint.h5'"):
        load(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="it is a folder; name the file in it"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist either"):
        load(tmp_path / "nowhere" / "checkpoint.h5")


def test_missing_file_in_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the name"):
        load(tmp_path / "checkpoint.h5")


def test_other_files_raise(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "page").write_text("<!DOCTYPE html><p>log in first")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    for name in ("empty", "page", "other.h5"):
        with pytest.raises(
            ValueError, match=f"load: path='.*{name}' is not a checkpoint; expected .* use '{name}.prev'"
        ):
            load(tmp_path / name)


def test_another_version_of_the_format_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(fastnn, "__version__", "7.8")
    save(tmp_path / "run.h5", {})
    monkeypatch.setattr(checkpoint_tree, "FORMAT_VERSION", 1)
    with pytest.raises(ValueError, match=r"has format version 2; expected 1; use the fastnn that wrote it, 7\.8"):
        load(tmp_path / "run.h5")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    save(tmp_path / "run.h5", {})
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(PermissionError, match=r"load: path=.* cannot be opened: .* denied; .*check its permissions"):
        load(tmp_path / "run.h5")


def test_everything_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    events = []
    fsync, replace, verify = os.fsync, os.replace, checkpoint_tree._verify

    def recorded_fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else "unknown"
        events.append(("fsync", os.path.basename(path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append(("replace", new.name)), replace(old, new)))
    monkeypatch.setattr(
        checkpoint_tree, "_verify", lambda path, tree: (events.append(("read", path.name)), verify(path, tree))
    )
    save(tmp_path / "run.h5", {"number": 1})
    names = {"fsync": ["run.h5.tmp", tmp_path.name], "read": ["run.h5.tmp"], "replace": ["run.h5"]}
    assert [kind for kind, _ in events] == ["fsync", "read", "replace", "fsync"]
    for kind, expected in names.items():
        found = [name for what, name in events if what == kind]
        assert found == expected or "unknown" in found
