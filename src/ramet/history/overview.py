"""How a run stands, read from its store's summary and the events behind that."""

from collections import Counter

from ramet.errors import RametError
from ramet.events import RunOpened
from ramet.history.reported import report_population
from ramet.history.state import check_seats
from ramet.population import Population
from ramet.store.base import Store
from ramet.store.summary import Tally

# Events that are in memory at a time.
PAGE = 1_000


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
