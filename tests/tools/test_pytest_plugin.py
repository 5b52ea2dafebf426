"""The pytest plugin, installed and run in subprocesses."""

import tomllib
from pathlib import Path

from installed_packages import run

ROOT = Path(__file__).parents[2]
PLUGIN = {"pytest_fastnn.py": (ROOT / "pytest_fastnn.py").read_text(encoding="utf-8")}
TESTS = """
    import faulty_kernels

    def test_right(check_kernel):
        assert check_kernel(faulty_kernels.my_conv, like="conv2d_forward", cases=4).seconds == {}

    def test_wrong(check_kernel):
        check_kernel(faulty_kernels.conv_without_bias, like="conv2d_forward", cases=4)
"""


def pytest_of(folder, *arguments):
    """Run pytest with the plugin of this source tree, also if fastnn is installed with its plugin."""
    return run(folder, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments)


def test_the_fixture_fails_a_test_with_the_report(site):
    folder = site("plugin", {**PLUGIN, "test_mine.py": TESTS}, "pytest11", {"fastnn": "pytest_fastnn"})
    (folder / "faulty_kernels.py").write_text(
        (ROOT / "tests" / "helpers" / "faulty_kernels.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    done = pytest_of(folder, "test_mine.py")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "WrongKernel: conv_without_bias does not do what conv2d_forward does: out[" in done.stdout
    assert "Probable cause: bias: the bias b is left out." in done.stdout


def test_an_unused_plugin_imports_nothing(site):
    text = """
        import sys

        def test_nothing():
            assert [name for name in ("fastnn", "numpy", "numba") if name in sys.modules] == []
            assert "pytest_fastnn" in sys.modules
    """
    folder = site("plugin", {**PLUGIN, "test_mine.py": text}, "pytest11", {"fastnn": "pytest_fastnn"})
    done = pytest_of(folder, "test_mine.py", "-W", "error", "-p", "no:benchmark", "-p", "no:hypothesispytest")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"fastnn": "pytest_fastnn"}
