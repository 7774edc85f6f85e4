"""A store that is copied, looked at and left by others while a process writes it."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ramet.clock import SystemClock
from ramet.errors import CorruptStore
from ramet.process import SystemProcesses
from ramet.store import SQLiteStore, forking
from ramet.store.holder import holder_of
from ramet.store.reading import ReadOnlyDatabase
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn
from tests.store.soundness import wrong_with

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has locks that closing a copy does not drop"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    store = SQLiteStore(path, clock=FakeClock(), patience_s=0.5)
    begin(store)
    return store


def copied_in_this_process(path: Path, *suffixes: str) -> None:
    """Copy files as training code might, which lets go of SQLite's locks on them."""
    for suffix in suffixes:
        shutil.copy(f"{path}{suffix}", f"{path}{suffix}.bak")


def elsewhere(path: Path, code: str) -> None:
    """Do something with a store in another process."""
    text = f"import sqlite3\nfrom ramet.store import SQLiteStore\npath = {str(path)!r}\n{code}"
    subprocess.run([sys.executable, "-c", text], check=True)


OTHERS = {
    "looks": "SQLiteStore(path, read_only=True).runs()",
    "opens it to write": "SQLiteStore(path).close()",
    "opens it with another program": (
        "c = sqlite3.connect(path); c.execute('SELECT count(*) FROM events'); c.close()"
    ),
}


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("suffixes", [[""], ["-shm"], ["", "-wal", "-shm"]])
def test_no_turn_is_lost_when_the_training_copies_the_store_and_another_process(
    store: SQLiteStore, path: Path, suffixes: list[str], other: str
) -> None:
    end_turn(store, claim(store))
    log = Path(f"{path}-wal").stat().st_ino
    copied_in_this_process(path, *suffixes)
    elsewhere(path, OTHERS[other])
    assert Path(f"{path}-wal").stat().st_ino == log
    end_turn(store, claim(store))
    elsewhere(path, "assert len(SQLiteStore(path, read_only=True).events('lm')) == 3")
    assert wrong_with(store) == []


@on_linux
def test_a_joiner_that_ends_leaves_the_log_to_the_others(store: SQLiteStore, path: Path) -> None:
    copied_in_this_process(path, "")
    joined = SQLiteStore(path, clock=FakeClock())
    end_turn(joined, claim(joined))
    joined.close()
    assert Path(f"{path}-wal").stat().st_size > 0
    end_turn(store, claim(store))
    assert len(store.events("lm")) == 3


def test_the_last_to_close_leaves_the_file_alone(store: SQLiteStore, path: Path) -> None:
    copied_in_this_process(path, "")
    other = SQLiteStore(path)
    store.close()
    other.close()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "runs.db",
        "runs.db-lock",
        "runs.db.bak",
    ]


@on_linux
def test_a_log_that_is_removed_ends_the_run_with_all_its_turns(
    store: SQLiteStore, path: Path
) -> None:
    end_turn(store, claim(store))
    lease = claim(store)
    Path(f"{path}-wal").unlink()
    with pytest.raises(CorruptStore, match=r"-wal must stay where it is .* All that was written"):
        end_turn(store, lease)
    again = SQLiteStore(path)
    assert len(again.events("lm")) == 2
    assert wrong_with(again) == []


def test_a_log_that_is_replaced_ends_the_run_and_stays_as_it_is(
    store: SQLiteStore, path: Path
) -> None:
    store.close()
    before = path.read_bytes()
    end_turn(store, claim(store))
    lease, log = claim(store), Path(f"{path}-wal")
    log.rename(f"{log}.bak")
    log.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(CorruptStore, match="What was written last may be missing"):
            end_turn(store, lease)
    store.close()
    assert log.read_bytes() == b""
    assert path.read_bytes() == before


def test_a_store_without_its_log_shows_nothing_older(store: SQLiteStore, path: Path) -> None:
    end_turn(store, claim(store))
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    shutil.copy(f"{path}-shm", f"{copy}-shm")
    for read_only in (True, False):
        with pytest.raises(CorruptStore, match=r"copy\.db-wal was removed"):
            SQLiteStore(copy, read_only=read_only)
    assert not Path(f"{copy}-wal").exists()


def test_who_looks_copies_nothing_back(store: SQLiteStore, path: Path) -> None:
    store.close()
    before = path.read_bytes()
    elsewhere(
        path,
        "import os\nc = sqlite3.connect(path)\nc.execute('UPDATE runs SET steps = 2')\n"
        "c.commit()\nos._exit(0)",
    )
    log = Path(f"{path}-wal").read_bytes()
    assert log
    assert SQLiteStore(path, read_only=True).runs() == ["lm"]
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == (before, log)


