"""The result of a run, read from its log."""

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ramet.blobs import Blobs
from ramet.errors import CorruptLog, NoBest, UsageError
from ramet.events import AnyEvent, Logged, RunOpened
from ramet.goals import make_point
from ramet.history import showing
from ramet.history.account import Account
from ramet.history.confirming import find_fresh, repeats
from ramet.history.exporting import as_pandas, as_polars
from ramet.history.following import check_seats
from ramet.history.frames import Row, Table, columns, each_row, rows
from ramet.history.front import Ends, find_ends
from ramet.history.keeping import find_needed
from ramet.history.lineage import Lineage
from ramet.history.reading import fold_log, read_log, read_pages
from ramet.history.reported import sign_of
from ramet.history.schedule import schedule_behind
from ramet.history.snapshot import Snapshot
from ramet.history.turns import Trained
from ramet.history.verdict import Verdict, check_goals, judge
from ramet.places import Storage, writable
from ramet.population import Checkpoint, Member, Population
from ramet.replica import Replica
from ramet.schedule import Schedule
from ramet.store.base import Store

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Result:
    """The result of a run, as it was when this was read.

    ``best`` has the best score that a turn ever ended with. If scores are noisy, that is often only
    the luckiest measurement. ``ramet.confirm`` evaluates the best turns again; ``best`` is then the
    one with the best mean of fresh scores. ``final`` is the best of the members at the end, and
    ``members`` has all of them.

    All scores are as they were reported.

    Args:
        store: Where the run is recorded.
        blobs: Where its checkpoints are.
        name: The run's name in the store.
    """

    def __init__(self, *, store: Store, blobs: Blobs, name: str) -> None:
        self.log = read_log(store, name)
        # Checked at once: all else relies on a log that can be folded.
        self.population: Population = fold_log(self.log, name)
        self._set_up(store, blobs, name)

    @classmethod
    def without_log(cls, *, store: Store, blobs: Blobs, name: str) -> "Result":
        """Return a result that keeps none of the log's events, which takes much less memory.

        Using ``log`` or ``events`` reads the log again.

        Args:
            store: Where the run is recorded.
            blobs: Where its checkpoints are.
            name: The run's name in the store.
        """
        result = object.__new__(cls)
        replica, account = Replica(), Account()
        lineage = Lineage(read_pages(store, name, replica, account))
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
        best = f"best {self.best.score:.6g}" if population.best else population.why_no_best
        return (
            f"Result({self.opening.name!r}: {len(population)} members, {population.turns} turns, "
            f"{population.copies} copies, {best}, seed {self.seed})"
        )

    def _repr_html_(self) -> str:
        best = (self.best, self.schedule()) if self.population.chosen else None
        return showing.show_result(
            self.opening, self.population, self._lineage, best=best, wrong=self.account.wrong
        )

    def plot(self, kind: str = "scores", **settings: Any) -> Any:
        """Draw a plot of ``ramet.plots`` and return its Axes, which a notebook shows.

        Args:
            kind: "scores", "hyperparameter", "tree", "lineage", "parallel", "workers", "metric" or
                "front".
            settings: What else the plot takes, such as ``name="lr"``.
        """
        return showing.draw(self, kind, settings)

    def report(self) -> showing.Report:
        """Return a report of the run, which a notebook shows and ``write`` writes to a file."""
        return showing.report(self)

    @cached_property
    def log(self) -> list[Logged]:
        """The events, each with its time and the worker that wrote it."""
        return read_log(self.store, self._name, most=self.account.events)

    @cached_property
    def account(self) -> Account:
        """What reports need from the log besides its lineage."""
        return Account(self.log)

    @cached_property
    def opening(self) -> RunOpened:
        """The run's name, seed and settings."""
        opening = self.log[0].event if self.log else None
        if not isinstance(opening, RunOpened):
            raise CorruptLog("a log must begin with RunOpened")
        return opening

    @property
    def storage(self) -> Storage:
        """Where the run is kept. Pass it to ``ramet.run`` as ``store`` to go on with the run."""
        return Storage(writable(self.store), blobs=self.blobs)

    @property
    def seed(self) -> int:
        """The seed of all randomness in the run."""
        return self.opening.seed

    @cached_property
    def events(self) -> list[AnyEvent]:
        """All that happened in the run, in order. ``fold(events)`` is ``population``."""
        return [logged.event for logged in self.log]

    @cached_property
    def _lineage(self) -> Lineage:
        return Lineage(self.events)

    @property
    def best(self) -> Snapshot:
        """The best score that a turn ever ended with, and its weights; of equal ones the latest.

        After ``ramet.confirm`` it is the best by the mean of its fresh scores, which are in
        ``confirmed``; ``score`` is what the turn ended with in any case. With bounds
        (``ramet.Pareto``), turns beyond them do not count. Where the score is not an objective
        (``score=False``), this is the best in the first objective instead.
        """
        best = self.population.chosen
        if best is None and self.opening.goals:
            raise self._ends.none_within()
        if best is None:
            raise NoBest(
                f"the best needs a turn that ended with a finite score, but none of "
                f"{self.population.turns} did"
            )
        turn = self._turn_of(best.checkpoint)
        return self._snapshot(turn, member=turn.member, score=best.score, trained=turn.trained)

    def front(self) -> tuple[Snapshot, ...]:
        """Return the turns that no other dominates, the best score first.

        This takes a run with several objectives (``ramet.Pareto``). One turn dominates another if
        it ended at least as good in every objective, and better in one. Turns beyond a bound do not
        count. If the front has more turns than the run has members, the most crowded are left out:
        at most twice as many are kept, with their checkpoints.
        """
        turns = [(each, self._turn_of(each.checkpoint)) for each in self._ends.find_front()]
        return tuple(
            self._snapshot(turn, member=turn.member, score=each.score, trained=turn.trained)
            for each, turn in turns
        )

    @property
    def front_is_whole(self) -> bool:
        """Whether no turn is left out of ``front`` because it is crowded."""
        return self._ends.is_whole(self._ends.find_front())

    @cached_property
    def _ends(self) -> Ends:
        turns, goals = self._lineage.turns.values(), self.opening.goals
        ends = find_ends(turns, self.account.measured, goals) if goals else ()
        return Ends(self.opening, self.population, ends)

    @property
    def final(self) -> Snapshot:
        """The best of the members at the end, or now if the run is not over.

        Members are compared by the scores of their present weights. As for ``best``, members of
        FIRE outside of P1 do not count, nor do members beyond a bound.
        """
        sign = sign_of(self.opening.mode)
        ranked = [
            (
                make_point(self.opening.goals, snapshot.score, snapshot.metrics) or (),
                sign * snapshot.score,
                snapshot.checkpoint.turn,
                -snapshot.member,
            )
            for snapshot, member in zip(self.members, self.population, strict=True)
            if member.ranked and math.isfinite(snapshot.score) and self._ends.are_within(member)
        ]
        if not ranked:
            bounds = ", within the bounds of the run" if self.opening.goals else ""
            raise NoBest(
                f"the best at the end must be a member with a finite score of its present "
                f"weights{bounds}, but no member has one; result.best is the best that there ever "
                f"was, if there was one, and result.members is all of them"
            )
        return self.members[-max(ranked)[-1]]

    @cached_property
    def members(self) -> tuple[Snapshot, ...]:
        """All members at the end, or now if the run is not over."""
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
            score=math.nan if score is None else score,
            hparams=dict(turn.hparams),
            step=turn.stop,
            trained=trained,
            confirmed=find_fresh(self.population, turn.checkpoint),
            metrics=self._ends.metrics_of(turn.key),
            _checkpoint=turn.checkpoint,
            _kept=turn.checkpoint in self._needed,
            _opening=self.opening,
            _blobs=self.blobs,
        )

    @cached_property
    def _needed(self) -> set[Checkpoint]:
        """The checkpoints that the run promises to keep."""
        return find_needed(self.population, self.opening.keep)

    def _turn_of(self, checkpoint: Checkpoint) -> Trained:
        return self._lineage.turns[checkpoint.member, checkpoint.turn]

    def verdict(self) -> Verdict:
        """Return whether the search was worth it, compared with the control of the run.

        The strategy of the run must be a ``ramet.Controlled``.

        One control may be lucky or unlucky. If much depends on the answer, repeat the run with
        other seeds.
        """
        if not (self.population.done or self.population.stopped):
            raise UsageError(
                f"a verdict needs a run that is over, but run {self.opening.name!r} goes on"
            )
        check_goals(self.opening)
        found = judge(self._lineage, repeats(self.population))
        if self.population.confirmed is None:
            return found
        best = self.best
        return found._replace(best=best.score, confirmed=best.confirmed)

    def lineage(self) -> Lineage:
        """Return the turns of all members and the copies between them."""
        return self._lineage

    def rows(self, table: Table = "turns") -> list[Row]:
        """Return a table of the run as a list of dicts.

        Args:
            table: "turns", "copies", "members", "scores", "metrics" or "confirmations".
        """
        return rows(table, self.log, self._lineage)

    def each_row(self, table: Table = "turns") -> Iterator[Row]:
        """Yield the rows of a table one by one, which takes less memory than a list.

        Args:
            table: "turns", "copies", "members", "scores", "metrics" or "confirmations".
        """
        return each_row(table, self.log, self._lineage)

    def to_pandas(self, table: Table = "turns") -> "pd.DataFrame":
        """Return a table as a pandas data frame.

        Args:
            table: "turns", "copies", "members", "scores", "metrics" or "confirmations".
        """
        return as_pandas(self.rows(table), columns(table, self.opening))

    def to_polars(self, table: Table = "turns") -> "pl.DataFrame":
        """Return a table as a Polars data frame.

        Args:
            table: "turns", "copies", "members", "scores", "metrics" or "confirmations".
        """
        return as_polars(self.rows(table), columns(table, self.opening))

    def schedule(self, member: int | Snapshot | None = None) -> Schedule:
        """Return the hyperparameters by step that a member's weights were trained with.

        Args:
            member: The id of the member, or a snapshot such as one of ``front``; None is the
                schedule of the best weights.
        """
        if member is None:
            member = self.best
        if isinstance(member, Snapshot):
            return schedule_behind(member.checkpoint, self._lineage)
        checkpoint = self._lineage.weights(member)
        if checkpoint is None:
            raise NoBest(f"a schedule needs a turn that ended, but member {member} has ended none")
        return schedule_behind(checkpoint, self._lineage)
