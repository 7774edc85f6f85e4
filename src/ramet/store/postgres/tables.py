"""The tables of a PostgreSQL store, as one transaction sees and writes them."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store.base import Lease
from ramet.store.postgres.transaction import Transaction
from ramet.store.tables import Values

# Names that are remembered; most are of processes on other machines, which may have ended long ago.
MOST_PROCESSES = 1_000
# A lease that was renewed later than this from now is void: the server's clock was set back. Less
# is nothing, because the time of a transaction is read before its locks are had.
SET_BACK_S = 60.0


class PostgresTables:
    """The tables, as a transaction has them.

    Args:
        transaction: The transaction.
        queries: The text of each query by its name.
        processes: What tells whether the process that holds a lease still exists.
        there: The names of processes that were not known to be gone when a lease of theirs was
            last met; this adds more.
        clock: Where the time comes from; None is the server's clock.
        locking: Whether nothing else commits to a run that this transaction has read.
    """

    def __init__(
        self,
        transaction: Transaction,
        queries: dict[str, bytes],
        *,
        processes: Processes,
        there: set[str],
        clock: Clock | None,
        locking: bool,
    ) -> None:
        self._transaction, self._queries = transaction, queries
        self._processes, self._there, self._clock = processes, there, clock
        self._run_query = "lock_run" if locking else "run"
        # The server's time when a run was read; this process's before that.
        self._time = time.time()

    @property
    def writing(self) -> bool:
        return self._transaction.intact

    def now(self) -> float:
        return self._time if self._clock is None else self._clock.now()

    def uptime(self) -> float:
        return self._time if self._clock is None else self._clock.uptime()

    def one(self, query: str, /, **values: Any) -> Any:
        return self._transaction.ask(self._queries[query], values).fetchone()

    def all(self, query: str, /, **values: Any) -> list[Any]:
        return self._transaction.ask(self._queries[query], values).fetchall()

    def each(self, query: str, /, **values: Any) -> Iterable[Any]:
        return self._transaction.ask(self._queries[query], values)

    def write(self, query: str, /, **values: Any) -> None:
        self._transaction.write(self._queries[query], values)

    def many(self, query: str, rows: Sequence[Values]) -> None:
        self._transaction.write_each(self._queries[query], rows)

    def run(self, name: str) -> Any:
        row = self.one(self._run_query, name=name)
        if row is None:
            return None
        *row, self._time = row
        return tuple(row)

    def free(self, query: str, /, **values: Any) -> Any:
        there = self._find_there()
        while (row := self.one(query, there=there, **self._moment(), **values)) is not None:
            *free, heard_at, process, lives = row
            if self._gone(process):
                return (*free, None)
            if not lives:
                return (*free, heard_at)
            there.append(process)
            self._remember(process)
        return None

    def all_free(self, **values: Any) -> list[Any]:
        found = self.all("all_free", there=self._find_there(), **self._moment(), **values)
        rows = []
        for *free, heard_at, process, lives in found:
            gone = self._gone(process)
            if gone or not lives:
                rows.append((*free, None if gone else heard_at))
            else:
                self._remember(process)
        return rows

    def hold(self, run: int, leases: Sequence[Lease], now: float) -> int:
        process = self._processes.this()
        given = [
            (its.token, its.worker, now, its.expires_at, process, its.lost, run, its.member)
            for its in leases
        ]
        self.many("lease", given)
        # Read when the members are locked: a later event that changes one of them revokes its
        # lease.
        (head,) = self.one("head", run=run)
        return int(head)

    def seats(self, run: int) -> list[Any]:
        rows = self.all("seats", run=run, **self._moment())
        return [(*row, live and not self._gone(process)) for *row, live, process in rows]

    def _find_there(self) -> list[str]:
        return [name for name in list(self._there) if not self._gone(name)]

    def _gone(self, process: str | None) -> bool:
        return process != self._processes.this() and self._processes.is_gone(process)

    def _remember(self, process: str) -> None:
        if len(self._there) >= MOST_PROCESSES:
            self._there.clear()
        self._there.add(process)

    def _moment(self) -> dict[str, float]:
        now = self.uptime()
        return {"now": now, "soon": now + SET_BACK_S}
