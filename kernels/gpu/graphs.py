"""CUDA graphs: GPU work that is captured once and replayed in one launch, without Python.

A function can be captured if two calls of it leave the same trace, see `tracing`. `capture` runs its Python code, but
its kernels only become part of the graph.

A graph uses the addresses of the capture, so it gets its memory from a pool of its own. CuPy returns the memory of a
pool to the GPU only on request, so that is done when the graph is gone: at once, or if arrays of the pool are still in
use, with the next graph.

Source: NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs"; CuPy, "Memory Management".
"""

import contextlib
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from . import tracing
from .memory import xp


class CaptureFailed(RuntimeError):
    """A function cannot be captured: it waited for the GPU, copied, or failed."""


class Replay:
    """A captured graph, launched on the current stream by each call. Call it inside a `CaptureStream`.

    kept: cached tables that it reads
    """

    def __init__(self, graph: Any, pool: Any, kept: list) -> None:
        self._graph, self._kept = [graph], kept
        weakref.finalize(self, _release, self._graph, pool, xp.cuda.Device().id).atexit = False

    def __call__(self) -> None:
        self._graph[0].launch(xp.cuda.get_current_stream())


_released: list[tuple[int, Any]] = []  # devices and pools of graphs that are gone
_idle: dict[int, list[Any]] = defaultdict(list)  # streams of each device that nobody uses


def capture(function: Callable[[], None]) -> Replay:
    """Capture the GPU work of a function, without running it. Call this inside a `CaptureStream`.

    Raises CaptureFailed; the function has then run in part, but no kernel of it.
    """
    _free_released()
    stream, pool = xp.cuda.get_current_stream(), xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc), tracing.keeping() as kept:  # nobody else gets the pool's memory
        try:
            stream.begin_capture()
            function()
            graph = stream.end_capture()
        except BaseException as error:
            if stream.is_capturing():
                with contextlib.suppress(xp.cuda.runtime.CUDARuntimeError):  # would hide the cause
                    stream.end_capture()
            _released.append((xp.cuda.Device().id, pool))
            if not isinstance(error, Exception):
                raise
            raise CaptureFailed(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    return Replay(graph, pool, kept)


def _release(graph: list, pool: Any, device: int) -> None:
    graph.clear()  # before its memory
    _released.append((device, pool))
    _free_released()


def _free_released() -> None:
    """Return the memory of graphs that are gone to the GPU, but for what arrays still use."""
    for _ in range(len(_released)):
        device, pool = _released.pop(0)
        with xp.cuda.Device(device):
            pool.free_all_blocks()
            if pool.total_bytes():
                _released.append((device, pool))


class CaptureStream:
    """Context manager: a stream on which work is captured and replayed, not the default one, which cannot capture.

    Streams are used again, because CuPy's pool keeps the memory of each stream for itself.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    def __enter__(self) -> None:
        xp.cuda.get_current_stream().synchronize()
        idle = _idle[xp.cuda.Device().id]
        self._stream = idle.pop() if idle else xp.cuda.Stream(non_blocking=True)
        self._stream.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)
        self._stream.synchronize()
        _idle[xp.cuda.Device().id].append(self._stream)
        self._stream = None
