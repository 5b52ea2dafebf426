"""Whether the tests that need a GPU can run here."""

import pytest

ABSENT = ("there is no ", "the driver finds no GPU")  # beginnings of reasons: there is nothing to run on


def reason_to_skip(line, version, simulated):
    """Return why they are skipped, or an empty string. A GPU that is there but cannot be used is a failure.

    line: the line of the backend cuda in `fastnn.backends()`; version: that of the driver, or None
    """
    if line.available:
        return "the simulator is too slow for these sizes" if simulated else ""
    if version is not None and not line.reason.startswith(ABSENT):
        pytest.fail(f"there is a driver, but cuda cannot run: {line.reason}; {line.remedy}", pytrace=False)
    return f"no NVIDIA GPU to run on: {line.reason}"
