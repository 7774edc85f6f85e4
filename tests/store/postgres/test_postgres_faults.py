"""Servers that crash and connections that break change nothing: what is committed is so once."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StoreError, StoreUnreachable
from ramet.events import TurnEnded, canonical
from ramet.history.doctor import examine
from ramet.places import existing
from ramet.store import Lease, MemoryStore
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, standings
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.frameworks import package
from tests.postgres import Postgres, server
from tests.store.postgres.proxy import HARMS, Harm, proxy

package("psycopg")
import psycopg

from ramet.store import PostgresStore
from ramet.store.postgres.server import _Attempt

STEPS = 60
RESTARTS = 20
# Longer than a test takes.
PATIENT_S = 1e4


def train(store: object, steps: int = STEPS, **settings: object) -> ramet.history.Result:
    return ramet.run(
        descent_loop, SPACE, pbt(synchronous=True), steps=steps, mode="max", seed=0, store=store,
        **settings,
    )  # fmt: skip


def assert_as_if_nothing_had_happened(url: str, steps: int = STEPS) -> None:
    """Compare the run on record with one that was left alone and extended as often, to the bit."""
    result = ramet.history.load(url)
    kept = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    alone = train(kept)
    for more in range(2 * STEPS, steps + 1, STEPS):
        alone = train(kept, more, existing="extend")
    assert canonical(result.events) == canonical(alone.events)
    ended = Counter(
        (event.member, event.turn) for event in result.events if isinstance(event, TurnEnded)
    )
    assert set(ended.values()) == {1}
    where = existing(url)
    assert list(examine(where.store, where.blobs, where.choose(None))) == []


def test_a_pipeline_that_cannot_be_ended_is_no_answer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(url, clock=FakeClock())
    begin(store, members=2)
    make, broken = _Attempt.make, []

    def break_once(attempt: Any, connection: Any) -> Any:
        if not broken:
            broken.append(connection)
            connection.pgconn.enter_pipeline_mode()
            # As psycopg says if the answer broke off. It has no SQLSTATE.
            raise psycopg.OperationalError("cannot exit pipeline mode while busy")
        return make(attempt, connection)

    monkeypatch.setattr(_Attempt, "make", break_once)
    assert store.claim("lm", worker="gpu-03", ttl_s=PATIENT_S) is not None
    assert broken[0].closed


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.slow
def test_a_run_over_a_bad_network_is_the_run_over_a_good_one(
    harm: Harm, postgres: Postgres, url: str, tmp_path: Path
) -> None:
    with proxy(postgres.port, seed=1, one_in=25.0, harms=[harm]) as harmful:
        train(f"{url}&blobs={tmp_path}".replace(str(postgres.port), str(harmful.port)))
    assert len(harmful.done) > 10
    assert_as_if_nothing_had_happened(url)


@pytest.mark.parametrize("harm", ["lost", "unanswered", "half-closed"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_committed_over_a_bad_network_is_committed_once(
    harm: Harm, seed: int, postgres: Postgres, url: str
) -> None:
    with proxy(postgres.port, seed=seed, one_in=12.0, harms=[harm]) as harmful:
        harmful.harming = False
        # Pauses take no time by this clock.
        store = PostgresStore(url.replace(str(postgres.port), str(harmful.port)), clock=FakeClock())
        begin(store, members=4)
        harmful.harming = True
        leases: list[Lease] = []
        while len(leases) < 4:
            # None while a transaction that was cut off still has locks.
            lease = store.claim("lm", worker="gpu-03", ttl_s=PATIENT_S)
            leases += [] if lease is None else [lease]
        assert sorted(lease.member for lease in leases) == [0, 1, 2, 3]
        numbers = [end_turn(store, lease) for lease in leases]
        store.close()
        assert harmful.done
    assert numbers == [1, 2, 3, 4]
    assert [standing.turn for standing in standings(PostgresStore(url))] == [1] * 4


@pytest.mark.slow
def test_a_server_that_crashes_again_and_again_changes_nothing(tmp_path: Path) -> None:
    with server() as own:
        url = f"{own.url}?schema=crashes&blobs={tmp_path}"
        over = threading.Event()
        begun = threading.Event()

        def crash() -> None:
            begun.wait()
            for _ in range(RESTARTS):
                if not over.wait(0.1):
                    own.restart()

        task = Descent()
        crashes = threading.Thread(target=crash)
        crashes.start()

        def loop(session: ramet.Session) -> None:
            state = task.init(session.rng)
            for turn in session.turns(state):
                begun.set()
                for _ in turn:
                    state.update(task.step(state, turn.hparams, 1, turn.rng))
                    if turn.evaluation_due:
                        turn.report(task.evaluate(state))

        # As long as it takes.
        steps, extra = STEPS, {}
        while crashes.is_alive():
            ramet.run(
                loop, SPACE, pbt(synchronous=True), steps=steps, mode="max", seed=0, store=url,
                **extra,
            )  # fmt: skip
            steps, extra = steps + STEPS, {"existing": "extend"}
        over.set()
        crashes.join()
        assert own.log().count("was not properly shut down") == RESTARTS
        assert_as_if_nothing_had_happened(url, steps - STEPS)


def test_a_call_waits_for_a_server_that_is_away(tmp_path: Path) -> None:
    with server() as own:
        store = PostgresStore(own.url)
        begin(store)
        own.stop()
        later = threading.Timer(0.5, own.start)
        later.start()
        assert claim(store).member == 0
        later.join()
        store.close()


def test_a_call_waits_no_longer_than_its_patience() -> None:
    with server() as own:
        store = PostgresStore(own.url, patience_s=0.2)
        begin(store)
        own.stop()
        with pytest.raises(StoreUnreachable, match="go on with the same command"):
            store.runs()
        own.start()
        assert store.runs() == ["lm"]
        store.close()


def test_what_a_crash_has_undone_is_an_error_until_the_log_is_read_anew() -> None:
    # Nothing is written to the disk but what waits for it.
    with server(wal_writer_delay="10s", fsync="on") as own:
        url = own.url
        opened = begin(PostgresStore(url))
        store = PostgresStore(url, durability="process")
        end_turn(store, claim(store))
        own.restart()
        with pytest.raises(StoreError, match="the server has crashed and lost it"):
            store.claim("lm", worker="gpu-03", ttl_s=PATIENT_S)
        with pytest.raises(StoreError, match="start this worker again"):
            store.events("lm")
        store.open_run(opened, worker="again")
        assert len(store.events("lm")) == 1
        end_turn(store, claim(store))
        store.close()
