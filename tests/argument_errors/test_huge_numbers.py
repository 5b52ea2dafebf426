"""Huge integers, beyond memory and beyond 64 bits, work at once or raise the same error on every backend."""

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn

from .table import STYLE, TABLE

HUGE = [2**40, 2**62, 2**63, 2**64, 2**100, 1e300]
ENDLESS = {"num_epochs", "num_iters", "max_iterations", "num_checks", "count"}  # these do as much work as asked for


def is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def places():
    """Yield (call, parameter, arguments with the huge number) for all integer parameters of the valid calls."""
    for name, call in TABLE.items():
        for parameter, fed in call.arguments.items():
            if parameter in ENDLESS:
                continue
            if is_whole(fed.good):
                yield name, parameter, lambda huge: huge
                if parameter in ("stride", "pad", "padding", "kernel_size", "size"):
                    yield name, parameter, lambda huge: (1, huge)
            elif isinstance(fed.good, (tuple, list)) and fed.good and all(map(is_whole, fed.good)):
                for position in range(len(fed.good)):
                    yield (
                        name,
                        parameter,
                        lambda huge, good=fed.good, at=position: type(good)((*good[:at], huge, *good[at + 1 :])),
                    )


PLACES = list(places())

pytestmark = pytest.mark.usefixtures("files")


def outcome(call, given, backend):
    np.random.seed(7)
    function = call.make()
    try:
        with fastnn.use_backend(backend), np.errstate(all="ignore"):
            return "done", repr(type(function(**given)))
    except MemoryError:
        return "MemoryError", ""
    except (ValueError, TypeError) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    ("name", "parameter", "put"), PLACES, ids=[f"{name}-{parameter}" for name, parameter, _ in PLACES]
)
def test_huge_numbers(name, parameter, put):
    call = TABLE[name]
    for huge in HUGE:
        given = {**call.values(), parameter: put(huge)}
        first, *others = (outcome(call, given, backend) for backend in AVAILABLE)
        assert first[0] in ("done", "MemoryError") or STYLE.match(first[1]), first
        assert all(other == first for other in others), f"the backends do not agree on {parameter}={put(huge)!r}"
