"""A store's file as it is looked at: nothing is written, brought up, copied back or deleted."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TypeVar

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store import file_refusals, forking
from ramet.store.companions import Files
from ramet.store.schema import is_old, migrate, schema_of, set_up
from ramet.store.sharing import InUse, sharing

T = TypeVar("T")
# Between attempts, of which more than one is rare.
PAUSE_S = 0.01
# At most; who looks is better off with an error than with no answer.
PATIENCE_S = 60.0


class ReadOnlyDatabase:
    """Opens the file anew for each read, so that nothing is held in between."""

    def __init__(
        self, path: Path, *, clock: Clock, processes: Processes, patience_s: float
    ) -> None:
        self.path = path
        self._clock, self._processes = clock, processes
        self._patience_s = min(patience_s, PATIENCE_S)
        self._lock = threading.Lock()
        # A copy of a store of an older schema, brought up, and the files that it is of.
        self._brought_up: tuple[Files, sqlite3.Connection] | None = None
        self._sharing = sharing(path)
        forking.watch(self)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query finds in one snapshot."""
        # SQLite keeps the log beside the file that a link leads to.
        name = os.path.realpath(self.path)
        for _ in self._attempts():
            before = Files.of(name)
            try:
                with self._lock:
                    found = self._look(before, query)
            except Exception as error:
                if not _in_vain(before, Files.of(name), error):
                    self._refuse(error)
                    raise
            else:
                if not _in_vain(before, Files.of(name)):
                    return found
        raise file_refusals.store_busy(self.path, self._patience_s)

    def writing(self, **_: float) -> AbstractContextManager[sqlite3.Connection]:
        """Refuse, whatever the settings are."""
        raise file_refusals.only_read(self.path)

    def close(self) -> None:
        """Drop the copy of an older store; no connection to a file stays open."""
        with self._lock:
            self._drop()

    def pause(self) -> None:
        """Wait for a read that is going on, and let none begin until ``resume``."""
        self._lock.acquire()
        self._drop()

    def resume(self) -> None:
        """Let it be read again."""
        self._lock.release()

    def _look(self, files: Files, query: Callable[[sqlite3.Connection], T]) -> T:
        """Open the file in the way that leaves it as it is."""
        if not self.path.is_file():
            why = "it is no file" if self.path.exists() else "there is none"
            raise file_refusals.not_a_store(self.path, why)
        if files.lost:
            raise file_refusals.log_missing(self.path)
        if files.alone:
            # As is all that others do to it; so it is looked at again afterwards.
            return self._through("immutable=1", query)
        try:
            with self._sharing.look() as read_only:
                only = files.shared and read_only
                return self._through("readonly_shm=1" if only else "", query)
        except sqlite3.Error as error:
            if not file_refusals.unreachable(error):
                raise
            return self._aside(files, query)

    def _through(self, options: str, query: Callable[[sqlite3.Connection], T]) -> T:
        uri = f"{Path(os.path.realpath(self.path)).as_uri()}?mode=ro&{options}"
        with closing(_connect(uri)) as connection:
            return self._ask(connection, query)

    def _aside(self, files: Files, query: Callable[[sqlite3.Connection], T]) -> T:
        """Read a copy, where the log cannot be read in its place because nothing may be made there.

        A killed run has left it, and then the disk or the folder became read-only.
        """
        source = os.path.realpath(self.path)
        with tempfile.TemporaryDirectory(prefix="ramet-look-") as folder:
            copy = Path(folder) / "store"
            for suffix in ("", "-wal", "-journal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{source}{suffix}", f"{copy}{suffix}")
            if Files.of(source) != files:
                raise _Written
            with closing(_connect(copy.as_uri())) as connection:
                return self._ask(connection, query)

    def _ask(self, connection: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query finds, in a copy in memory that is brought up if the file is old."""
        set_up(connection, self._processes)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        version = schema_of(connection, self.path)
        if version == 0:
            raise file_refusals.empty(self.path)
        if not is_old(version):
            return query(connection)
        return query(self._copy_of(connection))

    def _copy_of(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return a copy that is brought up, the same as before if the file did not change."""
        files = Files.of(os.path.realpath(self.path))
        if self._brought_up is not None and self._brought_up[0] == files and files.alone:
            return self._brought_up[1]
        self._drop()
        copy = _connect(":memory:")
        # At once, so that it is closed whatever happens.
        self._brought_up = files, copy
        try:
            connection.backup(copy)
            set_up(copy, self._processes)
            migrate(copy, self.path)
        except BaseException:
            self._drop()
            raise
        return copy

    def _drop(self) -> None:
        if self._brought_up is not None:
            self._brought_up[1].close()
            self._brought_up = None

    def __del__(self) -> None:
        # Absent if it was never made.
        if hasattr(self, "_brought_up"):
            self._drop()

    def _attempts(self) -> Iterator[None]:
        yield
        until = self._clock.uptime() + self._patience_s
        while self._clock.uptime() < until:
            self._clock.sleep(PAUSE_S)
            yield

    def _refuse(self, error: Exception) -> None:
        """Raise what ramet says to what SQLite or the system did."""
        if isinstance(error, sqlite3.Error):
            raise file_refusals.not_read(error, self.path, self._patience_s) from error
        if isinstance(error, UnicodeDecodeError):
            # SQLite quotes a schema that is damaged.
            raise file_refusals.corrupt(self.path, "its schema is not text") from error
        if isinstance(error, OSError):
            raise file_refusals.unreadable(self.path, str(error)) from error


class _Written(Exception):
    """Others wrote while the file was copied."""


def _in_vain(before: Files, after: Files, failure: Exception | None = None) -> bool:
    """Say whether others wrote to what was read as if no one would, or were just at it."""
    if isinstance(failure, _Written | InUse):
        return True
    if isinstance(failure, sqlite3.Error) and file_refusals.busy(failure):
        return True
    if before.alone:
        return before != after
    return failure is not None and before.kinds != after.kinds


def _connect(name: str) -> sqlite3.Connection:
    # Not isolation_level: Python would begin transactions by itself.
    return sqlite3.connect(name, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
