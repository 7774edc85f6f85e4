"""The runs of a PostgreSQL store: each read or written in a transaction of its own."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ramet.clock import Clock
from ramet.process import Processes
from ramet.store.postgres import schema
from ramet.store.postgres.server import Server
from ramet.store.postgres.tables import PostgresTables
from ramet.store.postgres.transaction import Transaction
from ramet.store.postgres.undone import Memory
from ramet.store.rows import Rows

T = TypeVar("T")


class Runs:
    """Makes transactions that read or write one run.

    Args:
        server: What connects to the server.
        channel: The name of the notifications for workers that wait.
        clock: Where the time comes from; None is the server's clock.
        processes: What tells whether the process that holds a lease still exists.
    """

    def __init__(
        self, server: Server, *, channel: str, clock: Clock | None, processes: Processes
    ) -> None:
        self.channel = channel
        self._server, self._clock, self._processes = server, clock, processes
        self._queries = schema.queries_in(server.address.schema)
        self._memory = Memory()
        # Processes that hold leases and are not known to be gone.
        self._there: set[str] = set()

    def read(self, run: str, query: Callable[[Rows], T]) -> T:
        """Return what a query finds in one snapshot."""

        def read(transaction: Transaction) -> T:
            rows = self._rows(transaction, run)
            result = query(rows)
            self._memory.note(rows)
            return result

        return self._server.read(read)

    def write(
        self,
        run: str,
        work: Callable[[Rows], T],
        *,
        locking: bool = False,
        durable: bool = False,
        at_most_s: float = math.inf,
        recorded: Callable[[Rows, Any], bool] | None = None,
    ) -> T:
        """Return what work returns, once it is committed.

        Args:
            run: The name of the run.
            work: What reads and writes its rows.
            locking: Whether no other process commits to the run meanwhile.
            durable: Whether to wait until it is on the server's disk.
            at_most_s: How long to wait for a server that is away.
            recorded: What tells whether a transaction with this result is on record.
        """

        def rows_of(transaction: Transaction) -> Rows:
            return self._rows(transaction, run, locking=locking)

        def is_recorded(transaction: Transaction, result: T) -> bool:
            return recorded is not None and recorded(rows_of(transaction), result)

        return self._server.write(
            lambda transaction: work(rows_of(transaction)),
            synced=durable,
            at_most_s=at_most_s,
            recorded=None if recorded is None else is_recorded,
        )

    def write_log(self, run: str, work: Callable[[Rows], Rows], *, durable: bool) -> Rows:
        """Write events, while no other process commits to the run; return its rows."""
        written = self.write(run, work, locking=True, durable=durable, recorded=Rows.has_written)
        self._memory.note(written)
        return written

    def notify(self, rows: Rows) -> None:
        """Wake workers that wait, when this is committed.

        Not at each commit: commits that notify wait for one another, in all databases.
        """
        rows.tables.write("notify", channel=self.channel, run=rows.row.id)

    def forget(self, run: str) -> None:
        """Forget what was read of a run; its log is now read from its beginning."""
        self._memory.forget(run)

    def tables(self, transaction: Transaction, *, locking: bool = False) -> PostgresTables:
        """Return the tables, as a transaction has them."""
        return PostgresTables(
            transaction,
            self._queries,
            processes=self._processes,
            there=self._there,
            clock=self._clock,
            locking=locking,
        )

    def _rows(self, transaction: Transaction, run: str, *, locking: bool = False) -> Rows:
        rows = Rows(self.tables(transaction, locking=locking), run)
        self._memory.compare(rows, self._server.started)
        return rows
