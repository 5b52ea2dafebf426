"""A local server of small CIFAR-10 archives, and fixtures that make it the source of downloads."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cifar10_archives import BINARY, good_archive
from cifar10_files import small_cifar10

from fastnn.data_utils import download


class Server(ThreadingHTTPServer):
    """Serves `pages` (path -> function of the request handler) and records every request as (path, Range header)."""

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages, self.requests = {}, []
        self.base = f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path[1:], self.headers["Range"]))
        self.server.pages.get(self.path[1:], lambda handler: handler.send_error(404))(self)

    def log_message(self, *_):
        pass


def answer(handler, status, headers, body):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def page(content, understands_ranges=True, first_connection=None):
    """Serve a file; the first connection breaks after `first_connection` bytes."""
    limits = [first_connection] if first_connection is not None else []

    def serve(handler):
        asked = handler.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and understands_ranges else 0
        headers = {"Content-Length": len(content) - start}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        limit = limits.pop() if limits else len(content)
        answer(handler, 206 if start else 200, headers, content[start : start + limit])

    return serve


def described(content, layout=BINARY):
    """Return the Archive that describes the content."""
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    return download.Archive("binary.tar.gz" if layout is BINARY else "python.tar.gz", len(content), md5, sha256, layout)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache."""
    small_cifar10(monkeypatch)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fastnn"


@pytest.fixture
def offer(server, monkeypatch):
    """Return offer(page, page, ...), which serves pages and makes them the sources."""

    def put(*pages, archive=None):
        server.pages = {str(position): serve for position, serve in enumerate(pages)}
        archive = archive or described(good_archive())
        monkeypatch.setattr(download, "SOURCES", tuple((server.base + name, archive) for name in server.pages))

    return put
