"""Time the working tree against a commit: the same cases, interleaved, on one machine.

    python benchmarks/bench_against.py HEAD~1                        every operation and training step
    python benchmarks/bench_against.py main --only conv2d norm       cases whose names contain one of these words
    python benchmarks/bench_against.py main --limit 1.1              exit code 1 if a case takes 1.1 times as long

The commit is checked out into a git worktree in a temporary folder, which is always removed. Each tree runs in its own
process and compiles into its own folder. Cases belong together by their names, which contain their sizes; training
steps are those of the working tree. A case that the commit lacks, or computes wrongly, is printed with the reason. The
table has medians.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WIDTH = 58  # of a case's name


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.worker:
        _work()
        return 0
    with trees(ROOT, options.base) as folders, contextlib.ExitStack() as stack:
        base, new = (stack.enter_context(contextlib.closing(Worker(folder))) for folder in folders)
        names = new.ask("names", options.only, options.dtype)
        if not names:
            sys.exit(
                f"bench_against: no case name contains one of {options.only}; expected words of names such as conv2d"
            )
        print(f"{options.dtype:{WIDTH + 10}}{options.base[:11]:>11}{'now':>11}{'now / then':>12}", flush=True)
        ratios = list(compare(base, new, names, options))
    if ratios:
        print(f"{'geometric mean':{WIDTH + 32}}{statistics.geometric_mean(ratios):>12.2f}")
    slower = [ratio for ratio in ratios if options.limit and ratio > options.limit]
    if slower:
        print(f"{len(slower)} of {len(ratios)} take more than {options.limit:g} times as long")
    return int(bool(slower))


def compare(base: "Worker", new: "Worker", names: Iterable[str], options: argparse.Namespace) -> Iterator[float]:
    """Time the cases, print a line for each pass, and yield its ratio."""
    for name in names:
        found = {worker: worker.ask("prepare", name, options.dtype) for worker in (base, new)}
        reasons = [f"{side}: {found[worker]}" for side, worker in (("then", base), ("now", new))
                   if isinstance(found[worker], str)]  # fmt: skip
        if reasons:
            print(f"{name:{WIDTH}} {'; '.join(reasons)}", flush=True)
            continue
        for direction in found[new]:
            if direction not in found[base]:
                continue
            seconds: dict[Worker, list[float]] = {base: [], new: []}
            for _ in range(options.rounds):
                for worker, values in seconds.items():
                    values.append(worker.ask("turn", direction, options.settle))
            then, now = (statistics.median(values) for values in seconds.values())
            print(
                f"{name:{WIDTH}} {direction:9}{then * 1e3:>8.3f} ms{now * 1e3:>8.3f} ms{now / then:>12.2f}", flush=True
            )
            yield now / then


@contextlib.contextmanager
def trees(root: Path, base: str) -> Iterator[tuple[Path, Path]]:
    """Two temporary folders to import from, fastnn of the commit `base` and of the working tree.

    They are copies: `kernels/` becomes `fastnn/kernels/` without an installation, and edits during the measurement have
    no effect. Exits if git does not know the commit.
    """
    with tempfile.TemporaryDirectory(prefix="fastnn-against-") as name:
        folder = Path(name)
        checkout = folder / "checkout"
        try:
            _git(root, "worktree", "add", "--quiet", "--detach", str(checkout), f"{base}^{{commit}}")
            for side, tree in (("base", checkout), ("new", root)):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(tree / "fastnn", folder / side / "fastnn", ignore=ignored)
                shutil.copytree(tree / "kernels", folder / side / "fastnn" / "kernels", ignore=ignored)
            yield folder / "base", folder / "new"
        finally:
            shutil.rmtree(checkout, ignore_errors=True)
            _git(root, "worktree", "prune")


def _git(root: Path, *command: str) -> None:
    run = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"bench_against: git {' '.join(command)} failed: {run.stderr.strip()}")


class Worker:
    """A process that imports fastnn from a folder and answers requests, each a line of JSON."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, "--worker", "HEAD"]
        environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "compiled")}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process: Any = subprocess.Popen(command, env=environment, text=True, **pipes)

    def ask(self, *request: Any) -> Any:
        """The answer to a request: a method of `Requests` and its arguments."""
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("bench_against: a worker process ended unexpectedly; see its message above")
        return json.loads(answer)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


def _work() -> None:
    """Answer requests until the input ends. Ctrl-C is handled by the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answers, sys.stdout = sys.stdout, sys.stderr
    requests = Requests()
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(requests, method)(*arguments)), file=answers, flush=True)


class Requests:
    """The requests that a worker answers; the case prepared last is timed."""

    def __init__(self) -> None:
        import steps
        from networks import STEPS

        from fastnn.benchmarking.cases import CASES

        self._steps, self._calls = steps, {}
        self._cases = {case.name: case for case in CASES}
        self._networks = {f"step of {network.name}": network for network in STEPS}

    def names(self, words: list[str], dtype: str) -> list[str]:
        """The cases whose names contain one of the words, or all. The networks are float32."""
        every = [*self._cases, *(self._networks if dtype == "float32" else [])]
        return [name for name in every if not words or any(word.lower() in name.lower() for word in words)]

    def prepare(self, name: str, dtype: str) -> list[str] | str:
        """Compile the case and check its values; return its passes, or the error as a string."""
        try:
            if name in self._networks:
                network = self._networks[name]
                self._calls = {"step": self._steps.solver_step(network, self._steps.noise(network))}
                self._calls["step"]()
            else:
                import fastnn
                from fastnn.benchmarking import report

                case = self._cases[name]
                arrays = case.inputs(dtype)
                self._calls = case.calls(arrays)
                report.check(case, report.reference(case, arrays), fastnn.get_backend(), self._calls, dtype)
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return list(self._calls)

    def turn(self, direction: str, settle: float) -> float:
        """Seconds per call, the median of a turn."""
        from fastnn.benchmarking import measure

        return measure.alternate({direction: self._calls[direction]}, rounds=1, settle=settle)[direction].median


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("base", metavar="BASE", help="a commit, branch or tag")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="cases whose names contain one of these words"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default %(default)s")
    parser.add_argument("--limit", type=float, metavar="RATIO", help="exit code 1 if now / then exceeds this")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each tree, default %(default)s")
    parser.add_argument("--settle", type=float, default=0.1, help="seconds before a turn is timed, default %(default)s")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exit that cleans up
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
