"""The summary of one run in a database, which spares readers most of a long log."""

from contextlib import suppress

from ramet.digest import digest
from ramet.errors import CorruptLog, RametError, UnknownSchema
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

    def sum_up(self, rows: Rows) -> None:
        """Write a summary if one may be due."""
        run, head = rows.row.id, rows.head
        if head - self._last.get(run, -1) < summaries.interval(rows.row.members):
            return
        # A log that breaks the laws is an error for those who read it, not for those who write to
        # it. An error of ours must not end a run either: all that a summary does is save time.
        try:
            self._last[run] = _sum_up(rows)
        except Exception:
            # The database has rolled the commit back as well.
            if not rows.tables.writing:
                raise
            self._last[run] = head


def _sum_up(rows: Rows) -> int:
    """Write a new summary if one is due; return the last event of the summary that there is."""
    summary = read_summary(rows)
    if not (due := summaries.due(summary, rows.head, members=rows.row.members)):
        return -1 if summary is None else summary.last
    try:
        return _read_on(rows, summary, due)
    except RametError:
        if summary is None:
            raise
        # The log does not follow from this summary, so it belongs to another log.
        return _read_on(rows, None, due)


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


def _read_on(rows: Rows, summary: Summary | None, most: int) -> int:
    """Write the summary after the next events, and return the number of the last."""
    news = rows.events(-1 if summary is None else summary.last, most)
    new = summaries.summarize(summary, news, rows.name)
    data = summaries.encode(new)
    rows.tables.write("sum_up", run=rows.row.id, digest=digest([data]), summary=data)
    return new.last
