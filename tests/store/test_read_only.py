"""Stores that are looked at: on read-only media, by users who may not write, and evil ones."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ramet.clock import SystemClock
from ramet.errors import CorruptStore, NotAStore, StoreBusy, StoreError, StoreReadOnly
from ramet.process import SystemProcesses
from ramet.store import SQLiteStore, schema
from ramet.store.database import Database
from ramet.store.reading import ReadOnlyDatabase
from ramet.store.statements import migrations, statements
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, standings
from tests.store.interrupting import ends, interrupt
from tests.store.soundness import wrong_with

NOBODY = 65534
# Ends a turn, and leaves the write-ahead log as a process that is killed does.
KILLED = """
import os, sys
from ramet.store import SQLiteStore
from ramet.testing import FakeClock
from ramet.testing.store_steps import claim, end_turn
store = SQLiteStore(sys.argv[1])
end_turn(store, claim(store))
os._exit(0)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is also another user's to enter."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)
        Path(made).chmod(0o700)


@pytest.fixture
def path(folder: Path) -> Path:
    path = folder / "runs.db"
    store = SQLiteStore(path)
    begin(store)
    end_turn(store, claim(store))
    store.close()
    return path


@pytest.fixture
def killed(path: Path) -> Path:
    """A store that a killed process has written: the latest turn is in its log only."""
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=True)
    assert Path(f"{path}-wal").stat().st_size
    return path


@pytest.fixture
def disk(path: Path) -> Iterator[Path]:
    """A place where the same folder cannot be written, as a disk that is read-only."""
    with tempfile.TemporaryDirectory() as place:
        bind = ["mount", "--bind", path.parent, place]
        if not shutil.which("mount") or subprocess.run(bind, check=False).returncode:
            pytest.skip("only root on Linux may mount a folder once more")
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)  # noqa: S607 - wherever it is
        yield Path(place)
        subprocess.run(["umount", place], check=True)  # noqa: S607 - wherever it is


