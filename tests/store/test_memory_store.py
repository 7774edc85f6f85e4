"""The memory store keeps the promises of every store."""

import pytest

from ramet.store import MemoryStore, Store
from ramet.testing import FakeClock
from ramet.testing.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock)
