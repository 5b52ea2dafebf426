"""Summary of a benchmark run: speedups of each case over all passes, and geometric means over cases.

A ratio is the seconds of another backend divided by those of the subject: above 1, the subject is faster.
"""

import statistics
from collections.abc import Iterable


def of(results: Iterable[dict], subject: str) -> dict:
    """Speedups of the subject, as {name of the other backend: ratio}.

    cases: of each case, over all its passes, for backends timed in each pass
    operations, functions: the geometric means of these over the cases of an operation, and of one function of it
    """
    passes = grouped(results, "case")
    cases = {case: _ratios(entries, subject) for case, entries in passes.items()}
    summary: dict[str, dict] = {"cases": cases}
    for group in ("operation", "function"):
        members: dict[str, list[dict[str, float]]] = {}
        for case, entries in passes.items():
            members.setdefault(entries[0][group], []).append(cases[case])
        summary[f"{group}s"] = {name: _geometric_means(ratios) for name, ratios in members.items()}
    return summary


def grouped(results: Iterable[dict], key: str) -> dict[str, list[dict]]:
    """Group the results by the value of `key`, such as "operation" or "case"."""
    groups: dict[str, list[dict]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def totals(passes: list[dict]) -> dict[str, float]:
    """The sum of the median seconds of all passes, for backends timed in each pass."""
    return {
        name: sum(result["seconds"][name]["median"] for result in passes)
        for name in passes[0]["seconds"]
        if all(name in result["seconds"] for result in passes)
    }


def ratio(results: Iterable[dict], subject: str, other: str) -> float | None:
    """The ratio over the passes in which both were timed, or None if there are none."""
    shared = [result for result in results if {subject, other} <= result["seconds"].keys()]
    if not shared:
        return None
    seconds = totals(shared)
    return seconds[other] / seconds[subject]


def geometric_mean(values: Iterable[float]) -> float | None:
    """The geometric mean, or None if there are no values."""
    values = list(values)
    return statistics.geometric_mean(values) if values else None


def _geometric_means(ratios: list[dict[str, float]]) -> dict[str, float]:
    """The geometric mean of the ratios of each name."""
    names = dict.fromkeys(name for of_case in ratios for name in of_case)
    return {name: statistics.geometric_mean(each[name] for each in ratios if name in each) for name in names}


def _ratios(passes: list[dict], subject: str) -> dict[str, float]:
    seconds = totals(passes)
    own = seconds.pop(subject, None)
    return {name: total / own for name, total in seconds.items()} if own else {}
