"""Small archives in the layouts of CIFAR-10."""

import functools
import io
import tarfile

from cifar10_files import binary_files, fake_cifar10, python_files

from fastnn.data_utils import layouts

BINARY, PYTHON = layouts.LAYOUTS


def archive_of(members, compression="w:gz"):
    """Write a tar archive of (name, content) pairs or TarInfo objects."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=compression) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def good_members(layout=BINARY):
    files = (binary_files if layout is BINARY else python_files)(*fake_cifar10())
    folder = tarfile.TarInfo(layout.folder)
    folder.type = tarfile.DIRTYPE
    return [folder, *((f"{layout.folder}/{name}", content) for name, content in files.items())]


@functools.cache
def good_archive(layout=BINARY):
    return archive_of([*good_members(layout), (f"{layout.folder}/readme.html", b"about")])


def names(folder):
    return sorted(path.name for path in folder.iterdir())
