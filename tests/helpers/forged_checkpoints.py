"""Malicious checkpoints with a valid digest, which `save` never writes."""

import json

from fastnn import checkpoint
from fastnn.checkpoint import container


def parts(path):
    """Return the HDF5 file without its user block, and the manifest as Python values."""
    content = path.read_bytes()
    length = int(container._HEADER.fullmatch(content[: container.USER_BLOCK])[3])
    return content[container.USER_BLOCK : -length], json.loads(content[-length:])


def write(path, hdf5, manifest_of_it):
    """Write a file; the manifest may be bytes or a JSON value."""
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
