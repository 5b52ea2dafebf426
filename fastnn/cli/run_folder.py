"""The files in the folder of a run."""

from pathlib import Path

CHECKPOINT = "checkpoint.h5"


def checkpoint_at(path: Path) -> Path:
    """A checkpoint, or that of a run's folder."""
    return path / CHECKPOINT if path.is_dir() else path


def picture_of(checkpoint: Path) -> Path:
    """Where the picture of a checkpoint goes: beside it."""
    name = checkpoint.name.removesuffix(".prev")
    return checkpoint.with_name("training.png" if name == CHECKPOINT else f"{name.removesuffix('.h5')}.png")
