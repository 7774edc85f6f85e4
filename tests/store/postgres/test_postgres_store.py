"""The PostgreSQL store keeps the promises of every store."""

from collections.abc import Iterator

import pytest

from ramet.store import Durability, Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract
from tests.frameworks import package

package("psycopg")
from ramet.store import PostgresStore


class TestPostgresStore(StoreContract):
    @pytest.fixture(params=["power", "process"])
    def store(
        self,
        clock: FakeClock,
        processes: FakeProcesses,
        url: str,
        request: pytest.FixtureRequest,
    ) -> Iterator[Store]:
        durability: Durability = request.param
        store = PostgresStore(url, durability=durability, clock=clock, processes=processes)
        yield store
        store.close()
