"""Checkpoints that `save` never wrote, with a digest that is right: what somebody could make on purpose."""

import json

from fastnn import checkpoint
from fastnn.checkpoint import container


def parts(path):
    """The HDF5 file without its user block, and the manifest as Python's values."""
    content = path.read_bytes()
    length = int(container._HEADER.fullmatch(content[: container.USER_BLOCK])[3])
    return content[container.USER_BLOCK : -length], json.loads(content[-length:])


def write(path, hdf5, manifest_of_it):
    """Put a file together; the manifest may be bytes, or what JSON can hold."""
    content = manifest_of_it if isinstance(manifest_of_it, bytes) else json.dumps(manifest_of_it).encode()
    size = container.USER_BLOCK + len(hdf5) + len(content)
    line = container._LINE.format(
        version=checkpoint.FORMAT_VERSION, fastnn_version="1.0", size=size, length=len(content)
    )
    path.write_bytes(bytes(container.USER_BLOCK) + hdf5 + content)
    with path.open("r+b") as file:
        digest = container._digest(file, line.encode())
        file.seek(0)
        file.write(f"{line}{digest}\n".encode().ljust(container.USER_BLOCK, b"\0"))
    return path
