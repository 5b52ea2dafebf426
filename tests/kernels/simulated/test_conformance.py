"""Tests of every function on the simulated GPU, on arguments drawn from the specifications."""

import pytest

from fastnn.testing.conformance.checking import examine
from fastnn.testing.conformance.specs import FUNCTIONS

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # a GPU raises no warnings

CASES = 6  # includes ties, empty batches, NaN and other memory layouts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name, dtype):
    function = FUNCTIONS[name]
    report = examine(function.public, "cuda", function, CASES, (dtype,), again=False)
    assert report.ok, str(report)
