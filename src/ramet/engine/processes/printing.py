"""What worker processes print: shown by their parent, line by line, each with its member.

A worker writes a mark into its own output where the turn of another member begins. Its parent reads
the output from pipes, which it empties all the time, and prints it where it prints itself.
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

# Separates records in ASCII, which text has no use for.
MARK = b"\x1eramet:"
CHUNK = 1 << 16
# Bytes of a line without an end, such as that of a progress bar, before it is shortened or shown.
LONGEST = 1 << 14
# How long is waited for the last lines of a worker that has ended: what it started may print on.
LAST_S = 1.0

_OUT, _ERR = 1, 2
# Lines of several workers must not mingle.
_printing = threading.Lock()


class Announcer:
    """In a worker process, says in its output whose turn begins."""

    def __init__(self) -> None:
        self._member: int | None = None
        # The user's code may put something else in their place.
        self._outputs = (os.dup(_OUT), os.dup(_ERR))

    def begins(self, turn: Turn) -> None:
        """Have what is printed from here on be of a turn's member."""
        if turn.member == self._member:
            return
        self._member = turn.member
        for stream, output in zip((sys.stdout, sys.stderr), self._outputs, strict=True):
            with contextlib.suppress(Exception):  # The user's code may have closed it.
                stream.flush()
            with contextlib.suppress(OSError):
                os.write(output, MARK + f"member {turn.member}\n".encode())


def buffer_lines() -> None:
    """Have Python's own outputs write line by line, and as they are read.

    It is called before any code of the user's runs.
    """
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, io.TextIOWrapper):
            # Whatever encoding the parent prints with.
            stream.reconfigure(encoding="utf-8", errors=stream.errors, line_buffering=True)


class Lines:
    """Makes lines, each with what it is of in front, from bytes in pieces of any length."""

    def __init__(self, of: str) -> None:
        self._of, self._pending = of, b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that end in a piece."""
        *whole, self._pending = (self._pending + chunk).split(b"\n")
        for line in whole:
            yield from self._line(line)
        if len(self._pending) > LONGEST:
            # Of what overwrites itself, only the last can be seen.
            self._pending = self._pending[self._pending.rfind(b"\r") + 1 :]
        if len(self._pending) > LONGEST:
            # What may go on in the next piece is kept: a mark, or a character of several bytes.
            shown = _uncut(self._pending) or len(self._pending)
            kept = self._pending[shown:]
            self._pending = self._pending[:shown]
            yield from self.end()
            self._pending = kept

    def end(self) -> Iterator[str]:
        """Yield a last line that has no end."""
        pending, self._pending = self._pending, b""
        if pending:
            yield from self._line(pending)

    def _line(self, line: bytes) -> Iterator[str]:
        said, mark, member = line.partition(MARK)
        if said or not mark:
            text = said.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
            yield f"[{self._of}] {text}\n"
        if mark:
            self._of = member.decode(errors="replace")


def _uncut(line: bytes) -> int:
    """Return how many bytes come before what may be the beginning of a mark or a character."""
    at = line.rfind(MARK[:1])
    if at >= 0 and (line.startswith(MARK, at) or MARK.startswith(line[at:])):
        # Behind a whole mark there is a member's number, which may be cut as well.
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
        """What the process is to write its output to."""
        return self._pipes["stdout"][1]

    @property
    def stderr(self) -> int:
        """What the process is to write its errors to."""
        return self._pipes["stderr"][1]

    @property
    def held(self) -> tuple[int, int]:
        """The ends to read from, which the process is to hold open as well.

        So it never fails for having printed when its parent was killed: that would be taken for a
        failure of the member.
        """
        return self._pipes["stdout"][0], self._pipes["stderr"][0]

    def show(self) -> None:
        """Print from now on what the process prints, until it and what it started have ended."""
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
        """Wait until the last lines of a process that has ended are printed."""
        for reader in self._readers:
            reader.join(LAST_S)


def _show(reading: int, stream: Literal["stdout", "stderr"], lines: Lines) -> None:
    with open(reading, "rb", buffering=0) as pipe:
        while chunk := pipe.read(CHUNK):
            _print("".join(lines.feed(chunk)), stream)
    _print("".join(lines.end()), stream)


def _print(text: str, stream: Literal["stdout", "stderr"]) -> None:
    # Whatever happens to the parent's output, its workers are read from: they would wait for it.
    with _printing, contextlib.suppress(Exception):
        output = getattr(sys, stream)
        try:
            output.write(text)
        except UnicodeEncodeError:
            output.write(encodable(text, output.encoding))
        output.flush()
