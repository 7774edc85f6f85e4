"""What a run has come to, read from its log."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

from ramet.blobs import Blobs, MemoryBlobs
from ramet.errors import CorruptLog, NoBest, StoreError
from ramet.events import AnyEvent, Logged, RunOpened, follow
from ramet.history.account import Account
from ramet.history.exporting import as_pandas, as_polars
from ramet.history.frames import Row, Table, columns, each_row, rows, sign_of
from ramet.history.keeping import needed
from ramet.history.lineage import Lineage
from ramet.history.schedule import schedule_behind
from ramet.history.snapshot import Snapshot
from ramet.history.state import check_seats
from ramet.history.turns import Trained
from ramet.places import Storage, existing, place
from ramet.population import Checkpoint, Member, Population
from ramet.replica import Replica
from ramet.schedule import Schedule
from ramet.store.base import Store

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# Events that are read at a time where a log is not kept.
PAGE = 4_000


def load(
    store: Storage | Store | str | PathLike[str],
    name: str | None = None,
    *,
    blobs: Blobs | None = None,
) -> "Result":
    """Return a run on record, going on or over; ``name`` may be left out if it is the only one."""
    if isinstance(store, Storage):
        if store.store is None:
            raise StoreError("a run on record must be in a store, but got Storage(None)")
        blobs = store.blobs if blobs is None else blobs
        store = store.store
    where = (
        existing(store)
        if isinstance(store, str | PathLike)
        else place(Storage(store, blobs=MemoryBlobs()))
    )
    kept = where.blobs if blobs is None else blobs
    try:
        return Result(store=where.store, blobs=kept, name=where.choose(name))
    finally:
        where.close()


def open_without_log(store: str | PathLike[str], name: str | None = None) -> "Result":
    """Return a run on record as ``Result.without_log`` has it."""
    where = existing(store)
    try:
        return Result.without_log(store=where.store, blobs=where.blobs, name=where.choose(name))
    finally:
        where.close()


class Result:
    """A run as its log tells it, at the moment this was made.

    ``best`` is the best that a turn ever ended with. Where scores are noisy, that is often the
    luckiest measurement; ``final`` is the best of the members as they stand at the end, and
    ``members`` is all of these.

    ``population`` and ``events`` hold scores as the run maximised them; ``best.score`` is as
    reported, which differs by its sign with ``mode="min"``.
    """

    def __init__(self, *, store: Store, blobs: Blobs, name: str) -> None:
        self.log = store.events(name)
        # At once: what cannot be folded is no log, and all else is read from what can.
        self.population: Population = _folded(self.log, name)
        self._set_up(store, blobs, name)

    @classmethod
    def without_log(cls, *, store: Store, blobs: Blobs, name: str) -> "Result":
        """Return a run that keeps none of its log's events, which takes much less memory.

        Whatever asks for ``log`` or ``events`` reads the log once more.
        """
        result = object.__new__(cls)
        replica, account = Replica(), Account()
        lineage = Lineage(_paged(store, name, replica, account))
        vars(result).update(_lineage=lineage, account=account, opening=lineage.opening)
        result.population = replica.population
        result._set_up(store, blobs, name)
        return result

    def _set_up(self, store: Store, blobs: Blobs, name: str) -> None:
        check_seats(self.population, store.seats(name))
        self._name = name
        # Where the record is, and its checkpoints.
        self.store = store
        self.blobs = blobs

    def __repr__(self) -> str:
        population = self.population
        best = f"best {self.best.score:.6g}" if population.best else "no score yet"
        return (
            f"Result({self.opening.name!r}: {len(population)} members, {population.turns} turns, "
            f"{population.copies} copies, {best}, seed {self.seed})"
        )

    @cached_property
    def log(self) -> list[Logged]:
        """The events, each with when and by whom it was written."""
        return self.store.events(self._name, most=self.account.events)

    @cached_property
    def account(self) -> Account:
        """What reports say of the log besides its lineage."""
        return Account(self.log)

    @cached_property
    def opening(self) -> RunOpened:
        """The run's name, seed and settings."""
        opening = self.log[0].event if self.log else None
        if not isinstance(opening, RunOpened):
            raise CorruptLog("a log must begin with RunOpened")
        return opening

    @property
    def seed(self) -> int:
        return self.opening.seed

    @cached_property
    def events(self) -> list[AnyEvent]:
        return [logged.event for logged in self.log]

    @cached_property
    def _lineage(self) -> Lineage:
        return Lineage(self.events)

    @property
    def best(self) -> Snapshot:
        """The best score that a turn ever ended with, and its weights; of equal ones the latest."""
        best = self.population.best
        if best is None:
            raise NoBest(
                f"a best takes a turn that ended with a finite score, but none of "
                f"{self.population.turns} did"
            )
        turn = self._turn_of(best.checkpoint)
        return self._snapshot(turn, member=turn.member, score=best.score, trained=turn.trained)

    @property
    def final(self) -> Snapshot:
        """The best of the members as they stand at the end, or now if the run is not over.

        Each counts with the score of its present weights. As for ``best``, only members that are
        ranked count.
        """
        sign = sign_of(self.opening)
        ranked = [
            (sign * snapshot.score, snapshot.checkpoint.turn, -snapshot.member)
            for snapshot, member in zip(self.members, self.population, strict=True)
            if member.ranked and math.isfinite(snapshot.score)
        ]
        if not ranked:
            raise NoBest(
                "the best at the end must be a member with a finite score of its present weights, "
                "but no member has one; result.best is the best that there ever was, if there was "
                "one, and result.members is all of them"
            )
        return self.members[-max(ranked)[2]]

    @cached_property
    def members(self) -> tuple[Snapshot, ...]:
        """Each member as it stands at the end, or now if the run is not over."""
        return tuple(self._standing(member) for member in self.population)

    def _standing(self, member: Member) -> Snapshot:
        if member.checkpoint is not None:
            turn = self._turn_of(member.checkpoint)
            return self._snapshot(turn, member=member.id, score=turn.score, trained=member.trained)
        return Snapshot(
            member=member.id,
            score=math.nan,
            hparams=dict(member.hparams),
            step=0,
            trained=member.trained,
            _checkpoint=None,
            _kept=False,
            _opening=self.opening,
            _blobs=self.blobs,
        )

    def _snapshot(
        self, turn: Trained, *, member: int, score: float | None, trained: int
    ) -> Snapshot:
        return Snapshot(
            member=member,
            score=math.nan if score is None else sign_of(self.opening) * score,
            hparams=dict(turn.hparams),
            step=turn.stop,
            trained=trained,
            _checkpoint=turn.checkpoint,
            _kept=turn.checkpoint.key in self._needed,
            _opening=self.opening,
            _blobs=self.blobs,
        )

    @cached_property
    def _needed(self) -> set[str]:
        """The checkpoints that the run promises to keep, of those asked for here."""
        return needed(self.population, self.opening.keep)

    def _turn_of(self, checkpoint: Checkpoint) -> Trained:
        return self._lineage.turns[checkpoint.member, checkpoint.turn]

    def lineage(self) -> Lineage:
        """Return the turns of all members and the copies between them."""
        return self._lineage

    def rows(self, table: Table = "turns") -> list[Row]:
        """Return a table of the run: its "turns", "copies", "members", "scores" or "metrics"."""
        return rows(table, self.log, self._lineage)

    def each_row(self, table: Table = "turns") -> Iterator[Row]:
        """Return the rows of a table one by one, which takes less memory where there are many."""
        return each_row(table, self.log, self._lineage)

    def to_pandas(self, table: Table = "turns") -> "pd.DataFrame":
        """Return a table as a data frame of pandas."""
        return as_pandas(self.rows(table), columns(table, self.opening))

    def to_polars(self, table: Table = "turns") -> "pl.DataFrame":
        """Return a table as a data frame of Polars."""
        return as_polars(self.rows(table), columns(table, self.opening))

    def schedule(self, member: int | None = None) -> Schedule:
        """Return the values that weights were trained with, from their first step.

        They are the best ones, or those that a member has now.
        """
        if member is None:
            return schedule_behind(self.best.checkpoint, self._lineage)
        checkpoint = self._lineage.weights(member)
        if checkpoint is None:
            raise NoBest(f"a schedule takes a turn that ended, but member {member} has ended none")
        return schedule_behind(checkpoint, self._lineage)


def _folded(log: Iterable[Logged], run: str) -> Population:
    replica = Replica()
    follow(log, replica, run)
    return replica.population


def _paged(store: Store, run: str, replica: Replica, account: Account) -> Iterator[AnyEvent]:
    """Yield a run's events, each once it was folded; few are in memory at a time."""
    last = PAGE
    while last == PAGE:
        page = store.events(run, replica.last, most=PAGE)
        last = len(page)
        follow(page, replica, run)
        account.read(page)
        yield from (logged.event for logged in page)
        del page
