"""A file that cannot be a store, or not right now: said clearly, and left as it is."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.errors import (
    CorruptStore,
    NotAStore,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnsupported,
    UnknownSchema,
)
from ramet.events import Annotated
from ramet.store import Lease, SQLiteStore
from ramet.store.statements import migrations
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, standings
from tests.store.soundness import wrong_with

MIB = 1024 * 1024
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    store = SQLiteStore(path, clock=FakeClock(), patience_s=0.5)
    begin(store)
    return store


def write_much(store: SQLiteStore, lease: Lease) -> None:
    store.commit(lease, [Annotated(member=lease.member, data="x" * 4 * MIB)], [])


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    begin(SQLiteStore(tmp_path / "of" / "mine" / "runs.db"))
    assert (tmp_path / "of" / "mine" / "runs.db").is_file()


def test_a_store_may_begin_as_an_empty_file(path: Path) -> None:
    path.touch()
    begin(SQLiteStore(path))


@pytest.mark.parametrize("content", [b"lr: 0.1\n", b"lr: 0.1\n" * 1000])
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(NotAStore, match=r"it is not an SQLite database\. It was left as it is"):
        SQLiteStore(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_database_of_another_program_is_left_as_it_is(path: Path, mode: str) -> None:
    execute(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE photos (id)")
    before = path.read_bytes()
    with pytest.raises(NotAStore, match="it is the database of another program"):
        SQLiteStore(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="it is no file"):
        SQLiteStore(tmp_path)


def test_a_store_below_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreReadOnly, match=r"the folder of the store .* must be there or be made"):
        SQLiteStore(tmp_path / "file" / "runs.db")


def test_a_store_whose_pages_were_overwritten_is_damaged(store: SQLiteStore, path: Path) -> None:
    store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(CorruptStore, match=r"must be whole, but it is damaged: .* Put a copy back"):
        SQLiteStore(path)


def test_a_store_that_was_cut_short_is_damaged(store: SQLiteStore, path: Path) -> None:
    write_much(store, claim(store))
    store.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CorruptStore):
        SQLiteStore(path)


def test_checking_a_store_finds_a_page_that_was_overwritten(store: SQLiteStore, path: Path) -> None:
    write_much(store, claim(store))
    store.close()
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(bytes(range(256)) * 16)
    store = SQLiteStore(path)
    assert store.runs() == ["lm"]
    assert [line for line in store.check() if "is damaged" in line]
    with pytest.raises(StoreError):
        store.events("lm")


def test_a_store_that_was_removed_meanwhile_is_not_written_into_the_void(
    store: SQLiteStore, path: Path
) -> None:
    lease = claim(store)
    path.rename(path.with_name("moved.db"))
    for _ in range(2):
        with pytest.raises(NotAStore, match="its file was removed or replaced"):
            end_turn(store, lease)
        store.close()
    assert not path.exists()
    path.with_name("moved.db").rename(path)
    end_turn(store, lease)


def test_a_commit_that_finds_the_disk_full_writes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    made = []

    def remembered(*args, **options):  # noqa: ANN002, ANN003, ANN202 - as sqlite3 has it
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    store = SQLiteStore(path)
    begin(store)
    made[-1].execute("PRAGMA max_page_count = 50")
    lease = claim(store)
    with pytest.raises(StoreFull, match=r"SQLITE_FULL.* Nothing was written; free space"):
        write_much(store, lease)
    assert len(store.events("lm")) == 1
    end_turn(store, lease)


def test_a_commit_that_the_system_refuses_writes_nothing(store: SQLiteStore) -> None:
    resource = pytest.importorskip("resource", reason="needs the limits of Unix")
    lease = claim(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
    try:
        with pytest.raises(StoreFull, match="SQLITE_IOERR"):
            write_much(store, lease)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(store.events("lm")) == 1
    write_much(store, lease)
    assert wrong_with(store) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root on Linux may mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)  # noqa: S607 - wherever it is


def test_a_full_disk_loses_nothing_and_once_there_is_room_the_run_goes_on(small_disk: Path) -> None:
    store = SQLiteStore(small_disk / "runs.db")
    begin(store)
    end_turn(store, claim(store))
    lease = claim(store)
    (small_disk / "other").write_bytes(bytes(MIB))
    with pytest.raises(StoreFull, match="SQLITE_FULL"):
        write_much(store, lease)
    assert len(store.events("lm")) == 2
    (small_disk / "other").unlink()
    end_turn(store, lease)
    assert wrong_with(store) == []
    store.close()


def test_a_store_that_others_keep_locked_is_given_up_after_a_while(
    store: SQLiteStore, path: Path
) -> None:
    lease = claim(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"must come free within 0\.5 s, but .*process"):
        end_turn(store, lease)
    assert standings(store)[0].turn == 0
    other.execute("ROLLBACK")
    other.close()
    end_turn(store, lease)


def test_waiting_for_others_leaves_the_draws_of_training_alone(
    store: SQLiteStore, path: Path
) -> None:
    lease, before = claim(store), random.getstate()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            end_turn(store, lease)
    assert random.getstate() == before


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Give a folder, and up the rights of root, whom no mode keeps from writing."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.geteuid()
        if before == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(before)
            Path(folder).chmod(0o700)


def test_a_file_that_may_only_be_read_can_be_read(unprivileged: Path) -> None:
    path = unprivileged / "runs.db"
    store = SQLiteStore(path)
    begin(store)
    store.close()
    path.chmod(0o444)
    store = SQLiteStore(path)
    assert store.runs() == ["lm"]
    with pytest.raises(
        StoreReadOnly, match=r"must be open to reading and writing.*SQLITE_READONLY"
    ):
        claim(store)
    assert wrong_with(store) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_may_only_be_read_holds_no_store(unprivileged: Path, there: bool) -> None:  # noqa: FBT001 - pytest's
    path = unprivileged / "runs.db"
    if there:
        begin(SQLiteStore(path))
    unprivileged.chmod(0o555)
    with pytest.raises(StoreReadOnly, match=r"SQLITE_(CANTOPEN|READONLY_DIRECTORY)"):
        SQLiteStore(path)


def test_without_shared_memory_there_is_no_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    # SQLite's own stand-in for file systems without locks.
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda path, **options: connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options),
    )
    with pytest.raises(StoreUnsupported, match="Network file systems cannot have it"):
        SQLiteStore(path)


def test_an_old_sqlite_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 7, 17))
    with pytest.raises(StoreUnsupported, match=r"needs SQLite 3\.24\.0 or later"):
        SQLiteStore(path)
    assert not path.exists()


def next_schema(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    scripts = (*migrations(), script)
    monkeypatch.setattr("ramet.store.schema.migrations", lambda: scripts)


def test_an_old_file_is_brought_up_to_the_present_schema(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_turn(store, claim(store))
    store.close()
    next_schema(monkeypatch, "ALTER TABLE runs ADD COLUMN note TEXT;\nUPDATE runs SET note = 'n';")
    assert len(SQLiteStore(path).events("lm")) == 2
    execute(path, "SELECT note FROM runs")


def test_a_file_that_cannot_be_brought_up_is_left_as_it_is(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        next_schema(patch, "ALTER TABLE runs ADD COLUMN note TEXT;\nSELECT * FROM nowhere;")
        with pytest.raises(StoreError, match="no such table: nowhere"):
            SQLiteStore(path)
    assert path.read_bytes() == before
    assert SQLiteStore(path).runs() == ["lm"]


def test_a_file_of_a_newer_schema_is_left_as_it_is(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    with monkeypatch.context() as patch:
        next_schema(patch, "ALTER TABLE runs ADD COLUMN note TEXT;")
        SQLiteStore(path).close()
    before = path.read_bytes()
    known = len(migrations())
    said = f"of schema {known} and older .* is of schema {known + 1}"
    with pytest.raises(UnknownSchema, match=said):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_a_store_that_is_brought_up_under_a_worker_is_not_written_by_it(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = claim(store)
    with monkeypatch.context() as patch:
        next_schema(patch, "ALTER TABLE runs ADD COLUMN note TEXT;")
        SQLiteStore(path).close()
    with pytest.raises(UnknownSchema):
        end_turn(store, lease)
