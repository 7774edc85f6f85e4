"""What a run has come to, read from its log."""

from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

from ramet.blobs import Blobs, MemoryBlobs
from ramet.errors import CorruptLog, NoBest
from ramet.events import AnyEvent, Logged, RunOpened, fold
from ramet.history.exporting import as_pandas, as_polars
from ramet.history.frames import Row, Table, columns, rows, sign_of
from ramet.history.lineage import Lineage
from ramet.history.schedule import schedule_behind
from ramet.places import existing, place
from ramet.population import Checkpoint, Population
from ramet.schedule import Schedule
from ramet.state.codec import decode
from ramet.state.tree import Tree, thaw
from ramet.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The best score that a turn ended with, as it was reported, and all that belongs to it."""

    score: float
    hparams: dict[str, Any]
    checkpoint: Checkpoint
    _run: str = field(repr=False, compare=False)
    _blobs: Blobs = field(repr=False, compare=False)

    @property
    def member(self) -> int:
        return self.checkpoint.member

    @property
    def step(self) -> int:
        return self.checkpoint.step

    def load(self) -> Tree:
        """Return the state, weights and all, that reached the score."""
        return thaw(decode(self._blobs.get(self._run, self.checkpoint.key)))

    def __repr__(self) -> str:
        return (
            f"Winner(score={self.score}, member={self.member}, step={self.step}, "
            f"hparams={self.hparams})"
        )


def open_result(
    store: Store | str | PathLike[str], name: str | None = None, *, blobs: Blobs | None = None
) -> "Result":
    """Return a run on record, going on or over; ``name`` may be left out if it is the only one."""
    where = existing(store) if isinstance(store, str | PathLike) else place(store, MemoryBlobs())
    kept = where.blobs if blobs is None else blobs
    return Result(store=where.store, blobs=kept, name=where.chosen(name))


class Result:
    """A run as its log tells it, at the moment this was made.

    ``population`` and ``events`` hold scores as the run maximised them; ``best.score`` is as
    reported, which differs by its sign with ``mode="min"``.
    """

    def __init__(self, *, store: Store, blobs: Blobs, name: str) -> None:
        self.log: list[Logged] = store.events(name)
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

    @property
    def opening(self) -> RunOpened:
        """The run's name, seed and settings."""
        opening = self.events[0]
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
    def population(self) -> Population:
        return fold(self.events)

    @cached_property
    def _lineage(self) -> Lineage:
        return Lineage(self.events)

    @property
    def best(self) -> Winner:
        best = self.population.best
        if best is None:
            raise NoBest(
                f"a best takes a turn that ended with a finite score, but none of "
                f"{self.population.turns} did"
            )
        last_turn = self._lineage.turns[best.checkpoint.member, best.checkpoint.turn]
        return Winner(
            score=sign_of(self.opening) * best.score,
            hparams=dict(last_turn.hparams),
            checkpoint=best.checkpoint,
            _run=self.opening.name,
            _blobs=self.blobs,
        )

    def lineage(self) -> Lineage:
        """Return the turns of all members and the copies between them."""
        return self._lineage

    def rows(self, table: Table = "turns") -> list[Row]:
        """Return a table of the run: its "turns", "copies", "members", "scores" or "metrics"."""
        return rows(table, self.log, self._lineage)

    def to_pandas(self, table: Table = "turns") -> Any:
        """Return a table as a data frame of pandas."""
        return as_pandas(self.rows(table), columns(table, self.opening))

    def to_polars(self, table: Table = "turns") -> Any:
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
