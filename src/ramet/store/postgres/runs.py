"""The runs of a PostgreSQL store: each read or written in a transaction of its own."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from ramet.clock import Clock
from ramet.events import MOST_BYTES, Logged
from ramet.process import Processes
from ramet.store.base import Lease
from ramet.store.checked import RunRow
from ramet.store.postgres import schema
from ramet.store.postgres.server import Server
from ramet.store.postgres.tables import PostgresTables
from ramet.store.postgres.transaction import Transaction
from ramet.store.postgres.undone import Memory
from ramet.store.rows import Rows, is_held

T = TypeVar("T")


class Runs:
    """Makes transactions that read or write one run.

    Args:
        server: What connects to the server.
        channel: The name of the notifications for workers that wait.
        durable: Whether events are on the server's disk once they are written.
        clock: Where the time comes from; None is the server's clock.
        processes: What tells whether the process that holds a lease still exists.
    """

    def __init__(
        self,
        server: Server,
        *,
        channel: str,
        durable: bool,
        clock: Clock | None,
        processes: Processes,
    ) -> None:
        self.channel, self._durable = channel, durable
        self._server, self._clock, self._processes = server, clock, processes
        self._queries = schema.queries_in(server.address.schema)
        self._memory = Memory()
        # Processes that hold leases and are not known to be gone.
        self._there: set[str] = set()

    def read(self, run: str, query: Callable[[Rows], T]) -> T:
        """Return what a query finds in one snapshot."""

        def read(transaction: Transaction) -> T:
            rows = self._rows(self.tables(transaction), run)
            result = query(rows)
            self._memory.note(rows)
            return result

        return self._server.read(read)

    def read_row(self, run: str) -> RunRow:
        """Return the row of a run."""
        return self._server.read(
            lambda transaction: self._rows(self.tables(transaction), run).row, alone=True
        )

    def read_news(self, run: str, after: int) -> list[Logged]:
        """Return the events behind a number; workers ask for them all the time."""

        def read(transaction: Transaction) -> list[Logged]:
            tables = self.tables(transaction)
            tables.read_news(run, after=after, most_bytes=MOST_BYTES)
            rows = self._rows(tables, run)
            news = rows.events(after)
            self._memory.note(rows)
            return news

        return self._server.read(read, alone=True)

    def claim(
        self,
        run: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None,
        among: Collection[int] | None,
    ) -> Lease | None:
        """Lease the free member that has trained least; None if no member is free."""

        def claim(transaction: Transaction) -> Lease | None:
            tables = self.tables(transaction)
            claimed = tables.claim(run, worker=worker, ttl_s=ttl_s, prefer=prefer, among=among)
            rows = self._rows(tables, run)
            if claimed.member is not None:
                now = tables.uptime()
                return Lease(
                    run=run,
                    member=claimed.member,
                    worker=worker,
                    token=claimed.token,
                    given_at=now,
                    expires_at=now + ttl_s,
                    head=rows.head,
                    lost=claimed.lost,
                )
            # Another worker holds the member, or it has changed since.
            free = None if claimed.free is None else rows.first_free(prefer, among)
            return None if free is None else rows.lease(free, worker, ttl_s)

        def is_recorded(transaction: Transaction, lease: Lease | None) -> bool:
            return is_on_record(self._rows(self.tables(transaction), run), lease)

        # The query itself does not wait for the disk; settings would be another statement.
        return self._server.write(claim, synced=self._durable, recorded=is_recorded)

    def write(
        self,
        run: str,
        work: Callable[[Rows], T],
        *,
        member: int | None = None,
        locking: bool = False,
        durable: bool = False,
        at_most_s: float = math.inf,
        recorded: Callable[[Rows, Any], bool] | None = None,
    ) -> T:
        """Return what work returns, once it is committed.

        Args:
            run: The name of the run.
            work: What reads and writes its rows.
            member: The member that work asks for the holder of first, if it is only one.
            locking: Whether no other process commits to the run meanwhile.
            durable: Whether to wait until it is on the server's disk.
            at_most_s: How long to wait for a server that is away.
            recorded: What tells whether a transaction with this result is on record.
        """

        def rows_of(transaction: Transaction) -> Rows:
            return self._rows(self.tables(transaction, locking=locking, member=member), run)

        def is_recorded(transaction: Transaction, result: T) -> bool:
            return recorded is not None and recorded(rows_of(transaction), result)

        return self._server.write(
            lambda transaction: work(rows_of(transaction)),
            synced=durable,
            at_most_s=at_most_s,
            recorded=None if recorded is None else is_recorded,
        )

    def write_log(
        self, run: str, work: Callable[[Rows], Rows], *, member: int | None = None
    ) -> Rows:
        """Write events, while no other process commits to the run; return its rows."""
        written = self.write(
            run,
            work,
            member=member,
            locking=True,
            durable=self._durable,
            recorded=Rows.has_written,
        )
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

    def tables(
        self, transaction: Transaction, *, locking: bool = False, member: int | None = None
    ) -> PostgresTables:
        """Return the tables, as a transaction has them."""
        return PostgresTables(
            transaction,
            self._queries,
            processes=self._processes,
            there=self._there,
            clock=self._clock,
            locking=locking,
            member=member,
        )

    def _rows(self, tables: PostgresTables, run: str) -> Rows:
        rows = Rows(tables, run)
        self._memory.compare(rows, self._server.started)
        return rows


def is_on_record(rows: Rows, leases: Lease | Sequence[Lease] | None) -> bool:
    """Say whether leases are on record; a claim that found none has left nothing."""
    first = leases if isinstance(leases, Lease) else next(iter(leases or ()), None)
    return first is not None and is_held(first, rows.find_holders([first]))
