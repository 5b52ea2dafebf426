"""Checks and exit codes are the same with python -O (no assertions) and -OO (no docstrings)."""

import os
import subprocess
import sys

import pytest

MINE = """
import numpy as np
from fastnn.kernels import activations, conv2d, use_backend

forward = use_backend("vectorized")(conv2d.conv2d_forward)
backward = use_backend("vectorized")(conv2d.conv2d_backward)

def right(x, w, b, stride, pad): return forward(x, w, b, stride, pad)
def wrong_value(x, w, b, stride, pad): return forward(x, w, b, stride, pad) + 1
def no_result(x, w, b, stride, pad): return None
def wrong_shape(x, w, b, stride, pad): return forward(x, w, b, stride, pad)[..., :0]
def integers(x, w, b, stride, pad): return np.zeros(forward(x, w, b, stride, pad).shape, int)
def wrong_dtype(x, w, b, stride, pad): return forward(x, w, b, stride, pad).astype(np.float16)

def modifies_its_input(x, w, b, stride, pad):
    out = forward(x, w, b, stride, pad)
    x += 1
    return out

def without_dx(dout, x, w, stride, pad, need_dx): return (None, *backward(dout, x, w, stride, pad, need_dx)[1:])
def always_with_dx(dout, x, w, stride, pad, need_dx): return backward(dout, x, w, stride, pad, True)
def two_of_three(dout, x, w, stride, pad, need_dx): return backward(dout, x, w, stride, pad, need_dx)[:2]
"""
FORWARD = ("right", "wrong_value", "no_result", "wrong_shape", "integers", "wrong_dtype", "modifies_its_input")
BACKWARD = ("without_dx", "always_with_dx", "two_of_three")
KERNELS = {**dict.fromkeys(FORWARD, "conv2d_forward"), **dict.fromkeys(BACKWARD, "conv2d_backward")}

CHECK = """
import sys
from fastnn.cli import main
from fastnn.testing.conformance import timing
timing.times = lambda *_: ({}, "")  # the only figures that differ between two runs
for name, like in zip(sys.argv[1::2], sys.argv[2::2]):
    code = main(["check", "--kernel", f"mine:{name}", "--like", like, "--cases", "12"])
    print(f"== {name} {code}")
"""

COMPARE = """
import numpy as np
import fastnn
from fastnn.testing import against_naive, assert_same

def verdict(compare, *arguments):
    try:
        compare(*arguments)
    except AssertionError as error:
        return " ".join(str(error).split())
    return "no difference is seen"

RIGHT = np.ones((2, 3))
for actual, expected in (
    (RIGHT[:1], RIGHT),
    ((RIGHT,), (RIGHT, RIGHT)),
    (RIGHT, (RIGHT, RIGHT)),
    ({"a": 1}, {"a": 1, "b": 2}),
    (3, {"a": 1}),
    (RIGHT, None),
    (None, RIGHT),
    (RIGHT.astype(int), RIGHT),
    (RIGHT + 1, RIGHT),
    (np.array([1, 3]), np.array([1, 2])),
):
    print(verdict(assert_same, actual, expected))

def double(x, fault):
    return x * 2 if fastnn.get_backend() == "naive" else fault(x)

def modifying(x):
    x[:] += 1
    return (x - 1) * 2

with fastnn.use_backend("vectorized"):
    for fault in (lambda x: x.astype(np.float64) * 2, lambda x: None, modifying):
        print(verdict(against_naive, double, np.ones((2, 3), np.float32), fault))
"""


def python(flags, code, folder, *arguments):
    """Return the lines that a program prints with these flags."""
    command = [sys.executable, *flags, "-c", code, *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONOPTIMIZE"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Return the results of `fastnn check` for every kernel, by the flags of Python."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE)
    words = [word for pair in KERNELS.items() for word in pair]
    return {flag: python(flag.split(), CHECK, folder, *words) for flag in ("", "-O", "-OO")}


def test_check_sees_every_fault(checked):
    for name in KERNELS:
        assert f"== {name} {int(name != 'right')}\n" in checked[""]


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_check_gives_the_same_verdict(checked, flag):
    assert checked[flag].splitlines() == checked[""].splitlines()


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_comparisons_give_the_same_verdict(tmp_path, flag):
    expected = python([], COMPARE, tmp_path)
    assert "no difference" not in expected
    assert python([flag], COMPARE, tmp_path).splitlines() == expected.splitlines()


@pytest.mark.parametrize("command", ["", "train", "check"])
def test_help_needs_no_docstrings(tmp_path, command):
    code = "import sys; from fastnn.cli import main; main([*sys.argv[1:], '--help'])"
    assert python(["-OO"], code, tmp_path, *command.split()) == python([], code, tmp_path, *command.split())


def test_a_renamed_function_needs_no_docstring(tmp_path):
    code = "from fastnn.fast_layers import conv_forward_fast as function; print(function.__doc__)"
    assert "None" not in python(["-OO"], code, tmp_path)
