"""The support matrix and the report in docs/checks.md are what the command prints."""

import json
import re
from pathlib import Path

import faulty_kernels
import pytest
from conftest import AVAILABLE

from fastnn.kernels import OPERATIONS
from fastnn.testing import WrongKernel, check_kernel
from fastnn.testing.conformance import support_matrix

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
STORED = json.loads((ROOT / "benchmarks" / "results" / "support.json").read_text(encoding="utf-8"))


def block(name):
    return re.search(rf"<!-- {name} -->\n(.*)<!-- /{name} -->", PAGE, re.DOTALL)[1]


def test_the_matrix_of_the_site_is_the_one_that_was_printed():
    assert block("support") == support_matrix.table(STORED) + "\n"
    assert not STORED["reports"]
    assert list(STORED["support"]) == list(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_the_matrix_says_is_so(operation):
    """On every backend of this machine, with fewer cases, since the loops are slow."""
    for name in AVAILABLE:
        found = support_matrix.run({name: 3}, [operation], seed=1, simulated=["naive", "cuda"])
        assert found["reports"] == []
        assert found["support"][operation][name] == STORED["support"][operation][name]


def test_the_report_of_the_readme_is_that_of_a_faulty_kernel():
    with pytest.raises(WrongKernel) as caught:
        check_kernel(faulty_kernels.assigning_max_pool, "max_pool2d_backward")
    report = str(caught.value).replace("assigning_max_pool", "my_pool")
    assert block("fault") == f"```text\n{report}\n```\n"


def test_an_operation_that_a_backend_lacks_is_not_in_the_matrix():
    result = {
        "backends": {"mine": "", "yours": "simulated"},
        "support": {
            "affine": {"mine": {"float32": "right", "float64": "wrong"}, "yours": {"float32": "right"}},
            "normalization": {"mine": {"float32": "missing", "float64": "missing"}, "yours": {"float32": "right"}},
        },
    }
    assert support_matrix.table(result) == (
        "| operation     | mine                   | yours (simulated) |\n"
        "| ------------- | ---------------------- | ----------------- |\n"
        "| affine        | float32, float64 WRONG | float32           |\n"
        "| normalization | -                      | float32           |"
    )
