"""Runs that may be going on: followed event by event, looked at in overview, and how they stand."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Literal, TypeAlias

from ramet.errors import CorruptLog, RametError
from ramet.events import Logged, RunOpened, follow
from ramet.history.reported import report_population
from ramet.population import Population
from ramet.replica import Replica
from ramet.store.base import Seat, Store
from ramet.store.summary import Tally

# Events that are in memory at a time.
PAGE = 1_000

# "idle" is not over, with nobody at work; "stopping" was asked to stop, with turns still out.
State: TypeAlias = Literal["running", "idle", "stopping", "stopped", "done"]


def state_of(population: Population, seats: Iterable[Seat]) -> State:
    """Say how a run stands, from its population and who holds its members."""
    if population.done:
        return "done"
    if any(seat.worker for seat in seats):
        return "stopping" if population.stopped else "running"
    return "stopped" if population.stopped else "idle"


def check_seats(population: Population, seats: Collection[Seat]) -> None:
    """Refuse a store that has other members than the log."""
    there = [seat.standing.member for seat in seats]
    if there != list(range(len(population))):
        raise CorruptLog(
            f"a store must have a row for each of the {len(population)} members of a run, but has "
            f"{len(there)} rows, of members {there[:1]} to {there[-1:]}"
        )


class Follower:
    """A reader's view of a run, with maximised scores as its store has them.

    ``tell`` is called with all that it reads, once.
    """

    def __init__(
        self, store: Store, run: str, *, tell: Callable[[list[Logged]], object] = lambda _: None
    ) -> None:
        self.opening: RunOpened = store.opening(run)
        self.replica = Replica()
        self._store, self._tell = store, tell
        self.catch_up()
        check_seats(self.population, store.seats(run))

    @property
    def population(self) -> Population:
        """The population as the log told when it was last read."""
        return self.replica.population

    def catch_up(self) -> None:
        """Read on."""
        news = self._store.events(self.opening.name, self.replica.last)
        if news:
            # An interrupt in the midst must not have part of it read twice.
            with self.replica.attempt() as attempt:
                follow(news, self.replica, self.opening.name)
                attempt.keep()
            self._tell(news)


class Overview:
    """A run's counts, best and members, kept up at a cost that does not grow with its log.

    Its population has neither curves nor strategies' notes, and so no scores of members: ``seats``
    has these. All scores are as they were reported.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.opening: RunOpened = store.opening(run)
        self._store = store
        summary = store.summary(run)
        self._tally = Tally(run, summary)
        # Whether all that is known was read from the log itself.
        self._whole = summary is None
        self.catch_up()
        check_seats(self.population, store.seats(run))

    @property
    def population(self) -> Population:
        """The population as the log told when it was last read."""
        return report_population(self._tally.population, self.opening.mode)

    @property
    def copies(self) -> Counter[int]:
        """How many copies each member made."""
        return self._tally.copies

    def catch_up(self) -> None:
        """Read on; if the log does not go on from the summary, read all of it."""
        try:
            self._read_on(self._tally)
        except RametError:
            if self._whole:
                raise
            whole = Tally(self.opening.name)
            self._read_on(whole)
            self._tally, self._whole = whole, True

    def _read_on(self, tally: Tally) -> None:
        while news := self._store.events(self.opening.name, tally.last, most=PAGE):
            tally.read(news)
