"""CIFAR-10 from the network, with small archives on a local server."""

# ruff: noqa: F811  (fixtures are imported from a helper)

import numpy as np
import pytest
from archive_server import answer, cache, described, offer, page, server  # noqa: F401  (fixtures)
from cifar10_archives import PYTHON, good_archive, names
from cifar10_files import fake_cifar10, write

from fastnn.data_utils import download, get_CIFAR10_data, load_CIFAR10


def test_downloaded_once_and_unpacked(server, cache, offer, capfd):
    offer(page(good_archive()))
    data = get_CIFAR10_data(50, 0, 10, subtract_mean=False)
    np.testing.assert_array_equal(data["X_test"], fake_cifar10()[0][5])
    assert names(cache) == ["cifar-10-batches-bin"]
    assert (cache / "cifar-10-batches-bin" / "readme.html").read_bytes() == b"about"
    load_CIFAR10()
    assert server.requests == [("0", None)]
    output = capfd.readouterr()
    assert output.err.startswith(f"CIFAR-10: downloading 0 MB from {server.base}0\n")
    assert output.out == ""


def test_the_python_archive_does_as_well(server, cache, offer):
    offer(page(good_archive(PYTHON)), archive=described(good_archive(PYTHON), PYTHON))
    np.testing.assert_array_equal(load_CIFAR10()[3], fake_cifar10()[1][5])
    assert names(cache) == ["cifar-10-batches-py"]


def test_a_broken_connection_is_continued(server, cache, offer):
    offer(page(good_archive(), first_connection=1000))
    load_CIFAR10()
    assert server.requests == [("0", None), ("0", "bytes=1000-")]


def test_a_later_run_continues_the_earlier_one(server, cache, offer):
    content = good_archive()
    write(cache, {"binary.tar.gz.part": content[:5000]})
    offer(page(content))
    load_CIFAR10()
    assert server.requests == [("0", "bytes=5000-")]
    assert names(cache) == ["cifar-10-batches-bin"]


def test_ctrl_c_keeps_the_downloaded_part(server, cache, offer, monkeypatch):
    offer(page(good_archive()))
    monkeypatch.setattr(download, "_CHUNK", 1000)

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, _):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(download, "_progress_bar", lambda *_: Bar())
        with pytest.raises(KeyboardInterrupt):
            load_CIFAR10()
    have = (cache / "binary.tar.gz.part").read_bytes()
    assert have and have == good_archive()[: len(have)]
    load_CIFAR10()
    assert server.requests == [("0", None), ("0", f"bytes={len(have)}-")]


