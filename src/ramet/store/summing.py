"""The summary of one run in a database, which spares readers most of a long log."""

from collections.abc import Callable
from contextlib import suppress

from ramet.digest import digest
from ramet.errors import CorruptLog, RametError, UnknownSchema
from ramet.population import Population
from ramet.store import summary as summaries
from ramet.store.checked import read_opening
from ramet.store.rows import Rows, names
from ramet.store.summary import Summary
from ramet.store.tables import Tables


def read_summary(rows: Rows) -> Summary | None:
    """Return how the run stood some events ago; None if there is no usable summary."""
    with suppress(RametError):
        return _read(rows)
    return None


def is_damaged(rows: Rows) -> bool:
    """Say whether there is a summary that cannot be read."""
    try:
        _read(rows)
    except UnknownSchema:
        # A summary of this version will replace it.
        return False
    except RametError:
        return True
    return False


def find_damaged(tables: Tables) -> list[str]:
    """Return a line for each run of which the summary cannot be read."""
    return [
        f"the summary of run {name!r} cannot be read, so the whole log is read instead"
        for name in names(tables)
        if is_damaged(Rows(tables, name))
    ]


class Summing:
    """Writes the summaries of runs, as far as this process knows when they are due."""

    def __init__(self) -> None:
        # Of runs by number, the last event that a summary is known to include.
        self._last: dict[int, int] = {}

    def sum_up(self, rows: Rows, population: Callable[[int], Population | None] | None) -> None:
        """Write a summary if one is due.

        Args:
            rows: The rows of the run, with the events of this commit.
            population: Returns the population after an event, if whoever commits it knows that.
        """
        run, head = rows.row.id, rows.head
        every = summaries.interval(rows.row.members)
        if population is None or head - self._last.get(run, -1) < every:
            return
        # An error of ours must not end a run: all that a summary does is save time.
        try:
            if (known := population(head)) is None:
                return
            last = _find_last(rows)
            self._last[run] = last if head - last < every else _write(rows, known)
        except Exception:
            # The database has rolled the commit back as well.
            if not rows.tables.writing:
                raise
            self._last[run] = head


def _find_last(rows: Rows) -> int:
    """Return the last event of the summary that there is; -1 if there is none to be used."""
    row = rows.tables.one("summary", run=rows.row.id)
    if row is None or row[0] != digest([row[1]]):
        return -1
    last = summaries.find_last(row[1])
    return last if last <= rows.head else -1


def _write(rows: Rows, population: Population) -> int:
    """Write the summary of a population after the last event; return the number of that."""
    data = summaries.encode(summaries.sum_up(population, last=rows.head, run=rows.name))
    rows.tables.write("sum_up", run=rows.row.id, digest=digest([data]), summary=data)
    return rows.head


def _read(rows: Rows) -> Summary | None:
    """Return the summary, if there is one; raise if it is damaged or of another run."""
    row = rows.tables.one("summary", run=rows.row.id)
    if row is None:
        return None
    found, data = row
    if found != digest([data]):
        raise CorruptLog("a summary must be as it was written, but its digest is another")
    summary = summaries.decode(data)
    opening = read_opening(rows.row, rows.opening())
    summaries.check(summary, opening, head=rows.head, steps=rows.row.steps)
    return summary
