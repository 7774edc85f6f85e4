"""The file of a store that is written to: opened, migrated, shared among processes."""

import math
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store import file_refusals, forking
from ramet.store.companions import Files
from ramet.store.hold import Hold
from ramet.store.schema import (
    check_version,
    is_old,
    leave_log,
    migrate,
    pragma,
    schema_of,
    set_up,
)
from ramet.store.sharing import sharing
from ramet.store.turnstile import Turnstile
from ramet.store.waiting import Waiting

T = TypeVar("T")
# Of 2018; the oldest systems that Python 3.11 is packaged for have 3.26.
_NEEDED = (3, 24, 0)
# Seconds between attempts: a transaction takes about a tenth of a millisecond.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1e-4, 2e-3
# How long a log that was removed may wait for others to end their writes.
_SAVE_WITHIN_S = 10.0
# Decides nothing but pauses. Not the module's own generator: training may draw from that.
_chance = random.SystemRandom()
# Writes of this process between two times that the log is copied back; each is some pages.
COPY_BACK_EVERY = 250


class Database:
    """One connection, used by one thread at a time and opened when it is needed."""

    def __init__(
        self, path: Path, *, clock: Clock, processes: Processes, patience_s: float
    ) -> None:
        if sqlite3.sqlite_version_info < _NEEDED:
            raise file_refusals.old_library(_NEEDED)
        self.path = path
        # For the system calls in every transaction.
        self._name = os.fspath(path)
        self._clock = clock
        self._processes = processes
        self._patience_s = patience_s
        self._waiting = Waiting(path, clock)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._turnstile = Turnstile(path)
        self._hold = Hold()
        self._written = 0
        # Whether commits reach the disk before they return; None if not yet set.
        self._synced: bool | None = None
        # The identity of the file that was opened; the path may lead to another by now.
        self._file: tuple[int, int] | None = None
        # The path and the identity of its write-ahead log.
        self._log_name = ""
        self._log: tuple[int, int] | None = None
        _make_folder(path)
        self._sharing = sharing(path)
        self._sharing.join(self)
        forking.watch(self)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of a query of one snapshot."""
        return self._transact("BEGIN", query, synced=None, patience_s=self._patience_s)

    def write(
        self, work: Callable[[sqlite3.Connection], T], *, synced: bool, at_most_s: float = math.inf
    ) -> T:
        """Write all or nothing, and return what work returns.

        Args:
            work: What writes.
            synced: Whether to wait until it is on the disk.
            at_most_s: Seconds to wait for other writers, if that is less than the patience.
        """
        patience_s = min(self._patience_s, at_most_s)
        return self._transact("BEGIN IMMEDIATE", work, synced=synced, patience_s=patience_s)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def pause(self) -> None:
        """Close the connection, and keep it closed until ``resume``."""
        self._lock.acquire()
        try:
            self._disconnect()
        except BaseException:
            # What could not be paused is not resumed.
            self._lock.release()
            raise

    def resume(self) -> None:
        """Let the connection be used again."""
        self._lock.release()

    def __del__(self) -> None:
        # Absent if it was never made.
        if hasattr(self, "_hold"):
            self._disconnect()

    def _transact(
        self,
        begin: str,
        work: Callable[[sqlite3.Connection], T],
        *,
        synced: bool | None,
        patience_s: float,
    ) -> T:
        """Read, or write while no other process writes or copies the write-ahead log back.

        No generator may hold the lock, as with ``contextlib.contextmanager``: an interrupt just as
        its ``__enter__`` or ``__exit__`` returns would leave it suspended, with the lock, for as
        long as the traceback lives, and the code that handles the interrupt would wait for ever.
        """
        writing = synced is not None
        for _ in self._attempts(patience_s):
            with self._lock:
                try:
                    if writing and not self._turnstile.enter():
                        continue
                    if (connection := self._try_begin(begin, synced=synced)) is None:
                        continue
                    self._waiting.over()
                    done = work(connection)
                    connection.execute("COMMIT")
                    if writing:
                        self._copy_back(connection)
                except BaseException as error:
                    # First, because the message may name the process that keeps the file locked.
                    self._roll_back()
                    self._refuse(error, patience_s)
                    raise
                else:
                    return done
                finally:
                    try:
                        self._let_others(writing=writing)
                    except BaseException:
                        # An interrupt, perhaps before that was done.
                        self._let_others(writing=writing)
                        raise
        raise file_refusals.store_busy(self.path, patience_s)

    def _let_others(self, *, writing: bool) -> None:
        """Let others read and write, whatever has come of the transaction."""
        self._roll_back()
        if writing:
            self._turnstile.leave()

    def _refuse(self, error: BaseException, patience_s: float) -> None:
        """Raise ramet's error for an error of SQLite."""
        if isinstance(error, sqlite3.Error):
            raise file_refusals.refusal(error, self.path, patience_s) from error
        if isinstance(error, UnicodeDecodeError):
            # SQLite quotes a damaged schema.
            raise file_refusals.corrupt(self.path, "its schema is not text") from error

    def _copy_back(self, connection: sqlite3.Connection) -> None:
        """Copy the write-ahead log back into the file, once in ``COPY_BACK_EVERY`` writes."""
        self._written += 1
        if self._written % COPY_BACK_EVERY == 0:
            with suppress(sqlite3.Error):  # The commit is done, and the next copy will do.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _attempts(self, patience_s: float) -> Iterator[None]:
        """Try at once, then with pauses; SQLite's own are too long for such short transactions."""
        yield
        began, waited_s, pause_s = self._clock.uptime(), 0.0, _FIRST_PAUSE_S
        while waited_s < patience_s:
            # Random, so that processes that wait together do not try together.
            self._clock.sleep(pause_s * _chance.uniform(0.5, 1.5))
            waited_s = self._clock.uptime() - began
            pause_s = min(1.5 * pause_s, _LAST_PAUSE_S)
            yield
            if self._waiting.is_due(waited_s):
                self._check_open()
                self._waiting.look()

    def _check_open(self) -> None:
        with self._lock:
            if self._turnstile.is_closed():
                raise file_refusals.descriptors_closed(self.path)

    def _try_begin(self, begin: str, *, synced: bool | None) -> sqlite3.Connection | None:
        """Begin, and fix the snapshot; return None if another process has locked the file."""
        if self._connection is None and self._sharing.looked_at:
            if self._sharing.looked_at_here:
                raise file_refusals.looking(self.path)
            return None
        try:
            connection = self._open()
            self._sync(connection, synced=synced)
            connection.execute(begin)
            check_version(pragma(connection, "user_version"), self.path)
        except sqlite3.Error as error:
            if not file_refusals.busy(error):
                raise
            self._roll_back()
            return None
        return connection

    def _sync(self, connection: sqlite3.Connection, *, synced: bool | None) -> None:
        if synced not in {None, self._synced}:
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Closing undoes it too.
            self._disconnect()

    def _open(self) -> sqlite3.Connection:
        if self._file is not None and _identity(self._name) != self._file:
            raise file_refusals.file_replaced(self.path)
        if self._connection is None:
            self._connection = self._connect()
            self._file = _identity(self._name)
        elif (log := _identity(self._log_name)) != self._log:
            raise file_refusals.log_lost(self.path, kept=log is None and self._save_log())
        elif self._hold.is_closed():
            # At once: SQLite tries for ten seconds before it says that it cannot lock.
            raise file_refusals.descriptors_closed(self.path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if os.path.exists(self.path) and not os.path.isfile(self.path):  # noqa: PTH110, PTH113 - no error where Path has one
            raise file_refusals.not_a_store(self.path, "it is no file")
        try:
            # Twice, because others may be closing it and opening it again.
            lost = all(Files.of(os.path.realpath(self._name)).lost for _ in range(2))
        except OSError as error:
            raise file_refusals.unreadable(self.path, str(error)) from error
        if lost:
            raise file_refusals.log_missing(self.path)
        # Not isolation_level: Python would begin transactions by itself.
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._synced = None
        self._take_hold()
        return connection

    def _take_hold(self) -> None:
        # SQLite keeps its companions beside the file that a link leads to.
        file = os.path.realpath(self._name)
        self._log_name = f"{file}-wal"
        self._log = _identity(self._log_name)
        self._hold.take(file, f"{file}-shm")

    def _save_log(self) -> bool:
        """Copy a removed write-ahead log back into the file; say whether all of it was copied.

        That is safe while no other log is in its place. Because of our hold, no process that has
        opened the store since then can have deleted its log.
        """
        connection = self._connection
        if connection is None or not self._hold.taken:
            return False
        until = self._clock.uptime() + _SAVE_WITHIN_S
        while not self._turnstile.enter():
            if self._clock.uptime() > until:
                return False
            self._clock.sleep(_LAST_PAUSE_S)
        with suppress(sqlite3.Error):
            busy, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not busy and pages == copied:
                # Nothing is left in it.
                self._log = None
                self._disconnect()
                return True
        return False

    def _disconnect(self) -> None:
        if self._connection is not None:
            if self._log == _identity(self._log_name):
                self._hold.let_go()
            else:
                leave_log(self._connection)
            self._connection.close()
            self._connection = None
        self._hold.close()
        self._turnstile.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Migrate the file, after checking that it is ours or empty."""
        set_up(connection, self._processes)
        connection.execute("BEGIN")
        version = schema_of(connection, self.path)
        connection.execute("COMMIT")
        if (mode := pragma(connection, "journal_mode = WAL")) != "wal":
            raise file_refusals.no_wal(self.path, mode)
        # Only the process that is through the turnstile copies it back.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if is_old(version):
            migrate(connection, self.path)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_refusals.no_folder(path, error) from error


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half as long as Path.stat, in every transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino
