"""Copies of a store's file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from ramet.errors import StoreError


def copy(connection: sqlite3.Connection, path: Path) -> None:
    """Copy a store to a file, and wait until it is on the disk."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as copied:
            connection.backup(copied)
    except sqlite3.Error as error:
        raise StoreError(
            f"a copy of a store must be written whole, but SQLite says of {path}: {error} "
            f"({getattr(error, 'sqlite_errorname', 'no code')}). Free space there, or name another "
            f"place"
        ) from error
