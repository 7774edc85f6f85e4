"""Files of checkpoints, long ones written from a thread while what follows is decided."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Self, TypeVar

from ramet.digest import Buffer, digest
from ramet.engine.run.turn import Turn
from ramet.population import Checkpoint
from ramet.state.codec import encode
from ramet.state.stacks import Stack, lay_out_stack, stack
from ramet.state.tree import Tree

T = TypeVar("T")
# Bytes that are worth a thread, which takes a tenth of a millisecond to start.
THREAD_FROM_BYTES = 1 << 20


class File(NamedTuple):
    """A file to write, and the checkpoints in it."""

    key: str
    chunks: Sequence[Buffer]
    kept: Sequence[Checkpoint]


class Writing:
    """Files that are being written, as a context that is left once they are or cannot be.

    Args:
        files: The files.
        write: Writes one of them.
    """

    def __init__(self, files: Sequence[File], write: Callable[[File], None]) -> None:
        self.kept = [kept for file in files for kept in file.kept]
        size = sum(len(chunk) for file in files for chunk in file.chunks)

        def write_all() -> None:
            for file in files:
                write(file)

        self._done = _begin(write_all, size)

    def wait(self) -> list[Checkpoint]:
        """Return the checkpoints once they are written, or raise what prevents that."""
        self._done.result()
        return self.kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What nobody waited for is no more needed: another error comes first.
        with contextlib.suppress(Exception):
            self._done.result()


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
    chunks = laid_out.chunks
    whole = _begin(lambda: digest(chunks), sum(map(len, chunks)))
    digests = laid_out.digest_rows()
    key = _checkpoint(turns[0], whole.result()).key
    kept = [
        _checkpoint(turn, each, stack=key, row=row)
        for row, (turn, each) in enumerate(zip(turns, digests, strict=True))
    ]
    return File(key, chunks, kept)


def _checkpoint(turn: Turn, its: str, *, stack: str | None = None, row: int = 0) -> Checkpoint:
    return Checkpoint(
        member=turn.member, turn=turn.number, step=turn.stop, digest=its, stack=stack, row=row
    )


def _begin(call: Callable[[], T], size: int) -> Future[T]:
    """Call a function: from a thread if it is about many bytes, or else here and now."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
            done.set_exception(error)

    if size < THREAD_FROM_BYTES:
        run()
        return done
    try:
        threading.Thread(target=run, name="ramet-blobs").start()
    except RuntimeError:  # The process can have no more threads.
        run()
    return done
