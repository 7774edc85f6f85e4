"""Workers that wait for a round are woken when there is something to do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ramet.events import RoundEnded, Stopped
from ramet.store import Store
from ramet.testing.store_steps import begin, claim, standing_after, turn_of
from tests.frameworks import package

package("psycopg")
from ramet.store import PostgresStore

# Longer than a test takes.
LONG_S = 60.0


def wakes(store: PostgresStore, write: Callable[[], object]) -> bool:
    """Say whether a write ends the wait of another thread."""
    # The first call never waits: it begins to listen.
    assert store.wait("lm", most_s=LONG_S)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(store.wait, "lm", most_s=LONG_S)
        write()
        return waiting.result()


def begin_next_round(store: Store) -> None:
    lease = claim(store)
    events = [turn_of(store, lease), RoundEnded(round=0)]
    store.commit(lease, events, [standing_after(store, events, 0)], round=1)


def test_the_next_round_wakes_workers_that_wait(url: str) -> None:
    store = PostgresStore(url)
    begin(store, members=1, synchronous=True)
    assert wakes(store, lambda: begin_next_round(store))


def test_a_released_member_wakes_workers_that_wait(url: str) -> None:
    store = PostgresStore(url)
    begin(store)
    lease = claim(store)
    assert wakes(store, lambda: store.release(lease))


@pytest.mark.parametrize("worker", ["gpu-03", "gpu-17"])
def test_members_of_a_dead_worker_wake_workers_that_wait(url: str, worker: str) -> None:
    store = PostgresStore(url)
    begin(store)
    claim(store)
    assert wakes(store, lambda: store.disown("lm", worker=worker))


def test_a_request_to_stop_wakes_workers_that_wait(url: str) -> None:
    store = PostgresStore(url)
    begin(store)
    assert wakes(store, lambda: store.append("lm", Stopped(), worker="cli", after=0))


def test_what_was_written_since_the_last_call_is_not_waited_for(url: str) -> None:
    store = PostgresStore(url)
    begin(store)
    store.wait("lm", most_s=0.0)
    store.append("lm", Stopped(), worker="cli", after=0)
    assert store.wait("lm", most_s=LONG_S)


def test_a_wait_ends_by_itself(url: str) -> None:
    store = PostgresStore(url)
    begin(store)
    assert [store.wait("lm", most_s=0.01) for _ in range(3)] == [True, False, False]