def test_a_full_disk_raises_and_keeps_the_downloaded_part(server, cache, offer):
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    offer(page(good_archive()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(FileNotFoundError, match=r"could not be downloaded:\n.*0: \[Errno 27\] File too large"):
            load_CIFAR10()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    load_CIFAR10()
    assert names(cache) == ["cifar-10-batches-bin"]


def test_a_complete_part_needs_no_server(server, cache, offer):
    write(cache, {"binary.tar.gz.part": good_archive()})
    offer(page(b""))
    load_CIFAR10()
    assert server.requests == []


def test_a_server_that_ignores_ranges_starts_again(server, cache, offer):
    content = good_archive()
    write(cache, {"binary.tar.gz.part": content[:5000]})
    offer(page(content, understands_ranges=False))
    load_CIFAR10()
    assert server.requests == [("0", "bytes=5000-")]


def test_a_mirror_continues_what_another_began(server, cache, offer):
    def breaks(handler):
        page(good_archive(), first_connection=700)(handler) if not handler.headers["Range"] else handler.send_error(503)

    offer(breaks, page(good_archive()))
    load_CIFAR10()
    assert server.requests == [("0", None), ("0", "bytes=700-"), ("1", "bytes=700-")]


def test_an_archive_put_into_the_cache_is_used(server, cache, offer):
    write(cache, {"binary.tar.gz": good_archive()})
    offer(page(b""))
    load_CIFAR10()
    assert server.requests == []
    assert names(cache) == ["cifar-10-batches-bin"]


def test_a_wrong_archive_in_the_cache_is_deleted_and_fetched(server, cache, offer):
    write(cache, {"binary.tar.gz": b"something else"})
    offer(page(good_archive()))
    load_CIFAR10()
    assert server.requests == [("0", None)]


def test_mirrors_take_over(server, cache, offer, monkeypatch):
    nowhere = "http://127.0.0.1:1/"
    offer(lambda handler: handler.send_error(404), page(good_archive()))
    monkeypatch.setattr(download, "SOURCES", ((nowhere, described(good_archive())), *download.SOURCES))
    load_CIFAR10()
    assert server.requests == [("0", None), ("1", None)]


@pytest.mark.parametrize("wrong", ["md5", "sha256"])
def test_a_wrong_hash_deletes_the_file_and_says_so(server, cache, offer, wrong):
    archive = described(good_archive())._replace(**{wrong: "0" * 32})
    offer(page(good_archive()), archive=archive)
    with pytest.raises(FileNotFoundError, match=rf"part has the {wrong} [0-9a-f]+; expected 0+; it was deleted"):
        load_CIFAR10()
    assert names(cache) == []


def test_a_damaged_part_does_not_spoil_the_next_mirror(server, cache, offer):
    write(cache, {"binary.tar.gz.part": bytes(5000)})
    offer(page(good_archive()), page(good_archive()))
    load_CIFAR10()
    assert server.requests == [("0", "bytes=5000-"), ("1", None)]


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Type": "text/html; charset=utf-8"}, b"log in first"), ({}, b"\n<!DOCTYPE html><p>log in first")],
)
def test_a_web_page_is_named_as_such(server, cache, offer, headers, body):
    write(cache, {"binary.tar.gz.part": good_archive()[:100]})
    offer(lambda handler: answer(handler, 200, headers, body))
    with pytest.raises(FileNotFoundError, match=r"it sent a web page \(HTML\) instead of the archive; a login page"):
        load_CIFAR10()
    assert (cache / "binary.tar.gz.part").read_bytes() == good_archive()[:100]


def test_a_file_of_another_size_raises_before_it_is_downloaded(server, cache, offer):
    offer(page(good_archive() + b"more"))
    size = len(good_archive())
    with pytest.raises(FileNotFoundError, match=f"it offers {size + 4:,} bytes; expected {size:,}"):
        load_CIFAR10()
    assert names(cache) == []


def test_no_more_is_read_than_the_archive_has(server, cache, offer):
    offer(lambda handler: answer(handler, 200, {}, good_archive() + bytes(10_000)))
    load_CIFAR10()


def test_another_range_than_asked_for_raises(server, cache, offer):
    write(cache, {"binary.tar.gz.part": good_archive()[:100]})
    offer(lambda handler: answer(handler, 206, {"Content-Range": "bytes 7-9/10"}, b"789"))
    with pytest.raises(FileNotFoundError, match="it sent the range bytes 7-9/10 for bytes 100-"):
        load_CIFAR10()


def test_a_connection_that_brings_nothing_is_given_up(server, cache, offer):
    offer(lambda handler: answer(handler, 200, {"Content-Length": len(good_archive())}, b""))
    with pytest.raises(FileNotFoundError, match=r"0: the connection closed at 0 of [\d,]+ bytes"):
        load_CIFAR10()


def test_no_answer_in_http_is_a_failure_like_others(server, cache, offer):
    offer(lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"))
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded:\n    http://.*0: nonsense"):
        load_CIFAR10()


def test_a_slow_source_is_left_and_comes_back_last(server, cache, offer, monkeypatch):
    monkeypatch.setattr(download, "SLOW_AFTER", -1.0)
    monkeypatch.setattr(download, "SLOW_SPEED", float("inf"))
    offer(page(good_archive()), lambda handler: handler.send_error(404))
    load_CIFAR10()
    assert [name for name, _ in server.requests] == ["0", "1", "0"]
    assert server.requests[2][1].startswith("bytes=")


def test_offline_says_what_to_place_where(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(
        download, "SOURCES", (("http://127.0.0.1:1/cifar-10-binary.tar.gz", described(b"")._replace(size=9)),)
    )
    with pytest.raises(FileNotFoundError) as caught:
        load_CIFAR10()
    message = str(caught.value)
    assert message.startswith("load_CIFAR10: CIFAR-10 is not on this machine and could not be downloaded:\n")
    assert "refused" in message
    assert (
        "expected a folder cifar-10-batches-bin or cifar-10-batches-py; download http://127.0.0.1:1/cifar-10" in message
    )
    assert f"put it into {cache}, or unpack it anywhere and set FASTNN_DATA" in message


def test_a_cache_that_cannot_be_made_is_an_error_of_the_same_kind(cache, offer):
    cache.write_bytes(b"a file where the folder should be")
    offer(page(good_archive()))
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded:\n    .*File exists"):
        load_CIFAR10()


def test_the_sources_are_well_formed():
    for url, archive in download.SOURCES:
        assert url.startswith("https://")
        assert url.endswith("/" + archive.name)
        assert archive.layout.folder in ("cifar-10-batches-bin", "cifar-10-batches-py")
        assert len(archive.md5) == 32
        assert len(archive.sha256) == 64
