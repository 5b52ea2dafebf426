"""Time of a parallel launch: fastnn's worker threads and numba's threading layers, on an idle and on a busy machine.

    python benchmarks/launch.py

The kernel does almost no work, on one part per thread. "at once": launches in immediate succession; "after a pause":
launches after 2 ms of other work in Python; "busy": as "at once", while another process occupies each core. Layers
that are not installed are marked so.
"""

import json
import os
import statistics
import subprocess
import sys
import time

OWN, LAYERS = "fastnn", ("omp", "workqueue", "tbb")
ROUNDS, PAUSE = 300, 2e-3  # seconds


def main() -> None:
    from fastnn.kernels.cpu import thread_count

    cores = thread_count.cores()
    print(f"microseconds for a launch on {cores} threads: median (and the slowest of a hundred)\n")
    print(f"{'':12}{'at once':>20}{'after a pause':>20}{'busy':>20}")
    for name in (OWN, *LAYERS):
        found = _measured(name, ROUNDS)
        if found is None:
            print(f"{name:12}{'not installed':>20}")
            continue
        spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
        try:
            found["busy"] = (_measured(name, ROUNDS) or found)["at once"]
        finally:
            for process in spinning:
                process.kill()
                process.wait()
        print(f"{name:12}" + "".join(f"{_text(found[how]):>20}" for how in ("at once", "after a pause", "busy")))


def _text(samples: list[float]) -> str:
    slowest = sorted(samples)[-max(1, len(samples) // 100)]
    return f"{1e6 * statistics.median(samples):,.1f} ({1e6 * slowest:,.0f})"


def _measured(name: str, rounds: int) -> dict[str, list[float]] | None:
    """Seconds of each launch, measured in a new process; None if the layer is not installed."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "default" if name == OWN else name}
    command = [sys.executable, __file__, name, str(rounds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _launcher(name: str):
    """A function that runs a tiny kernel on all threads."""
    import numba
    import numpy as np

    from fastnn.kernels.cpu import threads

    count = threads.get_num_threads()
    out = np.zeros(64 * count)  # a separate cache line for each thread
    if name == OWN:

        @threads.parallel(grain=1)
        def add(start, stop, out):
            for part in range(start, stop):
                out[64 * part] += 1

        return lambda: add(count, out)

    @numba.njit(parallel=True, nogil=True, error_model="numpy")
    def add_in_layer(count, out):
        for part in numba.prange(count):
            out[64 * part] += 1

    return lambda: add_in_layer(count, out)


def measure(name: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each launch, at once and after a pause."""
    launch = _launcher(name)
    launch()
    found: dict[str, list[float]] = {"at once": [], "after a pause": []}
    for how, pause in (("at once", 0.0), ("after a pause", PAUSE)):
        for _ in range(rounds):
            end = time.perf_counter() + pause
            while time.perf_counter() < end:
                pass
            begin = time.perf_counter()
            launch()
            found[how].append(time.perf_counter() - begin)
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
