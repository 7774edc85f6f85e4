"""The tables of a store: created, migrated, and distinguished from those of other programs."""

import functools
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ramet import events
from ramet.process import Processes
from ramet.store import file_refusals
from ramet.store.statements import migrations, statements

# "rmet": what tells a store from any other database.
APPLICATION_ID = 0x726D6574
# Of a row: more than the largest event, and all that is beside it.
MOST_BYTES = events.MOST_BYTES + 2**20
# What ANALYZE adds.
_STATISTICS = re.compile(r"sqlite_stat[1-4]")
_COMMENT = re.compile(r"--[^\n]*")
_SPACES = re.compile(r"\s*([(),])\s*|\s+")


def set_up(connection: sqlite3.Connection, processes: Processes) -> None:
    """Have a connection answer our queries, and give SQL that a file brings along few means."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    _configure(connection, "SQLITE_DBCONFIG_DEFENSIVE")
    # What cannot be decoded is found when rows are read, which can say which one it is in.
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="surrogateescape")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    # Queries ask whether the process that holds a lease still exists.
    connection.create_function("gone", 1, functools.partial(_is_gone, processes))


def _is_gone(processes: Processes, process: bytes | None) -> bool:
    return processes.is_gone(None if process is None else process.decode(errors="replace"))


def leave_log(connection: sqlite3.Connection) -> None:
    """Keep SQLite from copying the log back when the connection is closed.

    Python before 3.12 cannot set this; there, the hold on the store has the same effect.
    """
    _configure(connection, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE")


def _configure(connection: sqlite3.Connection, option: str) -> None:
    # New in Python 3.12.
    if hasattr(connection, "setconfig"):
        connection.setconfig(getattr(sqlite3, option), True)  # noqa: FBT003 - has no keywords


def schema_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a store's schema, 0 if the file is empty; raise if it is no store.

    Reads several things, so the caller has begun a transaction.
    """
    version: int = pragma(connection, "user_version")
    found = _objects(connection)
    if (found or version) and pragma(connection, "application_id") != APPLICATION_ID:
        raise file_refusals.not_a_store(path, "it is the database of another program")
    check_version(version, path)
    if altered := _find_difference(found, dict(_make(migrations()[:version]))):
        raise file_refusals.schema_altered(path, altered)
    return version


def check_version(version: int, path: Path) -> None:
    """Raise an error for a schema that this version of ramet does not know."""
    if version < 0:
        raise file_refusals.schema_altered(path, f"the schema number {version}")
    if version > len(migrations()):
        raise file_refusals.newer(path, version, len(migrations()))


def is_old(version: int) -> bool:
    """Say whether a store has not had all migrations."""
    return version < len(migrations())


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the missing migrations, all of them to an empty file."""
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it meanwhile.
    version = pragma(connection, "user_version")
    check_version(version, path)
    for script in migrations()[version:]:
        for statement in statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(migrations())}")
    connection.execute("COMMIT")


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    """Return the value of a pragma."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@functools.cache
def _make(scripts: tuple[str, ...]) -> tuple[tuple[Any, str], ...]:
    """Return the objects of a database after these migrations."""
    connection = sqlite3.connect(":memory:")
    for script in scripts:
        connection.executescript(script)
    made = tuple(_objects(connection).items())
    connection.close()
    return made


def _objects(connection: sqlite3.Connection) -> dict[Any, str]:
    """Return the text of each table, index, view and trigger, without comments and spaces."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    return {
        (kind, name, table): _plain(sql)
        for kind, name, table, sql in rows
        if not _STATISTICS.fullmatch(str(name))
    }


def _plain(sql: object) -> str:
    return _SPACES.sub(lambda found: found[1] or " ", _COMMENT.sub("", str(sql))).strip()


def _find_difference(found: dict[Any, str], made: dict[Any, str]) -> str:
    """Describe the first difference from the schema as it was made; empty if there is none."""
    return next(_differences(found, made), "")


def _differences(found: dict[Any, str], made: dict[Any, str]) -> Iterator[str]:
    for kind, name, _ in found.keys() - made.keys():
        yield f"the {str(kind)[:20]} {str(name)[:60]!r}, which is none of them"
    for kind, name, _ in made.keys() - found.keys():
        yield f"no {kind} {name!r}"
    for kind, name, _ in (key for key in made if found[key] != made[key]):
        yield f"the {kind} {name!r} with another definition"
