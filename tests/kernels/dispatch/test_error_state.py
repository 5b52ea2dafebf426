"""Tests that NumPy's error state (`np.seterr`, `np.errstate`, warnings as errors) changes no result of a kernel."""

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.testing.conformance import cases, strategies
from fastnn.testing.conformance.specs import FUNCTIONS

VALUES = {
    "tiny": {"float32": 1e-40, "float64": 1e-310},  # subnormal numbers, whose products underflow
    "small": {"float32": 1e-25, "float64": 1e-200},  # whose squares underflow
    "zeros": {"float32": 0.0, "float64": 0.0},
    "large": {"float32": 1e25, "float64": 1e200},  # whose squares overflow
    "huge": {"float32": 1e38, "float64": 1e308},
    "nan": {"float32": np.nan, "float64": np.nan},
    "infinite": {"float32": np.inf, "float64": np.inf},
}


def raising(kind, flag):
    raise AssertionError(f"the error state was used: {kind}")


STATES = {"raise": {"all": "raise"}, "warn": {"all": "warn"}, "call": {"all": "call", "call": raising}}


def arguments_of(function, dtype, factor):
    """Return valid arguments with scaled arrays; those of a backward pass come from a forward pass."""
    generator = np.random.default_rng(0)
    plan = strategies.draw(function, dtype, 0, generator) | {"N": 2, "values": "normal", "layout": "C", "need_dx": True}
    sizes = {"H": 4, "W": 5, "KH": 2, "KW": 1, "SH": 1, "SW": 2, "PH": 0, "PW": 0, "QH": 2, "QW": 2, "groups": 1}
    plan |= {name: value for name, value in sizes.items() if name in plan}
    given = cases.build(function, plan)
    with np.errstate(all="ignore"):
        for name, value in given.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                given[name] = (value * factor).astype(dtype)
    return given


def outcome(function, given):
    """Return the bytes of all arrays that a call returns or writes."""
    copies = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in given.items()}
    returned = function.public(*copies.values())
    results = returned if isinstance(returned, tuple) else (returned,)
    return [np.asarray(value).tobytes() for value in (*results, *(copies[name] for name in function.written))]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("backend", AVAILABLE)
def test_no_kernel_depends_on_it(backend, name):
    function, wrong = FUNCTIONS[name], []
    with fastnn.use_backend(backend):
        for values, factors in VALUES.items():
            for dtype, factor in factors.items():
                given = arguments_of(function, dtype, factor)
                with np.errstate(all="ignore"):
                    expected = outcome(function, given)
                for state, settings in STATES.items():
                    with np.errstate(**settings):
                        try:
                            same = outcome(function, given) == expected
                        except (FloatingPointError, RuntimeWarning, AssertionError) as error:
                            same = f"{type(error).__name__}: {error}"
                    if same is not True:
                        wrong.append(f"{values} {dtype} {state}: {same}")
    assert not wrong, "\n" + "\n".join(wrong)
