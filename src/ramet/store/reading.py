"""The file of a store that is only read: nothing in it or beside it is changed."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Never, TypeVar

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store import file_refusals, forking
from ramet.store.companions import Files
from ramet.store.schema import is_old, migrate, schema_of, set_up
from ramet.store.sharing import InUse, sharing

T = TypeVar("T")
# Between attempts; more than one is rare.
PAUSE_S = 0.01
# At most: an error is better than no answer.
PATIENCE_S = 60.0


class ReadOnlyDatabase:
    """Opens the file for each read, and holds nothing in between."""

    def __init__(
        self, path: Path, *, clock: Clock, processes: Processes, patience_s: float
    ) -> None:
        self.path = path
        self._clock, self._processes = clock, processes
        self._patience_s = min(patience_s, PATIENCE_S)
        self._lock = threading.Lock()
        # A migrated copy of a store with an older schema, and the files that it was made from.
        self._brought_up: tuple[Files, sqlite3.Connection] | None = None
        self._sharing = sharing(path)
        forking.watch(self)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of a query of one snapshot."""
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

    def write(self, *_: object, **__: object) -> Never:
        """Raise StoreReadOnly."""
        raise file_refusals.only_read(self.path)

    def close(self) -> None:
        """Drop the copy of an older store. No connection to a file is open between reads."""
        with self._lock:
            self._drop()

    def pause(self) -> None:
        """Wait for a running read, and let none begin until ``resume``."""
        self._lock.acquire()
        self._drop()

    def resume(self) -> None:
        """Let reads begin again."""
        self._lock.release()

    def _look(self, files: Files, query: Callable[[sqlite3.Connection], T]) -> T:
        """Open the file in the way that leaves it unchanged."""
        if not self.path.is_file():
            why = "it is no file" if self.path.exists() else "there is none"
            raise file_refusals.not_a_store(self.path, why)
        if files.lost:
            raise file_refusals.log_missing(self.path)
        if files.alone:
            # SQLite ignores changes by others then, so the caller compares the files afterwards.
            return self._through("immutable=1", query)
        try:
            return self._sharing.look(
                lambda read_only: self._through(
                    "readonly_shm=1" if files.shared and read_only else "", query
                )
            )
        except sqlite3.Error as error:
            if not file_refusals.unreachable(error):
                raise
            return self._aside(files, query)

    def _through(self, options: str, query: Callable[[sqlite3.Connection], T]) -> T:
        uri = f"{Path(os.path.realpath(self.path)).as_uri()}?mode=ro&{options}"
        with closing(_connect(uri)) as connection:
            return self._ask(connection, query)

    def _aside(self, files: Files, query: Callable[[sqlite3.Connection], T]) -> T:
        """Read a copy, if the log cannot be read in its place.

        Reading it there needs shared memory, which cannot be created on a read-only disk or in a
        folder without write permission.
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
        """Return the result of a query, of a migrated copy in memory if the schema is old."""
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
        """Return a migrated copy, the same as before if the file did not change."""
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
        """Raise ramet's error for an error of SQLite or the system."""
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
    """Say whether a read must be tried again because other processes wrote meanwhile."""
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
