"""Make checksums right again, as a forger of a store would: they show damage, not forgery."""

import contextlib
import sqlite3
from functools import partial
from typing import Any

from ramet.digest import digest
from ramet.store.checked import EventRow, MemberRow, RunRow, checksum

# The tables with checksums, and the columns that identify their rows.
KINDS: dict[str, tuple[Any, str]] = {
    "runs": (RunRow, "id"),
    "members": (MemberRow, "run, member"),
    "events": (EventRow, "run, number"),
}


def forge(store: sqlite3.Connection) -> None:
    """Give all rows the checksums of their contents, where these can have one."""
    store.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    for table, (kind, key) in KINDS.items():
        columns = ", ".join("CAST(event AS BLOB)" if it == "event" else it for it in kind._fields)
        rows = store.execute(f"SELECT {key}, {columns} FROM {table}").fetchall()  # noqa: S608 - names of our own
        found = " AND ".join(f"{name} IS ?" for name in key.split(", "))
        update = f"UPDATE {table} SET checksum = ? WHERE {found}"  # noqa: S608 - names of our own
        for row in rows:
            known_by, values = row[: -len(kind._fields)], row[-len(kind._fields) :]
            # A lone surrogate, or a number that is too large: it is refused before its checksum.
            with contextlib.suppress(UnicodeEncodeError, OverflowError):
                store.execute(update, (checksum(values), *known_by))
    for run, data in store.execute("SELECT run, summary FROM summaries").fetchall():
        if isinstance(data, bytes):
            store.execute("UPDATE summaries SET digest = ? WHERE run IS ?", (digest([data]), run))
