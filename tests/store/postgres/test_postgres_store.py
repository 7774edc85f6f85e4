"""The PostgreSQL store keeps the promises of every store."""

from collections.abc import Collection, Iterator

import pytest

from ramet.store import Durability, Store
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract
from ramet.testing.store_steps import begin, claim, end_turn, standing_after, standings, turn_of
from tests.frameworks import package
from tests.postgres import Postgres

package("psycopg")
import psycopg

from ramet.store import PostgresStore
from ramet.store.postgres import tables
from ramet.store.postgres.transaction import Transaction


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


class Named:
    """The processes of a machine that is never restarted."""

    def __init__(self, name: str) -> None:
        self._name = name

    def this(self) -> str:
        return self._name

    def is_gone(self, name: str | None) -> bool:
        return False


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the statements that are waited for from now on."""
    statements: list[bytes] = []
    ask = Transaction.ask

    def note(self: Transaction, text: bytes, values: object = None) -> object:
        statements.append(text)
        return ask(self, text, values)

    monkeypatch.setattr(Transaction, "ask", note)
    return statements


@pytest.mark.parametrize("among", [None, [2, 3]])
@pytest.mark.parametrize("held", [False, True])
def test_a_claim_locks_only_the_member_that_it_takes(
    url: str,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    *,
    held: bool,
    among: Collection[int] | None,
) -> None:
    processes = FakeProcesses()
    store = PostgresStore(url, processes=processes)
    begin(store, members=5)
    if held:
        # A claim must judge the leases of a process that has died.
        store.claim_all("lm", worker="gpu-17", ttl_s=60.0)
        processes.die()
    free: list[list[int]] = []
    commit = Transaction.commit

    def look(self: Transaction) -> None:
        with psycopg.connect(postgres.url) as other:
            other.execute("SELECT set_config('search_path', %s, false)", [store.address.schema])
            found = other.execute("SELECT member FROM members FOR UPDATE SKIP LOCKED")
            free.append(sorted(member for (member,) in found))
        commit(self)

    monkeypatch.setattr(Transaction, "commit", look)
    member = claim(store, among=among).member
    assert member == (0 if among is None else 2)
    assert free == [[each for each in range(5) if each != member]]


def test_a_claim_among_some_members_is_one_statement(url: str, asked: list[bytes]) -> None:
    store = PostgresStore(url)
    begin(store, members=5)
    asked.clear()
    assert claim(store, among=[3, 2], prefer=3).member == 3
    assert len(asked) == 1


def test_leases_of_other_machines_cost_a_claim_nothing(url: str, asked: list[bytes]) -> None:
    begin(PostgresStore(url), members=5)
    for number in range(4):
        claim(PostgresStore(url, processes=Named(f"elsewhere {number}")))
    store = PostgresStore(url, processes=Named("here 1"))
    asked.clear()
    assert claim(store).member == 4
    assert len(asked) == 1


def test_leases_are_renewed_by_few_statements_however_many_they_are(
    url: str, asked: list[bytes]
) -> None:
    store = PostgresStore(url)
    begin(store, members=40)
    leases = store.claim_all("lm", worker="gpu-03", ttl_s=60.0)
    asked.clear()
    assert len(store.renew_all(leases[:5], ttl_s=60.0)) == 5
    few = len(asked)
    assert len(store.renew_all(leases, ttl_s=60.0)) == 40
    assert len(asked) == 2 * few == 6