def test_a_read_sees_one_moment_also_if_a_run_goes_on_meanwhile(
    store: SQLiteStore, path: Path
) -> None:
    store.close()
    looked_at = ReadOnlyDatabase(
        path, clock=SystemClock(), processes=SystemProcesses(), patience_s=60.0
    )
    turns = iter(range(2))

    def query(connection: sqlite3.Connection) -> list[int]:
        seen = [connection.execute("SELECT count(*) FROM events").fetchone()[0]]
        for _ in turns:
            end_turn(store, claim(store))
            store.close()
        return [*seen, connection.execute("SELECT count(*) FROM events").fetchone()[0]]

    first, last = looked_at.read(query)
    assert first == last == 3


CLOSED = """
import os, sys
from ramet.errors import StoreError
from ramet.store import SQLiteStore
from ramet.testing import FakeClock
store = SQLiteStore(sys.argv[1], clock=FakeClock())
store.runs()
os.closerange(3, 64)
try:
    store.runs()
except StoreError as error:
    print(error)
if not os.fork():
    os._exit(0)
print(store.runs())
os.closerange(3, 64)
store.close()
print("closed")
"""


@on_linux
def test_a_store_whose_descriptors_were_closed_says_so_and_can_be_opened_again(
    store: SQLiteStore, path: Path
) -> None:
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, path], capture_output=True, text=True, timeout=60, check=True
    )
    refused, *after = done.stdout.splitlines()
    assert "closed their descriptors" in refused
    assert after == ["['lm']", "closed"]
    assert done.stderr == ""


CLOSED_WHILE_WAITING = """
import fcntl, os, sys
from ramet.errors import StoreError
from ramet.store import SQLiteStore
from ramet.testing import FakeClock
from ramet.testing.store_steps import claim

class Closes(FakeClock):
    def sleep(self, seconds):
        super().sleep(seconds)
        os.closerange(3, 64)

store = SQLiteStore(sys.argv[1], clock=Closes(), patience_s=5.0)
store.release(claim(store))
# Out of reach of what closes the others.
other = os.dup2(os.open(sys.argv[1] + "-lock", os.O_RDONLY), 100)
fcntl.flock(other, fcntl.LOCK_EX)
try:
    claim(store)
except StoreError as error:
    print(type(error).__name__, error)
"""


@on_linux
def test_a_store_whose_descriptors_were_closed_while_it_waits_to_write_waits_no_longer(
    store: SQLiteStore, path: Path
) -> None:
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_WHILE_WAITING, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "closed their descriptors" in done.stdout


# Of the hooks of a fork, those registered first run last before it: here, once all locks are held.
FORKED_MEANWHILE = """
import os, threading, warnings
from pathlib import Path
warnings.simplefilter("ignore", DeprecationWarning)
os.register_at_fork(before=lambda: meanwhile())
from ramet.store import sharing

def meanwhile():
    # Another thread that uses a store just then, and holds the lock when the process forks.
    thread = threading.Thread(target=sharing._lock.acquire, args=(False,))
    thread.start()
    thread.join()

if (child := os.fork()) == 0:
    finds = threading.Thread(target=sharing.sharing, args=(Path("runs.db"),), daemon=True)
    finds.start()
    finds.join(5)
    os._exit(int(finds.is_alive()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@on_linux
def test_a_fork_while_another_thread_opens_a_store_leaves_the_child_free_to_open_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED_MEANWHILE],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


class Refuses:
    """Cannot be paused."""

    def pause(self) -> None:
        raise OSError("not now")

    def resume(self) -> None:
        raise AssertionError


def test_what_cannot_be_paused_keeps_no_store_locked_after_a_fork(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = Refuses()
    with monkeypatch.context() as patch:
        patch.setattr(forking, "_open", [refuses, store._database, refuses])  # noqa: SLF001 - its own
        with pytest.raises(OSError, match="not now"):
            forking._pause_all()  # noqa: SLF001 - as a fork does
        # No connection of the others goes through the fork.
        assert store._database._connection is None  # noqa: SLF001 - nothing else shows it
        forking._resume_all()  # noqa: SLF001 - as a fork does
    assert store.runs() == ["lm"]


def test_a_store_that_could_not_be_paused_can_be_used_after_the_fork(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError("not now")

    database = store._database  # noqa: SLF001 - no file refuses to be closed
    with monkeypatch.context() as patch:
        patch.setattr(forking, "_open", [database])
        patch.setattr(database, "_disconnect", refuse)
        with pytest.raises(OSError, match="not now"):
            forking._pause_all()  # noqa: SLF001 - as a fork does
        forking._resume_all()  # noqa: SLF001 - as a fork does
    assert not database._lock.locked()  # noqa: SLF001 - or it would be waited for for ever


def test_a_link_to_a_store_has_the_lock_of_the_store(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="needs the locks of Unix")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    linked = SQLiteStore(link)
    end_turn(linked, claim(linked))
    assert not Path(f"{link}-lock").exists()
    with Path(f"{path}-lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert holder_of(link) == holder_of(path) is not None
