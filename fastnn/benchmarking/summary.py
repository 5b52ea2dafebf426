"""What the results of a benchmark run come to: each case with all its passes, and geometric means over cases.

A ratio is another's seconds over the subject's: above 1, the subject is faster.
"""

import statistics
from collections.abc import Iterable


def of(results: Iterable[dict], subject: str) -> dict:
    """Speedups of the subject, as {name of the other: ratio}.

    cases: of each case, over all its passes, of those that were timed in each
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
    """The results by what they have under `key`, such as "operation" or "case"."""
    groups: dict[str, list[dict]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def totals(passes: list[dict]) -> dict[str, float]:
    """The median seconds of all passes together, of those that were timed in each."""
    return {
        name: sum(result["seconds"][name]["median"] for result in passes)
        for name in passes[0]["seconds"]
        if all(name in result["seconds"] for result in passes)
    }


def ratio(results: Iterable[dict], subject: str, other: str) -> float | None:
    """The ratio over the passes in which both were timed; None: there are none."""
    shared = [result for result in results if {subject, other} <= result["seconds"].keys()]
    if not shared:
        return None
    seconds = totals(shared)
    return seconds[other] / seconds[subject]


def geometric_mean(values: Iterable[float]) -> float | None:
    """None: there are no values."""
    values = list(values)
    return statistics.geometric_mean(values) if values else None


def _geometric_means(ratios: list[dict[str, float]]) -> dict[str, float]:
    """Of each name's ratios, over those that have it."""
    names = dict.fromkeys(name for of_case in ratios for name in of_case)
    return {name: statistics.geometric_mean(each[name] for each in ratios if name in each) for name in names}


def _ratios(passes: list[dict], subject: str) -> dict[str, float]:
    seconds = totals(passes)
    own = seconds.pop(subject, None)
    return {name: total / own for name, total in seconds.items()} if own else {}
