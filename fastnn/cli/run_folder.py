"""The files in the folder of a run."""

from pathlib import Path

CHECKPOINT = "checkpoint.h5"


def checkpoint_at(path: Path) -> Path:
    """The checkpoint at `path`, which is the file or the folder of a run."""
    return path / CHECKPOINT if path.is_dir() else path


def picture_of(checkpoint: Path) -> Path:
    """The path of the picture of a checkpoint, in the same folder."""
    name = checkpoint.name.removesuffix(".prev")
    return checkpoint.with_name("training.png" if name == CHECKPOINT else f"{name.removesuffix('.h5')}.png")
