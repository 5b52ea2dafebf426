"""Archives of CIFAR-10, unpacked so that they can write nothing but the files that belong to the data set."""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, cast

from .layouts import BATCHES, Layout

MEMBER_LIMIT = 32 * 2**20  # bytes; the largest file of both archives has 31 MB
_EXTRAS = ("batches.meta", "batches.meta.txt", "readme.html")


def unpack(archive: Path, layout: Layout, target: Path) -> Path:
    """Unpack the archive's one folder into the folder `target`, where it appears complete or not at all.

    Returns that folder.
    Raises ValueError for a damaged archive, and for one with a member that is unexpected, too large, a link, a device,
    or that occurs twice.
    """
    batches = [batch + layout.suffix for batch in BATCHES]
    missing = {f"{layout.folder}/{name}" for name in (*batches, *_EXTRAS)}
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=target) as temporary:
        folder = Path(temporary, layout.folder)
        folder.mkdir()
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    if member.isdir() and member.name == layout.folder:
                        continue
                    _check_member(archive, member, missing, temporary)
                    missing.remove(member.name)
                    with (
                        cast(IO[bytes], tar.extractfile(member)) as source,
                        Path(temporary, member.name).open("xb") as file,
                    ):
                        shutil.copyfileobj(source, file)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"load_CIFAR10: {archive} cannot be unpacked: {error}; expected the original archive; delete it and "
                f"try again"
            ) from error
        if absent := [name for name in batches if f"{layout.folder}/{name}" in missing]:
            raise ValueError(
                f"load_CIFAR10: {archive} lacks {', '.join(absent)}; expected the original archive; delete it and try "
                f"again"
            )
        return _move(folder, target / layout.folder, batches)


def _check_member(archive: Path, member: tarfile.TarInfo, expected: set[str], folder: str) -> None:
    problem = ""
    if not member.isreg():
        problem = "no ordinary file"
    elif member.name not in expected:
        problem = "no file of the data set, or one that occurs twice"
    elif member.size > MEMBER_LIMIT:
        problem = f"{member.size:,} bytes large"
    if problem:
        raise ValueError(
            f"load_CIFAR10: {archive} holds {member.name!r}, which is {problem}; expected only the files of CIFAR-10; "
            f"delete it and get the archive from its official page"
        )
    if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
        tarfile.data_filter(member, folder)


def _move(folder: Path, target: Path, batches: list[str]) -> Path:
    try:
        os.replace(folder, target)
    except OSError:  # another process may have put it there meanwhile
        if not all((target / name).is_file() for name in batches):
            raise
    return target
