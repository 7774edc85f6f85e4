"""What every store must do, as tests: subclass, and give the class a ``store`` fixture.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, clock, processes):
            return MyStore(clock=clock, processes=processes)

Tests named ``i1``, ``i2`` and so on hold the promises of docs/stores.md with these numbers.
"""

import pytest

from ramet.store import Store
from ramet.testing.clock import FakeClock
from ramet.testing.processes import FakeProcesses
from ramet.testing.store.claims import Claims
from ramet.testing.store.commits import Commits
from ramet.testing.store.deleting import Deleting, Renaming
from ramet.testing.store.leases import Leases
from ramet.testing.store.overwriting import Overwriting
from ramet.testing.store.reading import Reading
from ramet.testing.store.rounds import Rounds
from ramet.testing.store.runs import Runs

__all__ = ["StoreContract"]


class StoreContract(
    Runs, Overwriting, Deleting, Renaming, Claims, Leases, Commits, Rounds, Reading
):
    """All tests that a store must pass."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock that the store is given."""
        return FakeClock()

    @pytest.fixture
    def processes(self) -> FakeProcesses:
        """Return the processes that the store is given."""
        return FakeProcesses()

    @pytest.fixture
    def store(self, clock: FakeClock, processes: FakeProcesses) -> Store:
        """Return the store under test, made with ``clock`` and ``processes``."""
        raise NotImplementedError("give the class a store fixture")
