"""Results of public functions do not depend on NumPy's error state."""

import re

import numpy as np
import pytest

import fastnn
from fastnn.kernels.dispatch import signatures

from .calls_training import square
from .kinds import untouched
from .table import TABLE

pytestmark = pytest.mark.usefixtures("files")

SCALES = {"tiny": 1e-200, "small": 1e-30, "usual": 1.0, "large": 1e30, "huge": 1e160}


def scaled(value, factor):
    """Return an argument with its float arrays scaled."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return (value * factor).astype(value.dtype)
    if isinstance(value, dict):
        return {name: scaled(inner, factor) for name, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(scaled(inner, factor) for inner in value)
    # a user's function runs in the user's error state
    return signatures.quiet(value) if (value is np.square or value is square) else value


def outcome(call, factor):
    """Return the results and changed arguments of a call, or its error."""
    np.random.seed(7)
    with np.errstate(all="ignore"):
        function, given = call.make(), scaled(call.values(), factor)
    try:
        result = untouched([function(**given), given, getattr(function, "__self__", None)])
        return re.sub(r" at 0x\w+", "", repr(result))
    except (RuntimeWarning, ValueError, TypeError, FloatingPointError) as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore:Solver.resume. the")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", TABLE)
def test_no_public_function_depends_on_it(name, scale):
    with fastnn.use_backend("vectorized"):
        with np.errstate(all="ignore"):
            expected = outcome(TABLE[name], SCALES[scale])
        for state in ("raise", "warn"):
            with np.errstate(all=state):
                assert outcome(TABLE[name], SCALES[scale]) == expected
