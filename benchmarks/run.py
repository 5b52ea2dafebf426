"""Measure everything on this machine and write the report: operations, training steps, peers, start-up.

    python benchmarks/run.py                               everything, less than half an hour on two cores
    python benchmarks/run.py --only steps startup          these parts; results of the others are kept
    python benchmarks/run.py --only threads --threads 1,2,4       speedups on these numbers of threads
    python benchmarks/run.py --only operations --cases conv pool       cases whose names contain one of these words
    python benchmarks/run.py --rough --out try.json        quick and rough, to test that everything runs

Each part runs in a separate process: `default` with the default malloc, `tuned` with the settings of
`fastnn.benchmarking.malloc` and PyTorch's fused optimisers. `peers` are torch.compile, JAX and scikit-learn, by
`bench_peers.py`, which also says what they need; `threads` is measured by `bench_threads.py`. Operations, steps and
peers are compared before they are timed. Results are written to results/<machine>.json and, if whole parts were
measured, a line of ratios to results/history/<machine>.jsonl; `benchmarks/report.py` writes the report.
Requires PyTorch and an idle machine.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_peers
import bench_threads
import targets
from bench_startup import time_startup
from networks import STEPS
from steps import time_steps

import fastnn
from fastnn import environment as machine
from fastnn.benchmarking import malloc
from fastnn.benchmarking import report as operations
from fastnn.benchmarking.cases import CASES
from fastnn.kernels.cpu import thread_count

FOLDER = Path(__file__).parent / "results"
SERIES = ("operations", "steps", "peers", "threads", "startup")
PARTS = (
    "operations float32 default",
    "operations float32 tuned",
    "operations float64 default",
    "operations float64 tuned",
    "steps default",
    "steps tuned",
    "peers",
    "threads",
    "startup",
)
ACCURATE: dict[str, Any] = {"rounds": 3, "settle": 0.22}
ROUGH: dict[str, Any] = {"rounds": 1, "settle": 0.0}


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    if (arguments.rough or arguments.part) and not arguments.out:
        parser.error("--rough and --part need --out FILE: their results do not go into the report")
    if arguments.part:
        effort = ROUGH if arguments.rough else ACCURATE
        measured = measure_part(arguments.part, arguments.cases, effort, arguments.threads)
        arguments.out.write_text(json.dumps(measured), encoding="utf-8")
        return 0
    about = {**machine.describe(), "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    path = arguments.out or FOLDER / f"{machine_name()}.json"
    known: dict[str, Any] = {"parts": {}}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    for part in PARTS:
        if part.split()[0] not in arguments.only:
            continue
        print(f"{part} ...", flush=True)
        measured = {"machine": about, **_in_new_process(part, arguments)} | {"machine": about}
        before = known["parts"].get(part) if arguments.cases else None
        known["parts"][part] = merged(before, measured)
        known["parts"] = {name: known["parts"][name] for name in PARTS if name in known["parts"]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(known), encoding="utf-8")
    print(f"{path} written.")
    if not arguments.cases:
        fresh = {name: part for name, part in known["parts"].items() if part["machine"]["commit"] == about["commit"]}
        add_to_history(path.parent / "history" / f"{path.stem}.jsonl", about, targets.ratios(fresh))
    if arguments.out is None:
        return subprocess.run([sys.executable, str(Path(__file__).parent / "report.py")]).returncode
    return 0


def measure_part(
    part: str, words: list[str], effort: dict[str, Any], counts: tuple[int, ...] = bench_threads.COUNTS
) -> dict[str, Any]:
    """Measure one of `PARTS`, in this process; `counts` are numbers of threads."""
    series, *kinds = part.split()
    tuned = kinds[-1:] == ["tuned"]
    if series == "startup":
        repeats = {"repeats": 1, "compilations": 1} if effort is ROUGH else {}
        return {"results": [{"series": name, "seconds": value} for name, value in time_startup(**repeats).items()]}
    if series == "steps":
        chosen = [network for network in STEPS if is_meant(network.name, words)]
        return {"results": [time_steps(network, fused=tuned, **effort) for network in chosen]}
    if series == "peers":
        meant = [network for network in bench_peers.NETWORKS if is_meant(network.name, words)]
        return {"results": [bench_peers.time_peers(network, **effort) for network in meant]}
    if series == "threads":
        chosen_cases = [case for case in CASES if is_meant(case.name, words)]
        settle = {"settle": 0.0} if effort is ROUGH else {}
        measured = bench_threads.measure_cases(chosen_cases, counts, rounds=effort["rounds"], **settle)
        print(bench_threads.left_out(measured).strip())
        return measured
    subject = fastnn.get_backend()
    names = [line.name for line in fastnn.backends() if line.available]
    if tuned:
        names = [subject]
    elif kinds[0] == "float64":
        names.remove(operations.SPECIFICATION)  # the loops take as long as in float32
    patience = 0.1 if effort is ROUGH else 1.0
    cases = [case for case in CASES if is_meant(case.name, words)]
    measured = operations.run(names, subject, cases, dtype=kinds[0], patience=patience, **effort)
    del measured["summary"]  # computed from the results
    return measured


def is_meant(name: str, words: list[str]) -> bool:
    """Whether a name contains one of the words, or there are no words."""
    return not words or any(word.lower() in name.lower() for word in words)


def _in_new_process(part: str, arguments: argparse.Namespace) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name not in malloc.TUNED}
    if part.endswith("tuned"):
        environment |= malloc.TUNED
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.json"
        command = [sys.executable, __file__, "--part", part, "--out", str(out)]
        command += ["--threads", ",".join(map(str, arguments.threads)), *["--rough"] * arguments.rough]
        command += ["--cases", *arguments.cases] if arguments.cases else []
        subprocess.run(command, env=environment, check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def merged(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """A newly measured part, with earlier results that were not measured again."""
    if before is None:
        return now
    results = {_key(result): result for result in (*before["results"], *now["results"])}
    return {**now, "results": list(results.values())}


def _key(result: dict[str, Any]) -> tuple:
    return tuple(result.get(name) for name in ("case", "pass", "network", "series"))


def add_to_history(path: Path, about: dict[str, Any], ratios: dict[str, Any]) -> None:
    """Append the line of this commit, replacing an earlier one."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for line in lines if json.loads(line)["commit"] != about["commit"]]
    lines.append(dump({"commit": about["commit"], "date": about["date"], **ratios}, wide=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def machine_name() -> str:
    """A file name for this machine: processor, LLVM's name of its architecture, number of cores."""
    import llvmlite.binding

    design = llvmlite.binding.get_host_cpu_name().replace("znver", "zen")
    words = re.sub(r"\(\w+\)", " ", f"{machine.cpu_name()} {design} {thread_count.cores()} cores")
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def dump(value: Any, wide: bool = False, indent: str = "") -> str:
    """JSON with floats of four digits and one line per result, for readable diffs."""
    if isinstance(value, dict) and not wide and indent != "   ":
        inner = [f"{indent} {json.dumps(key)}: {dump(item, wide, indent + ' ')}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{indent}}}" + ("" if indent else "\n")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"{indent} {dump(item, True)}" for item in value) + f"\n{indent}]"
    return json.dumps(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", choices=SERIES, default=SERIES, help="default all")
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="WORD", help="cases whose names contain one of these words"
    )
    parser.add_argument(
        "--threads", type=bench_threads.counts, default=bench_threads.COUNTS, metavar="N,N",
        help="numbers of threads of the part `threads`, default 1,2,4,8,16; more than there are cores are left out",
    )  # fmt: skip
    parser.add_argument("--rough", action="store_true", help="time each case once, as a test")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to this file; no report")
    parser.add_argument("--part", choices=PARTS, metavar="PART", help="measure one part in this process, into --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
