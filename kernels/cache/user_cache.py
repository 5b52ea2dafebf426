"""The user's cache folder, for downloads and compiled kernels."""

import os
import sys
from pathlib import Path

VARIABLE = "XDG_CACHE_HOME"


def folder() -> Path | None:
    """Return the folder of this project in the user's cache, which may not exist; None without a home folder.

    It is $XDG_CACHE_HOME/fastnn if that variable is an absolute path, else ~/.cache/fastnn, on macOS
    ~/Library/Caches/fastnn, on Windows %LOCALAPPDATA%/fastnn.
    Source: XDG Base Directory Specification, by which relative paths are ignored.
    """
    base = os.environ.get(VARIABLE, "")
    if not os.path.isabs(base) and sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    if os.path.isabs(base):
        return Path(base) / "fastnn"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME variable and no entry in the password database
        return None
    parts = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return home / parts / "fastnn" if home.is_absolute() else None
