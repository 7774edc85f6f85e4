"""A store that another process keeps locked: who waits, for how long, and what is said of it."""

import contextlib
import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.errors import StoreBusy, StoreError
from ramet.store import SQLiteStore, waiting
from ramet.store.holder import Holder, holder_of
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, standings
from tests import signals
from tests.cli import shell
from tests.engine.scripts import started, wait_for
from tests.store.soundness import wrong_with

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Keep a store locked, as a shell does that was left in a transaction."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


class LetsGo(FakeClock):
    """A clock at which another process lets go of a store after so many seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self.other: sqlite3.Connection | None = None
        self.at = self.uptime() + after_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.other is not None and self.uptime() >= self.at:
            self.other.execute("ROLLBACK")
            self.other = None


def test_a_store_is_waited_for_as_long_as_it_takes_and_now_and_then_this_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LetsGo(after_s=1_000.0)
    store = SQLiteStore(path, clock=clock)
    begin(store)
    lease = claim(store)
    with locked(path) as clock.other, caplog.at_level(logging.INFO, "ramet"):
        end_turn(store, lease)
    assert standings(store)[0].turn == 1
    *warnings, last = caplog.records
    said = [vars(record)["held_s"] for record in warnings]
    assert 5 <= said[0] <= 6
    assert all(2 * before <= after for before, after in itertools.pairwise(said))
    assert len(said) == 8
    assert "is free again" in last.getMessage()


def test_a_wait_of_a_moment_is_not_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = LetsGo(after_s=4.0)
    store = SQLiteStore(path, clock=clock)
    begin(store)
    with locked(path) as clock.other, caplog.at_level(logging.INFO, "ramet"):
        claim(store)
    assert not caplog.records


def test_a_holder_that_a_look_misses_is_still_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What Linux lists is now and then short of a lock while many others come and go.
    seen = itertools.cycle(
        [None, Holder(8, "waits.py", stopped=False), Holder(7, "", stopped=True)]
    )
    monkeypatch.setattr(waiting, "holder_of", lambda store: next(seen))
    clock = LetsGo(after_s=9.0)
    store = SQLiteStore(path, clock=clock)
    begin(store)
    with locked(path) as clock.other, caplog.at_level(logging.WARNING, "ramet"):
        claim(store)
    (warning,) = caplog.records
    assert vars(warning)["pid"] == 7


def test_whoever_was_warned_hears_that_the_wait_is_over_though_the_holder_was_last_out_of_sight(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LetsGo(after_s=9.0)
    store = SQLiteStore(path, clock=clock)
    begin(store)
    leaves_at = clock.uptime() + 8.0

    def look(_: Path) -> Holder | None:
        return Holder(7, "", stopped=True) if clock.uptime() < leaves_at else None

    monkeypatch.setattr(waiting, "holder_of", look)
    with locked(path) as clock.other, caplog.at_level(logging.INFO, "ramet"):
        claim(store)
    warning, over = caplog.records
    assert vars(warning)["pid"] == 7
    assert "is free again" in over.getMessage()


def test_many_who_write_in_turn_are_no_reason_to_say_anything(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    holders = (Holder(pid, "train.py", stopped=False) for pid in itertools.count(1))
    monkeypatch.setattr(waiting, "holder_of", lambda store: next(holders))
    clock = LetsGo(after_s=100.0)
    store = SQLiteStore(path, clock=clock)
    begin(store)
    with locked(path) as clock.other, caplog.at_level(logging.INFO, "ramet"):
        claim(store)
    assert not caplog.records


def test_a_lease_is_not_waited_for_long_to_be_given_back(path: Path) -> None:
    clock = FakeClock()
    store = SQLiteStore(path, clock=clock)
    begin(store)
    lease, before = claim(store), clock.uptime()
    with locked(path):
        with pytest.raises(StoreBusy):
            store.release(lease)
        with pytest.raises(StoreBusy):
            store.disown("lm", worker=lease.worker)
    assert clock.uptime() - before < 10.0
    end_turn(store, lease)


@on_linux
def test_whoever_has_no_patience_is_named_the_process_that_holds_the_lock(path: Path) -> None:
    store = SQLiteStore(path, patience_s=0.0)
    begin(store)
    code = f"import sqlite3; c = sqlite3.connect({str(path)!r}, isolation_level=None); "
    code += "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        holder = holder_of(path)
        with pytest.raises(
            StoreBusy,
            match=rf"process {other.pid} \(.*sqlite3.*\) kept it .* with `kill {other.pid}`",
        ):
            claim(store)
        other.communicate(b"\n")
    assert holder is not None
    assert (holder.pid, holder.stopped) == (other.pid, False)
    assert holder_of(path) is None


# Is stopped in the midst of a commit, as by Ctrl-Z.
FREEZES = """\
import os, signal, sys
from ramet import faults
from ramet.store import SQLiteStore
from ramet.testing.store_steps import claim, end_turn

reach = faults.reach
def freeze(point):
    reach(point)
    if point == "committing":
        os.kill(os.getpid(), signal.SIGSTOP)
faults.reach = freeze

store = SQLiteStore(sys.argv[1])
end_turn(store, claim(store, "frozen"))
"""


@pytest.fixture
def frozen(path: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    store = SQLiteStore(path)
    begin(store)
    end_turn(store, claim(store))
    script = tmp_path / "freezes.py"
    script.write_text(FREEZES)
    with started(script, str(path)) as process:
        wait_for(lambda: (found := holder_of(path)) is not None and found.stopped)
        yield process
        process.kill()


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("freed_by", signals.named("SIGCONT", "SIGKILL"))
def test_a_process_that_is_stopped_in_a_commit_holds_others_up_until_it_is_freed_and_no_longer(
    freed_by: signal.Signals,
    frozen: subprocess.Popen[str],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(waiting, "FIRST_SAID_S", 0.1)
    store = SQLiteStore(path)
    worker = threading.Thread(target=lambda: end_turn(store, claim(store, "waits")))
    with caplog.at_level(logging.INFO, "ramet"):
        worker.start()
        wait_for(lambda: len(caplog.records) >= 2)
        assert worker.is_alive()
        # Looking asks for no lock.
        assert [seat.standing.turn for seat in SQLiteStore(path).seats("lm")] == [1, 0, 0]
        os.kill(frozen.pid, freed_by)
        worker.join(60.0)
    first, *_, last = (record.getMessage() for record in caplog.records)
    assert f"process {frozen.pid} (" in first
    assert "freezes.py" in first
    assert "that process is stopped: let it go on with" in first
    assert f"`kill -CONT {frozen.pid}`, or end it with `kill -9 {frozen.pid}`" in first
    assert "is free again" in last
    assert frozen.wait(60.0) == (0 if freed_by == signal.SIGCONT else -signal.SIGKILL)
    turns = [seat.standing.turn for seat in store.seats("lm")]
    assert sum(turns) == (3 if freed_by == signal.SIGCONT else 2)
    assert wrong_with(store) == []


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("command", ["status", "runs", "lineage", "report"])
def test_commands_that_look_answer_while_a_process_is_stopped_in_a_commit(
    command: str,
    frozen: subprocess.Popen[str],
    path: Path,
    tmp_path: Path,
) -> None:
    into = ["-o", tmp_path / "report.html"] if command == "report" else []
    answer = shell.ramet(command, path, *into)
    assert answer.exit_code == 0, answer.output
    assert holder_of(path) is not None
    assert frozen.poll() is None


@on_linux
def test_a_process_in_another_container_has_no_number_here(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    lines = f"1: FLOCK ADVISORY WRITE 0 {device}:{found.st_ino} 0 EOF\nof another kind\n"
    (path.parent / "locks").write_text(lines)
    monkeypatch.setattr("ramet.store.holder._PROC", path.parent)
    assert holder_of(path) is None


@on_linux
def test_a_command_line_is_shown_short(path: Path) -> None:
    store = SQLiteStore(path)
    begin(store)
    with locked(path):
        holder = holder_of(path)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert len(holder.program) <= 60
    assert str(Holder(7, "", stopped=False)) == "process 7"


def test_files_that_other_code_closed_are_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(path, clock=FakeClock())
    begin(store)
    claim(store)
    turnstile = store._database._turnstile  # noqa: SLF001 - its number, which nobody else can know
    assert turnstile._file is not None  # noqa: SLF001 - as above
    os.close(turnstile._file)  # noqa: SLF001 - as above
    with pytest.raises(StoreError, match="code in this process closed their descriptors"):
        claim(store)
    # It may be another file's by now.
    monkeypatch.setattr(turnstile, "_file", None)
