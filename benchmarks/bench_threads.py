"""How the operations use more threads: serial shares, measured speedups, and a model of those on more cores.

    python benchmarks/bench_threads.py                           the cases of the suite, on 1, 2, 4, 8 and 16 threads
    python benchmarks/bench_threads.py --threads 1,2 conv pool   cases whose names contain one of these words

More threads than cores are not measured. Speedups are over one thread, medians of turns in alternation, and need an
idle machine.

The serial part of a call is what runs outside of parallel loops: a call in which parallel loops compute nothing takes
that long (`threads.skip_parallel_loops`). Loops that are too short for several threads count as serial. It is measured
as the least processor time of the calling thread, which a busy machine disturbs little; Python and launches count.

The model of the time on n threads, from the time on one thread, its serial part and the bytes of all arrays:

    serial + max((one - serial) / n, bytes / bandwidth(n))

bandwidth(n) is that of a copy of large arrays on n threads, or on all cores if there are fewer. A case that on one
thread takes less than its bytes would take from memory reads them from caches, so only the first term counts. The model
knows neither that more cores run at a lower clock nor that work is shared unevenly.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastnn.benchmarking import measure, summary
from fastnn.benchmarking.cases import CASES, Case
from fastnn.benchmarking.table import digits, duration, markdown
from fastnn.kernels.cpu import roofline, thread_count, threads

COUNTS = (1, 2, 4, 8, 16)
SETTLE, SERIAL_SECONDS, BANDWIDTH_SECONDS = 0.04, 0.03, 0.3
LONG = 1e-3  # seconds on one thread; shorter calls mostly consist of Python


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("words", nargs="*", help="words in names of cases; default all")
    parser.add_argument("--threads", type=counts, default=COUNTS, metavar="N,N", help="default 1,2,4,8,16")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default %(default)s")
    arguments = parser.parse_args()
    cases = [case for case in CASES if not arguments.words or any(word in case.name for word in arguments.words)]
    part = measure_cases(cases, arguments.threads, arguments.dtype)
    print(left_out(part) + table(part))
    return 0


def counts(text: str) -> tuple[int, ...]:
    """Numbers of threads from text such as "1,2,4"; 1 is always among them, for it is what others are compared with."""
    try:
        return tuple(sorted({1, *(thread_count.checked("--threads", number) for number in text.split(","))}))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def measure_cases(
    cases: Iterable[Case], wanted: Sequence[int], dtype: Any = "float32", rounds: int = 3, settle: float = SETTLE
) -> dict[str, Any]:
    """Measure cases on the active backend; the result is ready for JSON.

    "threads", "left_out": the numbers of threads that are measured, and those beyond the cores
    "bandwidth": bytes/s by number of threads
    "results": for each pass of each case

        one, serial: processor time of a call on one thread, and of its serial part
        bytes: of all arrays, each read or written once
        seconds: {number of threads: {median, fastest, samples}}
        model: {number of threads: seconds}, those beyond the cores too
    """
    cores = thread_count.cores()
    measured = [number for number in wanted if number <= cores]
    bandwidth = {}
    for number in measured:
        with threads.use_num_threads(number):
            bandwidth[number] = roofline.copy(BANDWIDTH_SECONDS)
    results = []
    for case in cases:
        arguments = case.inputs(dtype)
        for direction, call in case.calls(arguments).items():
            results.append(_measure(case, direction, call, arguments, measured, wanted, bandwidth, rounds, settle))
    return {
        "threads": measured,
        "left_out": [number for number in wanted if number > cores],
        "bandwidth": {str(number): value for number, value in bandwidth.items()},
        "results": results,
    }


def _measure(case, direction, call, arguments, measured, wanted, bandwidth, rounds, settle) -> dict[str, Any]:
    moved = moved_bytes(case, direction, arguments, call())
    with threads.use_num_threads(1):
        one = processor_seconds(call, settle)
    with threads.skip_parallel_loops():
        serial = min(one, processor_seconds(call, min(settle, SERIAL_SECONDS)))
    turns = {str(number): call for number in measured}
    timings = measure.alternate(turns, rounds, settle, around=lambda name: threads.use_num_threads(int(name)))
    return {
        "case": case.name,
        "operation": case.operation,
        "pass": direction,
        "one": one,
        "serial": serial,
        "bytes": moved,
        "seconds": {name: timing._asdict() for name, timing in timings.items()},
        "model": {str(number): model(number, one, serial, moved, bandwidth) for number in wanted},
    }


def processor_seconds(call: Callable[[], Any], seconds: float) -> float:
    """The least processor time of the calling thread, of calls for so many seconds, at least three."""
    call()
    samples, end = [], time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < end:
        start = time.thread_time()
        call()
        samples.append(time.thread_time() - start)
    return min(samples)


def moved_bytes(case: Case, direction: str, arguments: dict[str, Any], results: Any) -> int:
    """The bytes of all arrays that a pass reads or writes."""
    cost, unit = case.cost(direction, next(value.itemsize for value in arguments.values() if _is_float(value)))
    if unit == "B/s":
        return int(cost)
    given = [arguments[name] for name in case.functions[direction].arguments]
    returned = results if isinstance(results, (tuple, list)) else (results,)
    return sum(value.nbytes for value in (*given, *returned) if isinstance(value, np.ndarray))


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def model(number: int, one: float, serial: float, moved: float, bandwidth: dict[int, float]) -> float:
    """The modelled seconds on so many threads; see the module's docstring."""
    parallel = one - serial
    most = max(count for count in bandwidth if count <= number)
    from_memory = 0.0 if moved / bandwidth[1] > parallel else moved / bandwidth[most]
    return serial + max(parallel / number, from_memory)


