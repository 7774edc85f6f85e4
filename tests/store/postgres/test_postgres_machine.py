"""Whatever is asked of it, in whatever order: the server answers as the store in memory does."""

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule

from tests.frameworks import package
from tests.postgres import Postgres
from tests.store.test_store_machine import Stores

package("psycopg")
from ramet.store import PostgresStore

pytestmark = pytest.mark.slow

_numbers = itertools.count()


class PostgresStores(Stores):
    """One store in memory and one on a server, asked the same."""

    served: Postgres

    def open(self) -> Any:
        if not hasattr(self, "schema"):
            self.schema = f"machine_{next(_numbers)}"
        url = f"{self.served.url}?schema={self.schema}"
        return PostgresStore(url, durability="process", clock=self.clock, processes=self.processes)

    @rule()
    def only_the_file_is_left(self) -> None:
        # What a dead worker leaves is on the server.
        self.file = self.open()


@pytest.fixture(scope="module", autouse=True)
def _served(postgres: Postgres) -> None:
    PostgresStores.served = postgres


TestPostgresStores = PostgresStores.TestCase
TestPostgresStores.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
