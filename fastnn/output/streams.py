"""Text streams that ignore errors: stdout may be closed, full, or limited to ASCII without stopping the work."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def say(text: str, flush: bool = False) -> None:
    """Print a line on stdout, ignoring errors."""
    print(text, file=Stream(sys.stdout), flush=flush)


class Stream:
    """A text stream that never raises: characters that cannot be encoded are escaped, failed writes are dropped.

    stream: the stream to write to; None, as Python sets a closed stdout, drops everything
    error: the first error of a write, or None
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        if self.stream is not None:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # ValueError: the program closed it
                self.error = self.error or error
        return len(text)

    def flush(self) -> None:
        if self.stream is not None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self.error = self.error or error

    def isatty(self) -> bool:
        try:
            return self.stream is not None and self.stream.isatty()
        except ValueError:  # the program closed it
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError as error:
            self.stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


@contextlib.contextmanager
def tolerant() -> Iterator[Stream]:
    """Replace sys.stdout and sys.stderr by a Stream during the block; yields that of stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file opened would get its number, and the output of C code
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    with (
        contextlib.redirect_stdout(Stream(sys.stdout)) as output,
        contextlib.redirect_stderr(Stream(sys.stderr)) as errors,
    ):
        try:
            yield output
        finally:
            for stream in (output, errors):
                stream.flush()
                if stream.error is not None:
                    _give_up(stream)


def _give_up(stream: Stream) -> None:
    """Redirect a failed stream to the null device, so that Python can flush its buffer at exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
