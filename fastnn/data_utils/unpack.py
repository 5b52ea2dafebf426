"""Safe unpacking of CIFAR-10 archives: only the files of the data set are written."""

import gzip
import hashlib
import os
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, cast

from .integrity import MANIFEST, manifest_of
from .layouts import BATCHES, Layout

MEMBER_LIMIT = 32 * 2**20  # bytes; the largest file of both archives has 31 MB
_READ_LIMIT = 2**20  # largest read in bytes, whatever a header claims
_EXTRAS = ("batches.meta", "batches.meta.txt", "readme.html")


def unpack(archive: Path, layout: Layout, target: Path) -> Path:
    """Unpack the folder of a verified archive into the folder `target` atomically, and return it.

    A manifest with the SHA-256 of each file is added to the folder.
    Raises ValueError if the archive is damaged, or has a member that is unexpected, too large, a link, a device, or
    duplicate.
    """
    batches = [batch + layout.suffix for batch in BATCHES]
    missing = {f"{layout.folder}/{name}" for name in (*batches, *_EXTRAS)}
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=target) as temporary:
        folder = Path(temporary, layout.folder)
        folder.mkdir()
        has_folder = False
        digests = {}
        try:
            with _Decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    if member.isdir() and member.name == layout.folder and not has_folder:
                        has_folder = True
                        continue
                    _check_member(archive, member, missing, temporary)
                    missing.remove(member.name)
                    with (
                        cast(IO[bytes], tar.extractfile(member)) as source,
                        Path(temporary, member.name).open("xb") as file,
                    ):
                        digests[Path(member.name).name] = _copy(source, file)
        except _Unexpected:
            raise
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
            raise ValueError(
                f"load_CIFAR10: {archive} cannot be unpacked: {error}; expected the original archive; delete it and "
                f"try again"
            ) from error
        if absent := [name for name in batches if f"{layout.folder}/{name}" in missing]:
            raise ValueError(
                f"load_CIFAR10: {archive} lacks {', '.join(absent)}; expected the original archive; delete it and try "
                f"again"
            )
        (folder / MANIFEST).write_bytes(manifest_of(digests))
        return _move(folder, target / layout.folder, batches)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a file and return the SHA-256 of the source, which reveals write errors later."""
    digest = hashlib.sha256()
    while content := source.read(_READ_LIMIT):
        digest.update(content)
        target.write(content)
    return digest.hexdigest()


class _Unexpected(ValueError):
    """Raised for a readable archive with other contents than the data set."""


class _Decompressed(gzip.GzipFile):
    """A gzip stream with limited reads, since tarfile would read a member name of any length at once."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _READ_LIMIT:
            raise ValueError(f"a header claims {size} bytes")
        return super().read(size)


def _check_member(archive: Path, member: tarfile.TarInfo, expected: set[str], folder: str) -> None:
    problem = ""
    if not member.isreg() or member.issparse():
        problem = "not an ordinary file"
    elif member.name not in expected:
        problem = "not a file of the data set, or one that occurs twice"
    elif not 0 <= member.size <= MEMBER_LIMIT:
        problem = f"{member.size:,} bytes large"
    if problem:
        raise _Unexpected(
            f"load_CIFAR10: {archive} holds {member.name[:200]!r}, which is {problem}; expected only the files of "
            f"CIFAR-10; delete it and get the archive from its official page"
        )
    if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
        tarfile.data_filter(member, folder)


def _move(folder: Path, target: Path, batches: list[str]) -> Path:
    try:
        os.replace(folder, target)
    except OSError:  # another process may have moved it there in the meantime
        if not all((target / name).is_file() for name in batches):
            raise
    return target
