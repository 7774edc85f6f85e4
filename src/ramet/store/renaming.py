"""Gives a run of a database another name, in one transaction."""

import contextlib

from ramet.digest import digest
from ramet.errors import CorruptLog, CorruptStore, UnknownSchema
from ramet.events import RunOpened, encode, rename_opening
from ramet.store import summary as summaries
from ramet.store.checked import EventRow, checksum, read_opening
from ramet.store.following import follow_rename
from ramet.store.refusals import name_taken
from ramet.store.rows import Rows, add_run, names
from ramet.store.summing import read_summary


def rename(rows: Rows, to: str, *, worker: str) -> None:
    """Give a run another name, and begin a run with the same settings under the old one.

    Its replays are replays of a run of the new name then, and it has no others.

    Args:
        rows: The rows of the run, in a transaction that writes.
        to: The new name.
        worker: The name of the worker that renames it.
    """
    tables, row = rows.tables, rows.row
    if to in names(tables):
        raise name_taken(to)
    rows.check_unused("renamed")
    # Read before the name changes, because both are compared with it.
    opening, summary = read_opening(row, rows.opening()), read_summary(rows)
    _update_replays(rows, to, of=opening)
    ((_, _, at, by, took_s, data, _),) = rows.opening()
    first = EventRow(row.id, 0, at, by, took_s, rename_opening(data, to))
    renamed = row._replace(name=to)
    tables.write("rename_run", id=row.id, name=to, checksum=checksum(renamed))
    tables.write("rename_opening", run=row.id, event=first.event, checksum=checksum(first))
    tables.write("delete_summary", run=row.id)
    if summary is not None:
        again = summaries.encode(summaries.rename(summary, to))
        tables.write("sum_up", run=row.id, digest=digest([again]), summary=again)
    number, token = tables.one("next_run", run=row.id)
    add_run(tables, opening, number=number, token=token)
    begun = Rows(tables, rows.name)
    begun.write(worker, [encode(opening)])
    begun.move_on()


def _update_replays(rows: Rows, to: str, *, of: RunOpened) -> None:
    """Have all runs say what they are replays of once this one has a new name."""
    tables = rows.tables
    ((_, _, of_began, *_),) = rows.opening()
    for name in names(tables):
        # A run that is damaged, or that a newer version wrote, stays as it is.
        with contextlib.suppress(CorruptLog, CorruptStore, UnknownSchema):
            found = Rows(tables, name)
            opening = read_opening(found.row, found.opening())
            ((_, _, at, by, took_s, data, _),) = found.opening()
            new = follow_rename(data, opening, began=at, of=of, of_began=of_began, to=to)
            if new is not None:
                first = EventRow(found.row.id, 0, at, by, took_s, new)
                checked = checksum(first)
                tables.write("rename_opening", run=first.run, event=first.event, checksum=checked)
