"""Read a run's log from its store, with scores as they were reported."""

from collections.abc import Iterable, Iterator

from ramet.events import AnyEvent, Logged, RunOpened, follow
from ramet.history.account import Account
from ramet.history.reported import report_log
from ramet.population import Population
from ramet.replica import Replica
from ramet.store.base import Store

# Events that are read at a time if the log is not kept.
PAGE_EVENTS = 4_000


def read_log(store: Store, run: str, *, most: int | None = None) -> list[Logged]:
    """Return a run's log, with scores as they were reported."""
    log = store.events(run, most=most)
    opening = log[0].event if log else None
    return report_log(log, opening.mode) if isinstance(opening, RunOpened) else log


def fold_log(log: Iterable[Logged], run: str) -> Population:
    """Return the population that a run's log leads to."""
    replica = Replica()
    follow(log, replica, run)
    return replica.population


def read_pages(store: Store, run: str, replica: Replica, account: Account) -> Iterator[AnyEvent]:
    """Yield a run's events after they were folded, with one page in memory at a time."""
    mode, last = store.opening(run).mode, PAGE_EVENTS
    while last == PAGE_EVENTS:
        page = report_log(store.events(run, replica.last, most=PAGE_EVENTS), mode)
        last = len(page)
        follow(page, replica, run)
        account.read(page)
        yield from (logged.event for logged in page)
        del page
