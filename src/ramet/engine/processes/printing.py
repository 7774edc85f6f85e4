"""Print the output of worker processes line by line, each line with its member in front.

A worker writes a mark into its output where the turn of another member begins. The parent keeps
reading the output from pipes, and prints it to its own stdout and stderr.
"""

import codecs
import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Literal

from ramet.engine.run.turn import Turn
from ramet.wording import encodable

# ASCII's record separator, which text does not contain.
MARK = b"\x1eramet:"
# Bytes to read at a time.
READ_BYTES = 1 << 16
# Bytes of an unfinished line, such as a progress bar, after which it is shortened or shown.
LONGEST_BYTES = 1 << 14
# Time to wait for the last lines of a worker that has ended; its children may still print.
LAST_S = 1.0

_OUT, _ERR = 1, 2
# Lines of several workers must not mingle.
_printing = threading.Lock()


class Announcer:
    """Marks in a worker's output which member's turn begins."""

    def __init__(self) -> None:
        self._member: int | None = None
        # Copies, because the user's code may redirect the descriptors.
        self._outputs = (os.dup(_OUT), os.dup(_ERR))

    def begins(self, turn: Turn) -> None:
        """Mark the beginning of a turn, so that lines from here on carry its member."""
        if turn.member == self._member:
            return
        self._member = turn.member
        for stream, output in zip((sys.stdout, sys.stderr), self._outputs, strict=True):
            with contextlib.suppress(Exception):  # The user's code may have closed it.
                stream.flush()
            with contextlib.suppress(OSError):
                os.write(output, MARK + f"member {turn.member}\n".encode())


def buffer_lines() -> None:
    """Make stdout and stderr line-buffered and UTF-8, as the parent reads them.

    Call it before any of the user's code runs.
    """
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper):
            # The parent decodes UTF-8, whatever encoding it prints with.
            stream.reconfigure(encoding="utf-8", errors=stream.errors, line_buffering=True)


class Lines:
    """Splits chunks of bytes into lines, and puts the member in front of each."""

    def __init__(self, of: str) -> None:
        self._of, self._pending = of, b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that end in a chunk."""
        *whole, self._pending = (self._pending + chunk).split(b"\n")
        for line in whole:
            yield from self._line(line)
        if len(self._pending) > LONGEST_BYTES:
            # A line that overwrites itself with \r shows only its last text.
            self._pending = self._pending[self._pending.rfind(b"\r") + 1 :]
        if len(self._pending) > LONGEST_BYTES:
            # Keep what the next chunk may continue: a mark, or a character of several bytes.
            shown = _uncut(self._pending) or len(self._pending)
            kept = self._pending[shown:]
            self._pending = self._pending[:shown]
            yield from self.end()
            self._pending = kept

    def end(self) -> Iterator[str]:
        """Yield the last line, if it is unfinished."""
        pending, self._pending = self._pending, b""
        if pending:
            yield from self._line(pending)

    def _line(self, line: bytes) -> Iterator[str]:
        before, mark, member = line.partition(MARK)
        if before or not mark:
            text = before.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
            # Our own warnings about a member begin with it already.
            named = text.startswith((f"{self._of} ", f"{self._of}, "))
            yield f"{text}\n" if named else f"[{self._of}] {text}\n"
        if mark:
            self._of = member.decode(errors="replace")


def _uncut(line: bytes) -> int:
    """Return the number of bytes before an unfinished mark or character at the end of a line."""
    at = line.rfind(MARK[:1])
    if at >= 0 and (line.startswith(MARK, at) or MARK.startswith(line[at:])):
        # The number of the member behind a whole mark may be unfinished, too.
        return at
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(line)
    return len(line) - len(decoder.getstate()[0])


class Prints:
    """The output of one worker process."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._pipes = {"stdout": os.pipe(), "stderr": os.pipe()}
        self._readers: list[threading.Thread] = []

    @property
    def stdout(self) -> int:
        """The descriptor that the process writes its stdout to."""
        return self._pipes["stdout"][1]

    @property
    def stderr(self) -> int:
        """The descriptor that the process writes its stderr to."""
        return self._pipes["stderr"][1]

    @property
    def held(self) -> tuple[int, int]:
        """The reading ends of the pipes, which the process also holds open.

        Otherwise printing would fail after the parent was killed, and count as a failure of the
        member.
        """
        return self._pipes["stdout"][0], self._pipes["stderr"][0]

    def show(self) -> None:
        """Start to print the output of the process, until it and its children have ended."""
        streams: tuple[Literal["stdout", "stderr"], ...] = ("stdout", "stderr")
        for stream in streams:
            reading, writing = self._pipes[stream]
            os.close(writing)
            reader = threading.Thread(
                target=_show, args=(reading, stream, Lines(self._of)), daemon=True
            )
            reader.start()
            self._readers.append(reader)

    def end(self) -> None:
        """Wait until the last lines of an ended process are printed."""
        for reader in self._readers:
            reader.join(LAST_S)


def _show(reading: int, stream: Literal["stdout", "stderr"], lines: Lines) -> None:
    with open(reading, "rb", buffering=0) as pipe:
        while chunk := pipe.read(READ_BYTES):
            _print("".join(lines.feed(chunk)), stream)
    _print("".join(lines.end()), stream)


def _print(text: str, stream: Literal["stdout", "stderr"]) -> None:
    # Go on reading even if the parent cannot print: full pipes would block its workers.
    with _printing, contextlib.suppress(Exception):
        output = getattr(sys, stream)
        try:
            output.write(text)
        except UnicodeEncodeError:
            output.write(encodable(text, output.encoding))
        output.flush()
