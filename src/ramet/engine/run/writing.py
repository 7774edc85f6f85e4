"""Files of checkpoints. Where writing means waiting, a thread waits while others decide."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Self

from ramet.digest import Buffer, digest
from ramet.engine.run.turn import Turn
from ramet.population import Checkpoint
from ramet.state.codec import encode
from ramet.state.stacks import Stack, lay_out_stack, stack
from ramet.state.tree import Tree

# Bytes that are worth a thread, which takes a tenth of a millisecond to start.
THREAD_FROM_BYTES = 1 << 20
# The part of the time that writing must wait. Without waiting, as for a file that need not survive
# a loss of power, two threads only take Python's lock from each other.
THREAD_FROM_WAITING = 0.25


class File(NamedTuple):
    """A file to write, and the checkpoints in it."""

    key: str
    chunks: Sequence[Buffer]
    kept: Sequence[Checkpoint]


class Writer:
    """Writes files, from a thread if that has been found to mean waiting.

    Args:
        write: Writes a file.
    """

    def __init__(self, write: Callable[[File], None]) -> None:
        self._write = write
        # Whether writing waits, for a disk or a network; None until a long file was written.
        self._waits: bool | None = None

    def begin(self, files: Sequence[File], *, beside: bool) -> "Writing":
        """Begin to write files.

        Args:
            files: The files.
            beside: Whether they may be written while the caller does something else.
        """
        done: Future[None] = Future()

        def write_all() -> None:
            try:
                for file in files:
                    self._write(file)
                done.set_result(None)
            except BaseException as error:  # noqa: BLE001 - ``wait`` raises it again
                done.set_exception(error)

        writing = Writing([kept for file in files for kept in file.kept], done)
        size = sum(len(chunk) for file in files for chunk in file.chunks)
        is_long = beside and size >= THREAD_FROM_BYTES
        if is_long and self._waits and _has_started(write_all):
            return writing
        began, worked = time.perf_counter(), time.thread_time()
        write_all()
        if is_long and self._waits is None and done.exception() is None:
            taken_s, worked_s = time.perf_counter() - began, time.thread_time() - worked
            self._waits = taken_s - worked_s >= THREAD_FROM_WAITING * taken_s
        return writing


class Writing:
    """Files that are being written, as a context that is left once they are or cannot be.

    Args:
        kept: The checkpoints in them.
        done: Whether they are written.
    """

    def __init__(self, kept: list[Checkpoint], done: Future[None]) -> None:
        self.kept, self._done = kept, done

    def wait(self) -> list[Checkpoint]:
        """Return the checkpoints once they are written, or raise what prevents that."""
        self._done.result()
        return self.kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # If the block raised, that error goes on, and one of the files is dropped.
        self._done.exception()


def _has_started(write_all: Callable[[], None]) -> bool:
    """Start a thread, and say whether the process could have one more."""
    try:
        threading.Thread(target=write_all, name="ramet-blobs").start()
    except RuntimeError:
        return False
    return True


def make_files(states: Sequence[Tree], turns: Sequence[Turn]) -> list[File]:
    """Return the files for the states of turns: one if they are alike, or one for each.

    Args:
        states: A state for each turn.
        turns: The turns.
    """
    stacked = stack(states) if len(states) > 1 else None
    if stacked is not None:
        return [_together(stacked, turns)]
    return [_alone(state, turn) for state, turn in zip(states, turns, strict=True)]


def _alone(state: Tree, turn: Turn) -> File:
    chunks = encode(state)
    kept = _checkpoint(turn, digest(chunks))
    return File(kept.key, chunks, [kept])


def _together(states: Stack, turns: Sequence[Turn]) -> File:
    laid_out = lay_out_stack(states)
    key = _checkpoint(turns[0], digest(laid_out.chunks)).key
    kept = [
        _checkpoint(turn, each, stack=key, row=row)
        for row, (turn, each) in enumerate(zip(turns, laid_out.digest_rows(), strict=True))
    ]
    return File(key, laid_out.chunks, kept)


def _checkpoint(turn: Turn, its: str, *, stack: str | None = None, row: int = 0) -> Checkpoint:
    return Checkpoint(
        member=turn.member, turn=turn.number, step=turn.stop, digest=its, stack=stack, row=row
    )
