"""What the results of a benchmark run come to: each case with all its passes, and geometric means over cases."""

import statistics
from collections.abc import Iterable


def of(results: Iterable[dict], subject: str) -> dict:
    """Speedups of the subject, as {name of the other: ratio}.

    cases: of each case, over all its passes: the other's seconds, forward plus backward, over the subject's
    operations, functions: the geometric means of these over the cases of an operation, and of one function of it
    """
    passes: dict[str, list[dict]] = {}
    for result in results:
        passes.setdefault(result["case"], []).append(result)
    cases = {case: _ratios(entries, subject) for case, entries in passes.items()}
    summary: dict[str, dict] = {"cases": cases}
    for group in ("operation", "function"):
        members: dict[str, list[dict[str, float]]] = {}
        for case, entries in passes.items():
            members.setdefault(entries[0][group], []).append(cases[case])
        summary[f"{group}s"] = {name: geometric_means(ratios) for name, ratios in members.items()}
    return summary


def geometric_means(ratios: list[dict[str, float]]) -> dict[str, float]:
    """Of each name's ratios, over those that have it."""
    names = dict.fromkeys(name for of_case in ratios for name in of_case)
    return {name: statistics.geometric_mean(each[name] for each in ratios if name in each) for name in names}


def _ratios(entries: list[dict], subject: str) -> dict[str, float]:
    """Of those that were timed in every pass."""
    totals = {
        name: sum(entry["seconds"][name]["median"] for entry in entries)
        for name in entries[0]["seconds"]
        if all(name in entry["seconds"] for entry in entries)
    }
    own = totals.pop(subject, None)
    return {name: total / own for name, total in totals.items()} if own else {}
