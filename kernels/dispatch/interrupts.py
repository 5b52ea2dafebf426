"""Ctrl-C is delayed while something must not stop half way."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def delayed() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block: a file, an import or Numba's types would be left half done."""
    main = threading.current_thread() is threading.main_thread()  # only this thread receives signals
    if not main or signal.getsignal(signal.SIGINT) is None:  # a handler set outside Python could not be restored
        yield
        return
    pending: list[tuple] = []
    handler: Callable | int | None = signal.signal(signal.SIGINT, lambda *arguments: pending.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending and callable(handler):
        handler(*pending[0])
