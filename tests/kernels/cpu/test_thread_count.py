"""The number of threads: environment variables in order, CPU affinity, and the quota of a container."""

import json
import os
import subprocess
import sys

import pytest

from fastnn import environment as machine
from fastnn.cli import main
from fastnn.kernels.cpu import thread_count

NAMES = (thread_count.VARIABLE, *thread_count.OTHERS)


@pytest.fixture
def cores(monkeypatch):
    """A fake machine: eight cores for this process, no variable set."""
    monkeypatch.setattr(thread_count, "cores", lambda: 8)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("settings", "expected", "origin"),
    [
        ({}, 8, "the cores of this process"),
        ({"OMP_NUM_THREADS": "3"}, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "4,2"}, 4, "OMP_NUM_THREADS"),  # nested levels of OpenMP, outermost first
        ({"OMP_NUM_THREADS": " 5 "}, 5, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2"}, 2, "NUMBA_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2", "FASTNN_NUM_THREADS": "6"}, 6, "FASTNN_NUM_THREADS"),
        ({"FASTNN_NUM_THREADS": "", "NUMBA_NUM_THREADS": "", "OMP_NUM_THREADS": "3"}, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "many"}, 8, "the cores of this process"),  # invalid, ignored
        ({"OMP_NUM_THREADS": "0", "NUMBA_NUM_THREADS": "-1"}, 8, "the cores of this process"),
    ],
)
def test_the_first_variable_that_is_set_decides(cores, settings, expected, origin):
    for name, value in settings.items():
        cores.setenv(name, value)
    assert thread_count.default() == (expected, origin)
    assert machine.threads() == expected


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_an_invalid_number_in_our_own_variable(cores, value, capsys):
    cores.setenv("FASTNN_NUM_THREADS", value)
    message = f"FASTNN_NUM_THREADS: '{value}' is not a number of threads; expected an integer of at least 1; "
    with pytest.raises(ValueError, match=message):
        thread_count.default()
    assert main(["info"]) == 0
    assert message in capsys.readouterr().out


def test_info_names_the_number_and_its_origin(cores, capsys):
    cores.setenv("OMP_NUM_THREADS", "3")
    assert main(["info"]) == 0
    assert "threads     3, from OMP_NUM_THREADS\n" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["threads"]
    assert found == {"number": 3, "origin": "OMP_NUM_THREADS", "error": None}


@pytest.mark.parametrize("name", NAMES)
def test_kernels_take_the_number(name):
    pytest.importorskip("numba")
    environment = {key: value for key, value in os.environ.items() if key not in NAMES}
    code = "from fastnn.kernels.cpu import threads; print(threads.get_num_threads())"
    environment[name] = "7" if name != "NUMBA_NUM_THREADS" else "1"  # Numba warns about more threads than cores
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == environment[name], done.stderr


# ---- the quota of a container ----


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that writes control groups: lines of /proc/self/cgroup, files under /sys/fs/cgroup."""
    monkeypatch.setattr(thread_count, "_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(thread_count, "_GROUPS", tmp_path / "sys")
    monkeypatch.setattr(thread_count, "_affinity", lambda: 16)

    def lay(membership, files):
        (tmp_path / "cgroup").write_text(membership)
        for name, content in files.items():
            path = tmp_path / "sys" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return lay


V2 = "0::/a/b\n"
V1, V1_GROUP = "4:cpu,cpuacct:/docker/x\n3:memory:/\n0::/\n", "cpu,cpuacct/docker/x"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        (V2, {"a/b/cpu.max": "200000 100000\n"}, 2),
        (V2, {"a/b/cpu.max": "150000 100000\n"}, 2),  # rounded up
        (V2, {"a/b/cpu.max": "10000 100000\n"}, 1),
        (V2, {"a/b/cpu.max": "max 100000\n"}, 16),
        (V2, {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # a parent group
        (V2, {"cpu.max": "400000 100000\n"}, 4),  # a namespace, in which only the root is visible
        (V2, {"a/b/cpu.max": "9900000 100000\n"}, 16),  # more than the cores of the process
        (V2, {"a/b/cpu.max": "nonsense\n"}, 16),
        (V2, {}, 16),
        (
            V1,
            {"cpu,cpuacct/docker/x/cpu.cfs_quota_us": "500000", "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000"},
            5,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, 16),
        ("", {}, 16),
    ],
)
def test_a_quota_limits_the_cores(groups, membership, files, expected):
    groups(membership, files)
    assert thread_count.cores() == expected


def test_systems_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(thread_count, "_MEMBERSHIP", tmp_path / "none")
    monkeypatch.setattr(thread_count, "_affinity", lambda: 5)
    assert thread_count.cores() == 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not restrict a process to cores")
def test_the_cores_that_a_process_is_restricted_to():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + (
        "from fastnn.kernels.cpu import thread_count; print(thread_count.cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"
