"""Streams that do not fail the work that prints to them: they may be closed, full, or limited to ASCII."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def say(text: str, flush: bool = False) -> None:
    """Print a line on stdout; where that is impossible, nothing happens."""
    print(text, file=Stream(sys.stdout), flush=flush)


class Stream:
    """A text stream that raises nothing: what cannot be encoded is escaped, what cannot be written is dropped.

    stream: where to write; None, which is what Python makes of a closed stdout: nowhere
    error: why something could not be written, if that was so
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
    """Inside the block sys.stdout, which it returns, and sys.stderr are such streams."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # it is closed: the next file would get its number, and what C code prints
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
    """Lead a stream that failed nowhere, where what it still holds can be written when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
