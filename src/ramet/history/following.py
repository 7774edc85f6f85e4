"""Read runs that may be going on: all events, or an overview, and the state of the run."""

from collections.abc import Callable, Collection, Iterable
from typing import Literal, TypeAlias

from ramet.errors import CorruptLog, RametError, RunNotFound
from ramet.events import Logged, RunOpened, follow
from ramet.history.reported import report_opening, report_population
from ramet.population import Population
from ramet.replica import Replica
from ramet.store.base import Seat, Store
from ramet.store.summary import Tally

# Events that are read at a time.
PAGE_EVENTS = 1_000

# An "idle" run is not over, but has no worker. A "stopping" one ends once its last turns are over.
State: TypeAlias = Literal["running", "idle", "stopping", "stopped", "done"]


def state_of(population: Population, seats: Iterable[Seat]) -> State:
    """Return the state of a run, given its population and its leases."""
    if population.done:
        return "done"
    if any(seat.worker for seat in seats):
        return "stopping" if population.stopped else "running"
    return "stopped" if population.stopped else "idle"


def check_seats(population: Population, seats: Collection[Seat]) -> None:
    """Refuse a store that has rows of other members than the log."""
    there = [seat.standing.member for seat in seats]
    if there != list(range(len(population))):
        raise CorruptLog(
            f"a store must have a row for each of the {len(population)} members of a run, but has "
            f"{len(there)} rows, of members {there[:1]} to {there[-1:]}"
        )


def check_record(store: Store, run: str, record: int) -> None:
    """Refuse to go on with a run that another one has overwritten since.

    Args:
        store: The store.
        run: The name of the run.
        record: The number that the run had when this process opened it.
    """
    if store.record(run) != record:
        raise RunNotFound(
            f"a run must still be the one that this process opened, but run {run!r} has been "
            f"overwritten since by another call (existing='overwrite'); open it again, or start "
            f"this command or worker again, for the new one"
        )


class Follower:
    """Reads a run's log event by event, with maximised scores, as a worker needs them.

    ``tell`` is called once with each new part of the log.
    """

    def __init__(
        self, store: Store, run: str, *, tell: Callable[[list[Logged]], object] = lambda _: None
    ) -> None:
        self._store, self._tell = store, tell
        self._record = store.record(run)
        self.opening: RunOpened = store.opening(run)
        self.replica = Replica()
        self.catch_up()
        check_seats(self.population, store.seats(run))

    @property
    def population(self) -> Population:
        """The population as of the last event read."""
        return self.replica.population

    def catch_up(self) -> None:
        """Read new events; raise RunNotFound if they are of a run that has overwritten this one."""
        news = self._store.events(self.opening.name, self.replica.last)
        if news:
            self.check_run()
            # After an interrupt, no event must be applied twice.
            with self.replica.attempt() as attempt:
                follow(news, self.replica, self.opening.name)
                attempt.keep()
            self._tell(news)

    def check_run(self) -> None:
        """Raise RunNotFound if another run has overwritten this one."""
        check_record(self._store, self.opening.name, self._record)


class Overview:
    """Counts, the best and the members of a run, read at a cost that does not grow with its log.

    Its population has scores as they were reported. It has neither curves nor notes of the
    strategy, and so no scores of members; the store's seats have these, maximised.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._record = store.record(run)
        self.opening: RunOpened = report_opening(store.opening(run))
        self._store = store
        summary = store.summary(run)
        self._tally = Tally(run, summary)
        # Whether the whole log was read, without a summary.
        self._whole = summary is None
        self.catch_up()
        check_seats(self.population, store.seats(run))

    @property
    def population(self) -> Population:
        """The population as of the last event read."""
        return report_population(self._tally.population, self.opening.mode)

    @property
    def last(self) -> int:
        """The number of the last event read."""
        return self._tally.last

    def catch_up(self) -> None:
        """Read new events; if the log does not continue the summary, read all of it.

        Raise RunNotFound if another run has overwritten this one.
        """
        try:
            self._read_on(self._tally)
        except RametError:
            if self._whole:
                raise
            whole = Tally(self.opening.name)
            self._read_on(whole)
            self._tally, self._whole = whole, True

    def _read_on(self, tally: Tally) -> None:
        while news := self._store.events(self.opening.name, tally.last, most=PAGE_EVENTS):
            check_record(self._store, self.opening.name, self._record)
            tally.read(news)
        # A new run may also have written less than was read of the old one.
        check_record(self._store, self.opening.name, self._record)
