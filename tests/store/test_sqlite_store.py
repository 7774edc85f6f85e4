"""The SQLite store keeps the promises of every store, among processes and over their deaths."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ramet import faults
from ramet.events import Annotated, TurnEnded
from ramet.history.doctor import log_findings
from ramet.store import Durability, SQLiteStore, Store
from ramet.store.statements import queries
from ramet.testing import FakeClock, FakeProcesses
from ramet.testing.store import StoreContract
from ramet.testing.store_steps import TTL_S, begin, claim, end_turn, none_is_free, standings
from tests.processes import context, in_another_process
from tests.store.older import make_older
from tests.store.soundness import wrong_with


class TestSQLiteStore(StoreContract):
    @pytest.fixture(params=["power", "process"])
    def store(
        self,
        clock: FakeClock,
        processes: FakeProcesses,
        path: Path,
        request: pytest.FixtureRequest,
    ) -> Store:
        durability: Durability = request.param
        return SQLiteStore(path, durability=durability, clock=clock, processes=processes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def train(store: SQLiteStore, worker: str, together: Barrier) -> None:
    """End turns until there are none left."""
    together.wait()
    while (lease := store.claim("lm", worker=worker, ttl_s=TTL_S)) is not None:
        end_turn(store, lease)


def end_one_turn(store: SQLiteStore, crash_at: str) -> None:
    faults.arm(crash_at)
    end_turn(store, claim(store))


def test_everything_is_there_when_a_store_is_opened_again(path: Path) -> None:
    clock = FakeClock()
    store = SQLiteStore(path, clock=clock)
    begin(store)
    end_turn(store, claim(store))
    lease = claim(store, "gpu-17")
    before = store.events("lm"), store.seats("lm"), store.opening("lm")
    store.close()
    again = SQLiteStore(path, clock=clock)
    assert (again.events("lm"), again.seats("lm"), again.opening("lm")) == before
    end_turn(again, lease)


def test_a_closed_store_opens_again_when_it_is_used(path: Path) -> None:
    store = SQLiteStore(path)
    begin(store)
    store.close()
    store.close()
    assert store.runs() == ["lm"]


def test_a_store_leads_to_the_same_file_from_wherever_it_is_pickled_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    store = SQLiteStore("runs.db", durability="process", patience_s=5.0)
    begin(store)
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert again.runs() == ["lm"]
    assert pickle.dumps(again) == pickle.dumps(store)


def test_processes_train_one_run_together(path: Path) -> None:
    store = SQLiteStore(path, durability="process")
    begin(store, members=40)
    together = context.Barrier(2)
    workers = [
        context.Process(target=train, args=(store, name, together)) for name in ("one", "two")
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    log = store.events("lm")
    assert [logged.number for logged in log] == list(range(81))
    turns = [
        (logged.event.member, logged.event.turn)
        for logged in log
        if isinstance(logged.event, TurnEnded)
    ]
    assert sorted(turns) == [(member, turn) for member in range(40) for turn in (0, 1)]
    assert {logged.worker for logged in log[1:]} == {"one", "two"}
    assert wrong_with(store) == []


@pytest.mark.parametrize(("crash_at", "turns"), [("committing", 0), ("committed", 1)])
@pytest.mark.parametrize("durability", ["power", "process"])
def test_a_process_that_is_killed_has_written_all_of_its_turn_or_nothing(
    path: Path, crash_at: str, turns: int, durability: Durability
) -> None:
    store = SQLiteStore(path, durability=durability)
    begin(store, members=1)
    assert in_another_process(end_one_turn, store, crash_at) == -signal.SIGKILL
    assert standings(store)[0].turn == turns
    assert len(store.events("lm")) == 1 + turns
    assert wrong_with(store) == []
    # Its lease is still there if it wrote nothing, and ends with it otherwise.
    assert store.disown("lm", worker="gpu-03") == [0] * (1 - turns)
    assert end_turn(store, claim(store)) == 1 + turns


FORKING = """
import os, sys, threading
from ramet.store import SQLiteStore
from ramet.testing.store_steps import begin, end_turn

store = SQLiteStore(sys.argv[1], durability="process")
begin(store, members=60)

def train(turns):
    for _ in range(turns):
        end_turn(store, store.claim("lm", worker=str(os.getpid()), ttl_s=30.0))

thread = threading.Thread(target=train, args=(40,))
thread.start()
children = []
for _ in range(10):
    if (child := os.fork()) == 0:
        train(2)
        os._exit(0)
    children.append(child)
