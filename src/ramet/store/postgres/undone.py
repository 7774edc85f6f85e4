"""Notices commits that a crash of the server has undone, after others have relied on them.

With ``durability="process"`` a commit is answered before it is on the server's disk.
"""

from typing import NamedTuple

from ramet.errors import StoreError
from ramet.store.rows import Rows


class Known(NamedTuple):
    """The last event of a run that this process has read or written."""

    # The number of the run.
    run: int
    number: int
    checksum: bytes | None


class Memory:
    """What this process knows of each run, compared with the record after each restart."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        # For each run, the start of the server that it was last compared with.
        self._compared: dict[str, object] = {}

    def note(self, rows: Rows) -> None:
        """Remember the last event that was read or written."""
        known = self._known.get(rows.name)
        if (latest := rows.latest) is None:
            return
        number, checksum = latest
        if number == 0:  # It changes when a run is renamed, and is there as long as the run is.
            return
        if known is None or known.run != rows.row.id or number > known.number:
            self._known[rows.name] = Known(rows.row.id, number, checksum)

    def forget(self, run: str) -> None:
        """Forget a run; its log is now read from its beginning."""
        self._known.pop(run, None)

    def compare(self, rows: Rows, started: object) -> None:
        """Raise StoreError if what is known of a run is not on record since the server's start."""
        known = self._known.get(rows.name)
        if known is None or known.run != rows.row.id or self._compared.get(rows.name) == started:
            return
        found = rows.tables.one("checksum", run=known.run, number=known.number)
        if found != (known.checksum,):
            raise StoreError(
                f"the log of run {rows.name!r} must go on from event {known.number}, but the "
                f"server has crashed and lost it: durability='process' lets it answer before its "
                f"disk does; start this worker again, which goes on from what is on record"
            )
        self._compared[rows.name] = started
