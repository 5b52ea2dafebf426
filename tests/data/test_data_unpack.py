"""Archives of CIFAR-10: valid ones are unpacked, malicious and damaged ones raise."""

import gzip
import tarfile
import tracemalloc

import pytest
from cifar10_archives import BINARY, archive_of, good_archive, good_members, names
from cifar10_files import write

from fastnn.data_utils.unpack import unpack


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def assert_raises(members, tmp_path, message):
    """Assert that unpacking raises and leaves no files behind."""
    target = tmp_path / "a" / "b"
    archive = write(target, {"evil.tar.gz": archive_of(members)}) / "evil.tar.gz"
    with pytest.raises(ValueError, match=message):
        unpack(archive, BINARY, target)
    assert names(target) == ["evil.tar.gz"]
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["b"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "../../data_batch_1.bin",
        "/tmp/fastnn_evil",
        "cifar-10-batches-bin/../../evil",
        "cifar-10-batches-bin/sub/data_batch_1.bin",
        "data_batch_1.bin",
        "cifar-10-batches-py/data_batch_1",
        "cifar-10-batches-bin/data_batch_6.bin",
        "C:\\evil",
    ],
)
def test_unexpected_names_raise(tmp_path, name):
    assert_raises(
        [*good_members(), (name, b"evil")], tmp_path, r"evil.tar.gz holds '.*', which is not a file of the data set"
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE], ids=str
)
def test_links_devices_and_folders_raise(tmp_path, kind):
    evil = link("cifar-10-batches-bin/data_batch_1.bin", kind, "/etc/passwd")
    assert_raises([evil, *good_members()], tmp_path, "data_batch_1.bin', which is not an ordinary file")


def test_a_folder_that_is_a_link_raises(tmp_path):
    assert_raises(
        [link(BINARY.folder, tarfile.SYMTYPE, ".."), *good_members()], tmp_path, "which is not an ordinary file"
    )


def test_a_file_that_occurs_twice_raises(tmp_path):
    assert_raises([*good_members(), good_members()[1]], tmp_path, "data_batch_1.bin', which is .* occurs twice")


def test_a_file_too_large_raises(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnn.data_utils.unpack.MEMBER_LIMIT", 1000)
    assert_raises(good_members(), tmp_path, r"data_batch_1.bin', which is 30,730 bytes large")


def with_size(size, kind=tarfile.REGTYPE, name="cifar-10-batches-bin/data_batch_1.bin"):
    """Return a header that claims this many bytes, without content."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def assert_stream_raises(content, tmp_path, message):
    archive = write(tmp_path, {"evil.tar.gz": gzip.compress(content)}) / "evil.tar.gz"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^load_CIFAR10: .*evil\.tar\.gz .*{message}"):
            unpack(archive, BINARY, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert names(tmp_path) == ["evil.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE], ids=str)
def test_a_header_of_a_gigabyte_raises(tmp_path, kind):
    assert_stream_raises(
        with_size(2**30, kind) + bytes(8 << 20), tmp_path, "cannot be unpacked: a header claims 1073741824"
    )


def test_a_file_of_a_negative_size_raises(tmp_path):
    assert_stream_raises(
        with_size(-(2**20)) + bytes(1024), tmp_path, "data_batch_1.bin', which is -1,048,576 bytes large"
    )


def test_a_name_of_a_negative_length_raises(tmp_path):
    assert_stream_raises(
        with_size(-2048, tarfile.GNUTYPE_LONGNAME) + bytes(4096), tmp_path, "a header claims -2048 bytes"
    )


def test_folders_without_end_raise(tmp_path):
    folder = with_size(0, tarfile.DIRTYPE, BINARY.folder)
    assert_stream_raises(folder * 2, tmp_path, "holds 'cifar-10-batches-bin', which is not an ordinary file")


def test_headers_within_headers_raise(tmp_path):
    record = b"19 comment=deeper!\n"
    header = with_size(len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    assert_stream_raises(header * 5000, tmp_path, "cannot be unpacked: .*recursion")


def test_a_sparse_file_raises(tmp_path):
    assert_stream_raises(
        with_size(512, tarfile.GNUTYPE_SPARSE) + bytes(2048), tmp_path, "which is not an ordinary file"
    )


def test_an_incomplete_archive_raises(tmp_path):
    assert_raises(good_members()[:4], tmp_path, r"lacks data_batch_4.bin, data_batch_5.bin, test_batch.bin")


@pytest.mark.parametrize("damage", ["no archive", "truncated", "changed", "not compressed"])
def test_a_damaged_archive_raises(tmp_path, damage):
    content = good_archive()
    middle = len(content) // 2
    damaged = {
        "no archive": b"hello",
        "truncated": content[:middle],
        "changed": content[:middle] + bytes(100) + content[middle + 100 :],
        "not compressed": archive_of(good_members(), "w:"),
    }[damage]
    archive = write(tmp_path, {"damaged.tar.gz": damaged}) / "damaged.tar.gz"
    with pytest.raises(ValueError, match=r"damaged.tar.gz (cannot be unpacked|lacks).*; delete it and try again"):
        unpack(archive, BINARY, tmp_path)
    assert names(tmp_path) == ["damaged.tar.gz"]


def test_a_folder_that_another_process_completed_stays(tmp_path):
    archive = write(tmp_path, {"good.tar.gz": good_archive()}) / "good.tar.gz"
    first = unpack(archive, BINARY, tmp_path)
    before = (first / "test_batch.bin").stat().st_mtime_ns
    assert unpack(archive, BINARY, tmp_path) == first
    assert (first / "test_batch.bin").stat().st_mtime_ns == before


def test_a_folder_in_the_way_is_not_overwritten(tmp_path):
    write(tmp_path / BINARY.folder, {"mine": b"mine"})
    archive = write(tmp_path, {"good.tar.gz": good_archive()}) / "good.tar.gz"
    with pytest.raises(OSError, match="not empty"):
        unpack(archive, BINARY, tmp_path)
    assert names(tmp_path / BINARY.folder) == ["mine"]