@pytest.fixture
def unprivileged(path: Path) -> Iterator[Path]:
    """The store's folder, as a user sees it who may only read there."""
    path.parent.chmod(0o555)
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield path.parent
    os.seteuid(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def looked_at(path: Path) -> list[int]:
    """Look at a store in all ways; return its events' numbers."""
    store = SQLiteStore(path, read_only=True)
    assert store.runs() == ["lm"]
    assert store.opening("lm").name == "lm"
    assert len(standings(store)) > 0
    assert store.check() == []
    assert wrong_with(store) == []
    return [logged.number for logged in store.events("lm")]


def without_shared_memory(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def as_it_is(path: Path) -> None:
    assert Path(f"{path}-shm").exists()


def test_looking_leaves_a_folder_as_it_is(path: Path) -> None:
    before = contents(path.parent)
    assert looked_at(path) == [0, 1]
    assert contents(path.parent) == before


def test_a_store_on_a_read_only_disk_is_looked_at(disk: Path) -> None:
    assert looked_at(disk / "runs.db") == [0, 1]


def test_a_user_who_may_only_read_looks_at_a_store(unprivileged: Path) -> None:
    assert looked_at(unprivileged / "runs.db") == [0, 1]


@pytest.mark.parametrize("left", [as_it_is, without_shared_memory])
def test_what_a_killed_run_wrote_last_is_seen_on_a_read_only_disk(
    killed: Path, disk: Path, left: Callable[[Path], None]
) -> None:
    left(killed)
    assert looked_at(disk / "runs.db") == [0, 1, 2]


@pytest.mark.parametrize("left", [as_it_is, without_shared_memory])
def test_what_a_killed_run_wrote_last_is_seen_by_who_may_only_read(
    killed: Path, request: pytest.FixtureRequest, left: Callable[[Path], None]
) -> None:
    left(killed)
    before = contents(killed.parent)
    request.getfixturevalue("unprivileged")
    assert looked_at(killed) == [0, 1, 2]
    assert contents(killed.parent) == before


def test_a_run_of_another_user_is_seen_while_it_goes_on(
    path: Path, request: pytest.FixtureRequest
) -> None:
    store = SQLiteStore(path)
    end_turn(store, claim(store))
    request.getfixturevalue("unprivileged")
    assert looked_at(path) == [0, 1, 2]


def test_a_log_that_may_not_be_read_is_an_error_and_no_older_state(
    killed: Path, request: pytest.FixtureRequest
) -> None:
    Path(f"{killed}-wal").chmod(0)
    request.getfixturevalue("unprivileged")
    with pytest.raises(StoreError, match=r"must be open to reading, but .* cannot be read"):
        SQLiteStore(killed, read_only=True)


def test_a_store_that_is_looked_at_is_not_written(path: Path) -> None:
    store = SQLiteStore(path, read_only=True)
    with pytest.raises(StoreReadOnly, match="a store that is looked at must not be written"):
        claim(store)


def test_an_empty_file_does_not_become_a_store(folder: Path) -> None:
    (folder / "runs.db").touch()
    with pytest.raises(NotAStore, match="is empty: no run was begun in it yet"):
        SQLiteStore(folder / "runs.db", read_only=True)
    assert contents(folder) == {"runs.db": b""}


def test_a_missing_file_does_not_become_a_store(folder: Path) -> None:
    with pytest.raises(NotAStore, match="there is none"):
        SQLiteStore(folder / "of" / "runs.db", read_only=True)
    assert list(folder.iterdir()) == []


def test_a_link_leads_to_the_log_of_its_store(killed: Path) -> None:
    link = killed.with_name("link.db")
    link.symlink_to(killed)
    assert looked_at(link) == [0, 1, 2]


def old(path: Path, schema: int) -> None:
    """Make a store as an older ramet did, with a run in it."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for script in migrations()[:schema]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {0x726D6574}")
        connection.execute(f"PRAGMA user_version = {schema}")
        connection.execute(
            "INSERT INTO runs (id, name, steps, round, head) VALUES (1, 'lm', 100, NULL, -1)"
        )
    connection.close()


@pytest.mark.parametrize("schema", range(1, len(migrations())))
def test_an_old_store_is_looked_at_and_stays_old(folder: Path, schema: int) -> None:
    path = folder / "runs.db"
    old(path, schema)
    before = contents(folder)
    store = SQLiteStore(path, read_only=True)
    assert (store.runs(), store.events("lm"), store.seats("lm")) == (["lm"], [], [])
    assert contents(folder) == before
    assert SQLiteStore(path).runs() == ["lm"]


def test_an_old_store_is_brought_up_in_memory_once_for_all_reads_until_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = folder / "runs.db", []
    old(path, 2)
    migrate = schema.migrate

    def counting(*args: Any) -> None:
        made.append(args)
        migrate(*args)

    monkeypatch.setattr("ramet.store.reading.migrate", counting)
    store = SQLiteStore(path, read_only=True)
    for _ in range(3):
        assert (store.runs(), store.events("lm")) == (["lm"], [])
    assert len(made) == 1
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET name = 'other'")
    assert store.runs() == ["other"]
    assert len(made) == 2
    # No connection goes through a fork.
    if (child := os.fork()) == 0:
        os._exit(0 if store.runs() == ["other"] else 1)
    assert os.waitpid(child, 0)[1] == 0


EVIL = {
    "a view in place of a table": [
        "ALTER TABLE events RENAME TO e",
        "CREATE VIEW events AS SELECT * FROM e",
    ],
    "a trigger": [
        "CREATE TRIGGER t AFTER UPDATE ON members BEGIN DELETE FROM events; END",
    ],
    "a view": ["CREATE VIEW v AS SELECT 1"],
    "an index on an expression": ["CREATE INDEX i ON members (abs(member))"],
    "a table that computes": [
        "ALTER TABLE runs ADD COLUMN big GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL",
    ],
    "a table less": ["DROP TABLE members"],
    "a negative schema number": ["PRAGMA user_version = -1"],
}


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("evil", EVIL)
def test_a_store_with_other_tables_than_ours_is_refused(
    path: Path,
    evil: str,
    read_only: bool,  # noqa: FBT001 - pytest's
) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in EVIL[evil]:
            connection.execute(statement)
    connection.close()
    before = contents(path.parent)
    with pytest.raises(NotAStore, match="must have the tables that ramet makes and nothing else"):
        SQLiteStore(path, read_only=read_only)
    assert contents(path.parent) == before


def test_statistics_of_sqlite_are_no_table_of_another(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ANALYZE")
    connection.close()
    assert looked_at(path) == [0, 1]
    assert SQLiteStore(path).runs() == ["lm"]


def test_a_damaged_store_is_an_error_at_once(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(CorruptStore):
        SQLiteStore(path, read_only=True).events("lm")


class EndsALook(FakeClock):
    """Lets a look of another thread end once somebody waits."""

    def __init__(self, end: Callable[[], None]) -> None:
        super().__init__()
        self._end = end

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._end()


@pytest.fixture
def joined(path: Path) -> Iterator[Path]:
    """A store that another process has open, so that it has a shared memory."""
    code = KILLED.replace("os._exit(0)", "print(flush=True); sys.stdin.read()")
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        yield path
        other.kill()


def as_it_is(path: Path) -> ReadOnlyDatabase:
    return ReadOnlyDatabase(path, clock=SystemClock(), processes=SystemProcesses(), patience_s=60.0)


def test_a_process_that_looks_at_a_store_can_join_its_run_meanwhile(joined: Path) -> None:
    looks = as_it_is(joined)
    looking, done = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM runs")
        looking.set()
        done.wait(60)

    looker = threading.Thread(target=looks.read, args=(slow,))
    looker.start()
    assert looking.wait(60)

    def end() -> None:
        done.set()
        looker.join()

    try:
        store = SQLiteStore(joined, clock=EndsALook(end))
        end_turn(store, claim(store))
    finally:
        end()


def test_a_look_of_a_process_that_writes_leaves_it_free_to_open_the_store_again(
    joined: Path,
) -> None:
    store = SQLiteStore(joined)
    end_turn(store, claim(store))
    looks = as_it_is(joined)

    def reopened(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM runs")
        store.close()
        end_turn(store, claim(store))

    looks.read(reopened)


def test_a_look_of_a_process_that_will_write_again_leaves_it_free_to(joined: Path) -> None:
    store = SQLiteStore(joined)
    store.close()
    as_it_is(joined).read(lambda _: end_turn(store, claim(store)))


def test_a_look_through_a_link_leaves_who_writes_free_as_well(joined: Path) -> None:
    link = joined.with_name("link.db")
    link.symlink_to(joined)
    store = SQLiteStore(joined)
    store.close()
    as_it_is(link).read(lambda _: end_turn(store, claim(store)))


def test_a_look_that_begins_while_another_keeps_a_writer_out_waits_for_its_end(
    joined: Path,
) -> None:
    looking, done = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        looking.set()
        done.wait(60)

    looker = threading.Thread(target=as_it_is(joined).read, args=(slow,))
    looker.start()
    assert looking.wait(60)

    def end() -> None:
        done.set()
        looker.join()

    writer = Database(joined, clock=FakeClock(), processes=SystemProcesses(), patience_s=0.5)
    second = ReadOnlyDatabase(
        joined, clock=EndsALook(end), processes=SystemProcesses(), patience_s=60.0
    )

    def update(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE runs SET steps = steps")

    def write(_: sqlite3.Connection) -> None:
        writer.write(update, synced=False)

    try:
        second.read(write)
    finally:
        end()


def test_a_store_is_opened_to_write_after_an_interrupt_of_a_look(joined: Path) -> None:
    looks, at = as_it_is(joined), 1
    while (error := interrupt(lambda: looks.read(str), at)) is not None:
        # The error is alive, and the frames in its traceback with it.
        assert error.__traceback__ is not None
        assert ends(lambda: SQLiteStore(joined)), at
        at += 1
    assert at > 50


def test_a_store_is_not_opened_to_write_within_a_look(joined: Path) -> None:
    looks = as_it_is(joined)

    def opened(_: sqlite3.Connection) -> None:
        claim(SQLiteStore(joined))

    with pytest.raises(StoreBusy, match="in the midst of a look"):
        looks.read(opened)
