"""Many workers on one run: no turn is lost, none is trained twice, and no worker waits for ever."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ramet.events import TurnEnded
from ramet.history.doctor import log_findings
from ramet.testing.store_steps import TTL_S, begin, end_turn
from tests.engine.scripts import wait_for
from tests.frameworks import package
from tests.postgres import Postgres

package("psycopg")
import psycopg

from ramet.store import PostgresStore

WORKERS, MEMBERS, TURNS = 16, 64, 2


@pytest.mark.slow
def test_many_workers_train_every_turn_once(url: str) -> None:
    begin(PostgresStore(url), members=MEMBERS)

    def work(name: str) -> None:
        store = PostgresStore(url, durability="process")
        while True:
            # None while others hold the last turns, which they end.
            lease = store.claim("lm", worker=name, ttl_s=TTL_S)
            if lease is None:
                break
            end_turn(store, store.renew(lease, ttl_s=TTL_S))
        store.close()

    workers = [threading.Thread(target=work, args=(f"gpu-{n}",)) for n in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store = PostgresStore(url)
    ended = Counter(
        (event.member, event.turn)
        for event in (logged.event for logged in store.events("lm"))
        if isinstance(event, TurnEnded)
    )
    assert set(ended.values()) == {1}
    assert len(ended) == TURNS * MEMBERS
    assert log_findings(store, "lm") == []
    store.close()


def test_threads_leave_one_connection_for_all(url: str, postgres: Postgres) -> None:
    store = PostgresStore(f"{url}&application_name=threads")
    begin(store)
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(lambda _: store.seats("lm"), range(40)))) == 40
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threads'"
        wait_for(lambda: connection.execute(count).fetchone() == (1,))