thread.join()
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_may_fork_at_any_time(path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, path]
    subprocess.run(command, check=True, timeout=60)
    store = SQLiteStore(path)
    assert len(store.events("lm")) == 61
    assert wrong_with(store) == []


def test_a_new_file_may_be_opened_by_many_at_once(path: Path) -> None:
    opened = []

    def work() -> None:
        store = SQLiteStore(path, durability="process")
        opened.append(begin(store))
        store.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert len(SQLiteStore(path).events("lm")) == 1


def test_all_leases_end_with_the_machine_that_they_were_given_on(path: Path) -> None:
    clock = FakeClock()
    store = SQLiteStore(path, clock=clock)
    begin(store, members=2)
    claim(store), claim(store)
    assert store.claim("lm", worker="gpu-03", ttl_s=TTL_S) is None
    store.close()
    clock.reboot()
    store = SQLiteStore(path, clock=clock)
    assert [seat.worker for seat in store.seats("lm")] == [None, None]
    assert [claim(store).member for _ in range(2)] == [0, 1]


def test_a_lease_in_an_older_file_that_names_no_process_keeps_its_time(path: Path) -> None:
    clock, processes = FakeClock(), FakeProcesses()
    store = SQLiteStore(path, clock=clock, processes=processes)
    begin(store, members=1)
    claim(store)
    store.close()
    make_older(path, 2)
    processes.die()
    store = SQLiteStore(path, clock=clock, processes=processes)
    assert none_is_free(store)
    clock.sleep(TTL_S + 1)
    assert claim(store).member == 0


class Nameless(FakeClock):
    """The clock of a system that gives its starts no names."""

    def boot(self) -> str:
        return ""


def test_leases_from_later_than_now_are_of_an_earlier_start(path: Path) -> None:
    clock = Nameless()
    store = SQLiteStore(path, clock=clock)
    begin(store, members=1)
    claim(store)
    clock.reboot()
    assert claim(store, "gpu-05").worker == "gpu-05"


def test_claims_cost_the_same_among_any_number_of_members(path: Path) -> None:
    begin(SQLiteStore(path))
    values = dict.fromkeys(["run", "phase", "steps", "now", "boot", "process", "most"], 0)
    with sqlite3.connect(path) as connection:
        connection.create_function("gone", 1, lambda process: False)
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {queries()['first_free']}", values
        ).fetchall()
    connection.close()
    (step,) = [detail for *_, detail in plan]
    assert step == "SEARCH members USING INDEX claims (run=? AND phase=? AND trained<?)"


def test_asking_again_where_there_was_nothing_waits_for_nobody(path: Path) -> None:
    store = SQLiteStore(path, patience_s=0.0)
    begin(store, members=1)
    claim(store)
    assert store.claim("lm", worker="gpu-05", ttl_s=TTL_S) is None
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.claim("lm", worker="gpu-05", ttl_s=TTL_S) is None
    other.close()


def test_checking_a_store_finds_members_that_do_not_stand_as_their_events_say(path: Path) -> None:
    store = SQLiteStore(path)
    begin(store)
    begin(store, "other")
    end_turn(store, claim(store))
    assert wrong_with(store) == []
    with sqlite3.connect(path) as connection:
        # As in a file without checksums, where nothing else tells.
        connection.execute(
            "UPDATE members SET step = 7, checksum = NULL WHERE run = 1 AND member = 2"
        )
    connection.close()
    (line,) = wrong_with(store)
    assert line.startswith("member 2 stands at Standing(member=2, trained=0, step=7")
    assert log_findings(store, "other") == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "DELETE FROM events WHERE number = 1",
            "event 1 of run 'lm' does not: event 2 stands in its place",
        ),
        ("UPDATE events SET event = x'7b' WHERE number = 1", "the record cannot be read"),
        ("DELETE FROM events WHERE number = 0", "the record cannot be read"),
        (
            """UPDATE events SET event = CAST(
            replace(CAST(event AS TEXT), '"member":0', '"member":99') AS BLOB)""",
            "the record cannot be read",
        ),
    ],
)
def test_checking_a_store_finds_a_log_that_is_not_whole(path: Path, damage: str, said: str) -> None:
    store = SQLiteStore(path)
    begin(store)
    for data in (1, 2):
        store.commit(claim(store), [Annotated(member=0, data=data)], [])
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    assert [line for line in wrong_with(store) if said in line]
