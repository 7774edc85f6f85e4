"""The PostgreSQL store keeps the promises of every store."""

from collections.abc import Iterator

import pytest

from ramet.store import Durability, Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract
from ramet.testing.store_steps import begin, claim, end_turn, standing_after, standings, turn_of
from tests.frameworks import package

package("psycopg")
from ramet.store import PostgresStore
from ramet.store.postgres import tables


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


def test_all_news_is_found_by_who_has_known_the_log_before(url: str) -> None:
    writing, reading = PostgresStore(url), PostgresStore(url)
    begin(writing)
    end_turn(writing, claim(writing))
    assert [logged.number for logged in reading.events("lm")] == [0, 1]
    for _ in range(3):
        end_turn(writing, claim(writing))
    # The reader first looks whether what it knows is still on record.
    assert [logged.number for logged in reading.events("lm", 1)] == [2, 3, 4]
    assert reading.events("lm", 4) == []


def test_rows_that_are_too_large_for_one_statement_are_written_by_several(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    store = PostgresStore(url)
    begin(store, members=8, synchronous=True)
    leases = store.claim_all("lm", worker="gpu-17", ttl_s=60.0)
    events = [turn_of(store, lease, score=None) for lease in leases]
    store.commit(
        leases[0], events, [standing_after(store, events, n) for n in range(8)], beside=leases[1:]
    )
    assert [standing.turn for standing in standings(store)] == [1] * 8
    assert [logged.event for logged in store.events("lm", 0)] == events
