"""Workers that judge a file: those that hang are ended, and a new one goes on with the next function."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .judging import ENDED, SLOW, Finding, ended

MEMORY = 4 << 30  # bytes of a worker's address space
_PATIENCE, _SPARE = 4, 20  # wall-clock seconds for each second of the processor that a function may take, and more
_LEAVING = 10  # seconds for a process to end after its last message
_START = 120  # seconds for Python and NumPy to be loaded, on a busy machine
_ENVIRONMENT = {
    "MPLBACKEND": "Agg",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONIOENCODING": "utf-8",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
}


def judge_file(
    path: Path,
    names: Sequence[str] | None,
    limit: float,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Finding]:
    """Judge functions of a file, each for at most `limit` seconds of the processor.

    names: of the functions; None: those of the file, and the other passes of the same layers
    Returns a finding for each; a single one without a function if the file cannot be imported.
    """
    options = {"path": str(path.resolve()), "limit": limit, "memory": memory, "seed": seed}
    left: list[str] | None = None if names is None else list(names)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        while left is None or left:
            failed = [finding.function for finding in findings if finding.status in (SLOW, ENDED)]
            found, left = _of_one_worker({**options, "names": left, "failed": failed}, left, folder, progress)
            findings += found
    return findings


def _of_one_worker(
    options: Mapping[str, Any], names: list[str] | None, folder: str, progress: Callable[[str], None]
) -> tuple[list[Finding], list[str]]:
    """The findings of one worker, and the names that are left; at least one name less, or an error of the file."""
    findings: list[Finding] = []
    current, fault = "", None
    with _started(options, folder) as (messages, end):
        patience = _START + _patience(options)
        while True:
            try:
                message = messages.get(timeout=patience)
            except queue.Empty:
                code = end(kill=True)
                break
            if message is None:
                code = end(kill=False)
                break
            patience = _patience(options)
            if "plan" in message:
                names = message["plan"]
            elif "begin" in message:
                current, fault = message["begin"], None
                progress(current)
            elif "fault" in message:
                fault = _finding(message["fault"])
            elif "finding" in message:
                findings.append(_finding(message["finding"]))
                current = ""
            else:
                return [_finding(message["error"])], []
    if not current:  # the end of the list, or an import that ended the process
        done = names is not None and len(findings) == len(names)
        return (findings, []) if done else ([ended("", code)], [])
    findings.append(fault or ended(current, code))
    names = names or []
    return findings, names[names.index(current) + 1 :]


@contextlib.contextmanager
def _started(options: Mapping[str, Any], folder: str) -> Iterator[tuple[queue.Queue, Callable]]:
    """Start a worker. Yields its messages, None after the last one, and a function that waits for its end.

    That returns the exit code, or None if the process was ended for its time.
    """
    command = [sys.executable, "-P", "-m", f"{__package__}.worker", json.dumps(options)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **_ENVIRONMENT}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, encoding="utf-8", errors="replace", start_new_session=os.name == "posix",
    )  # fmt: skip
    messages: queue.Queue = queue.Queue()

    def read() -> None:
        with process.stdout as lines:  # type: ignore[union-attr]  # a pipe
            for line in lines:
                with contextlib.suppress(ValueError):  # an incomplete last line
                    messages.put(json.loads(line))
        messages.put(None)

    def end(kill: bool) -> int | None:
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=_LEAVING)
                return None if hasattr(signal, "SIGPROF") and code == -signal.SIGPROF else code
        _kill(process)
        return None

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield messages, end
    finally:
        if process.poll() is None:
            _kill(process)
        reader.join(timeout=_LEAVING)


def _patience(options: Mapping[str, Any]) -> float:
    return _PATIENCE * options["limit"] + _SPARE


def _kill(process: subprocess.Popen) -> None:
    """End the process and those that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _finding(fields: Mapping[str, Any]) -> Finding:
    return Finding(**{**fields, "details": tuple(fields["details"]), "remarks": tuple(fields["remarks"])})
