"""The memory store keeps the promises of every store."""

import pytest

from ramet.store import MemoryStore, Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, processes: FakeProcesses) -> Store:
        return MemoryStore(clock, processes)
