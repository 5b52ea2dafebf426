"""Benchmark cases of any size."""

from fastnn.benchmarking.cases import CASES, Case


def case_of(name, x, headline=False, whole=False, slow=False, **numbers):
    """A case like those of that name, of other sizes; see `fastnn.benchmarking.cases.Case`."""
    like = next(case for case in CASES if case.function == name)
    return Case(like.operation, like.timed, x, numbers, headline, whole, slow)