def serial_shares(part: dict[str, Any]) -> dict[str, float]:
    """The serial part of the time on one thread, for calls of at least a millisecond."""
    long = [result for result in part["results"] if result["one"] >= LONG]
    return {f"{result['case']}, {result['pass']}": result["serial"] / result["one"] for result in long}


def left_out(part: dict[str, Any]) -> str:
    """A sentence about the numbers of threads that were not measured, or nothing."""
    if not part["left_out"]:
        return ""
    return f"Not measured, being more threads than cores: {', '.join(map(str, part['left_out']))}.\n\n"


def table(part: dict[str, Any]) -> str:
    """A Markdown table with a row for each pass of each case: the serial part, measured and modelled speedups."""
    rows = []
    for result in part["results"]:
        share = f"{100 * result['serial'] / result['one']:.1f} %"
        cells = [duration(result["one"]), duration(result["serial"]), share]
        rows.append([result["case"], result["pass"], *cells, *map(digits, speedups(result).values())])
    return markdown(["case", "pass", "1 thread", "serial", "share", *headings(part)], rows, left=(0, 1))


def overview(part: dict[str, Any]) -> str:
    """A Markdown table with a row for each operation: geometric means of its speedups, and its largest serial share."""
    rows = []
    for operation, results in summary.grouped(part["results"], "operation").items():
        long = [result for result in results if result["one"] >= LONG]
        if not long:
            continue
        found = [speedups(result) for result in long]
        means = [digits(summary.geometric_mean(each[name] for each in found)) for name in found[0]]
        where, share = max(serial_shares({"results": long}).items(), key=lambda item: item[1])
        rows.append([operation, str(len(long)), *means, f"{100 * share:.1f} %", where])
    names = ["operation", "calls", *headings(part), "largest serial share", "where"]
    return markdown(names, rows, left=(0, len(names) - 1))


def headings(part: dict[str, Any]) -> list[str]:
    """The headings of `speedups`."""
    return [name.replace("model", "model,") for name in (speedups(part["results"][0]) if part["results"] else ())]


def speedups(result: dict[str, Any]) -> dict[str, float]:
    """Speedups over one thread by what a column shows: measured ones, then those of the model."""
    medians = {number: timing["median"] for number, timing in result["seconds"].items()}
    measured = {f"{number} threads": medians["1"] / value for number, value in medians.items() if number != "1"}
    modelled = {f"model {number}": result["one"] / value for number, value in result["model"].items() if number != "1"}
    return measured | modelled


if __name__ == "__main__":
    sys.exit(main())
