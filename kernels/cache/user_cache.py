"""The folder for files that can be made again, such as downloads and compiled GPU kernels, on every platform."""

import os
import sys
from pathlib import Path

VARIABLE = "XDG_CACHE_HOME"


def folder() -> Path | None:
    """The folder of this project in the user's cache, which may not exist; None for a user without a home folder.

    It is $XDG_CACHE_HOME/fastnn where that variable holds an absolute path. Else it depends on the platform:
    ~/.cache/fastnn, on macOS ~/Library/Caches/fastnn, on Windows %LOCALAPPDATA%/fastnn.
    Source: XDG Base Directory Specification, which has relative paths ignored.
    """
    base = os.environ.get(VARIABLE, "")
    if not os.path.isabs(base) and sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    if os.path.isabs(base):
        return Path(base) / "fastnn"
    try:
        home = Path.home()
    except RuntimeError:  # no variable names it, and the user has no entry in the password database
        return None
    parts = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return home / parts / "fastnn" if home.is_absolute() else None
