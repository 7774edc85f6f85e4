"""The checkpoints of a run: write them before any event names them, read and prune them."""

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence

from ramet.blobs.base import Blobs
from ramet.digest import digest
from ramet.engine.run.journal import Journal
from ramet.engine.run.turn import Turn
from ramet.engine.run.writing import File, Writer, Writing, make_files
from ramet.errors import CheckpointMissing, RunNotFound, StoreError
from ramet.events import Keep
from ramet.faults import reach
from ramet.history.keeping import find_rows, find_unneeded, is_worth_keeping
from ramet.history.states import UNREADABLE, count_rows, read_chunks, read_state, read_states
from ramet.population import Checkpoint, Population
from ramet.state.tree import Tree
from ramet.store import MemoryStore, Store

logger = logging.getLogger("ramet")

# A worker prunes when at least 8 turns, and as many as a quarter of the members, have ended since.
PRUNE_AFTER_TURNS, PRUNE_AFTER_MEMBERS_OVER = 8, 4


class Checkpoints:
    """The saved states of one run's members."""

    def __init__(self, blobs: Blobs, run: str) -> None:
        self._blobs, self._run = blobs, run
        self._writer = Writer(self._write)

    def expect(self, *, kept: bool) -> None:
        """Refuse to go on if checkpoints were ``kept`` but none is left.

        Their folder was then moved or deleted, and members would lose all that they have learned.
        """
        if callable(expect := getattr(self._blobs, "expect", None)):
            expect(self._run, kept=kept)

    def attach(self, store: Store, *, anew: bool = False) -> None:
        """Refuse checkpoints of another run of the same name, in another store.

        A store in memory is forgotten before its checkpoints, so these belong to none.

        Args:
            store: The record of the run.
            anew: Whether the run has just taken the place of another in its store.
        """
        attach = getattr(self._blobs, "attach", None)
        if callable(attach) and not isinstance(store, MemoryStore):
            attach(self._run, identify(store, self._run), anew=anew)

    def attach_as(self, store: Store, to: str) -> None:
        """Refuse a new name under which another run's checkpoints are kept.

        Args:
            store: The record of the run.
            to: The name that the run is about to get.
        """
        attach = getattr(self._blobs, "attach", None)
        if callable(attach) and not isinstance(store, MemoryStore):
            attach(to, identify(store, self._run, called=to))

    @contextlib.contextmanager
    def change_hands(self, store: Store) -> Iterator[None]:
        """Have them belong to the record that has the run's name afterwards, even after a crash.

        Meanwhile they belong to no record: the next one that attaches them takes them.

        Args:
            store: The record of the run, which another takes the place of.
        """
        if callable(getattr(self._blobs, "attach", None)):
            self.forget()
        try:
            yield
        finally:
            # Another process may have deleted the name already.
            with contextlib.suppress(RunNotFound):
                self.attach(store, anew=True)

    def copy(self, to: str) -> None:
        """Have all files for a run of another name as well.

        Args:
            to: The name of the other run.
        """
        missing = self._blobs.sizes(self._run).keys() - self._blobs.sizes(to).keys()
        if callable(copy := getattr(self._blobs, "copy", None)):
            copy(self._run, to, missing)
            return
        for key in missing:
            # Others may be pruning.
            with contextlib.suppress(CheckpointMissing):
                self._blobs.put(to, key, [self._blobs.get(self._run, key)])

    def forget(self) -> None:
        """Delete what is left of a run that has no checkpoints any more."""
        if callable(forget := getattr(self._blobs, "forget", None)):
            forget(self._run)

    def begin_to_write(
        self,
        states: Sequence[Tree],
        turns: Sequence[Turn],
        *,
        others: bool = False,
        beside: bool = False,
    ) -> Writing:
        """Begin to write the states that turns ended with, in one file if they are alike.

        Args:
            states: A state for each turn.
            turns: The turns.
            others: Whether the run has checkpoints already.
            beside: Whether they may be written while the caller does something else.
        """
        files = make_files(states, turns)
        # As late as possible: encoding may have taken long.
        self.expect(kept=others)
        return self._writer.begin(files, beside=beside)

    def _write(self, file: File) -> None:
        self._blobs.put(self._run, file.key, file.chunks)

    def read(self, checkpoint: Checkpoint) -> Tree:
        """Return a state as read-only arrays."""
        return read_state(self._blobs, self._run, checkpoint)

    def read_all(self, checkpoints: Sequence[Checkpoint]) -> list[Tree | StoreError]:
        """Return each state as read-only arrays, or why it cannot be read."""
        return read_states(self._blobs, self._run, checkpoints)

    def readable(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint exists and is undamaged."""
        try:
            self.read(checkpoint)
        except UNREADABLE:
            return False
        return True

    def prune(self, population: Population, keep: Keep, *, dry_run: bool = False) -> dict[str, int]:
        """Delete files that are no longer needed; return how many bytes each of them frees."""
        sizes = self._blobs.sizes(self._run)
        doomed = {key: sizes[key] for key in find_unneeded(sizes, population, keep)}
        for key, needed in find_rows(sizes, population, keep).items():
            if (taken := self._take_out(key, needed, population, keep, dry=dry_run)) is not None:
                doomed[key] = sizes[key] - taken
        if doomed and not dry_run:
            first, *rest = doomed
            self._blobs.delete(self._run, [first])
            reach("pruning")
            self._blobs.delete(self._run, rest)
        if not dry_run:
            self._blobs.delete_leftovers(self._run)
        return doomed

    def _take_out(
        self,
        key: str,
        needed: Sequence[Checkpoint],
        population: Population,
        keep: Keep,
        *,
        dry: bool,
    ) -> int | None:
        """Write the needed states of a stack to files by themselves; return their bytes.

        Return None if the stack must stay, because many are needed or one cannot be read.
        """
        try:
            rows = count_rows(self._blobs, self._run, key)
            if is_worth_keeping(len(needed), rows, population, keep):
                return None
            return sum(self._take_out_row(checkpoint, dry=dry) for checkpoint in needed)
        except UNREADABLE:
            return None

    def _take_out_row(self, checkpoint: Checkpoint, *, dry: bool) -> int:
        chunks = read_chunks(self._blobs, self._run, checkpoint)
        if not dry:
            self.expect(kept=True)
            self._blobs.put(self._run, checkpoint.key, chunks)
        return sum(map(len, chunks))


def identify(store: Store, run: str, *, called: str | None = None) -> str:
    """Return a text that identifies the record of a run, also in a copy of its store.

    Args:
        store: The store.
        run: The name of the run.
        called: The name that the run is about to get, if it is another.
    """
    (first,) = store.events(run, most=1)
    return digest(
        [f"{called or run}\n{first.at!r}\n{first.worker}".encode("utf-8", "surrogatepass")]
    )


class Pruning:
    """Prunes a run's checkpoints from time to time."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints) -> None:
        self._journal, self._checkpoints = journal, checkpoints
        # The run's ended turns when this worker last pruned; None makes it prune after its first.
        self._pruned_at: int | None = None

    def prune_if_due(self) -> None:
        """Prune if enough turns have ended since the last time, or the run is done."""
        turns, opening = self._journal.turns, self._journal.opening
        since = math.inf if self._pruned_at is None else turns - self._pruned_at
        if (
            since < max(PRUNE_AFTER_TURNS, len(opening.births) // PRUNE_AFTER_MEMBERS_OVER)
            and not self._journal.done
        ):
            return
        self._pruned_at = turns
        try:
            self._checkpoints.prune(self._journal.population, opening.keep)
        except (StoreError, OSError) as error:
            # The turn has ended in any case, and the worker prunes again later.
            logger.warning("could not delete checkpoints that are no longer needed: %s", error)
