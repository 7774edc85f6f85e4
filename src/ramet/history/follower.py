"""Following a run's log: the population, kept up by reading only what is new."""

from collections.abc import Callable

from ramet.events import Logged, RunOpened, follow
from ramet.history.state import check_seats
from ramet.population import Population
from ramet.replica import Replica
from ramet.store.base import Store


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
