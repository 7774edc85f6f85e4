"""A store in PostgreSQL, for workers on any number of machines."""

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar, get_args

from ramet import faults
from ramet.clock import Clock, SystemClock
from ramet.errors import StoreError
from ramet.events import AnyEvent, Extended, Logged, RunOpened, encode
from ramet.population import Population
from ramet.process import Processes, SystemProcesses
from ramet.store import summing
from ramet.store.base import Lease, RunEvent, Seat, Standing
from ramet.store.checked import read_opening
from ramet.store.postgres import schema
from ramet.store.postgres.address import Address, read_address
from ramet.store.postgres.listening import Listening
from ramet.store.postgres.runs import Runs, is_on_record
from ramet.store.postgres.server import Server
from ramet.store.postgres.transaction import Transaction
from ramet.store.renaming import rename
from ramet.store.rows import Rows, begin_run, is_held, names
from ramet.store.sqlite import GIVE_BACK_S, Durability
from ramet.store.summary import Summary

T = TypeVar("T")


class PostgresStore:
    """Keeps runs in a PostgreSQL database, for workers on any number of machines.

    While the server is away, calls wait, and warnings say so. What was committed before is not
    lost, and what was being committed is committed once.

    Args:
        url: The database, as libpq reads it: ``postgresql://user@host:5432/database``. What the
            URL does not say is read from the environment (``PGPASSWORD``) and from ``~/.pgpass``.
            ``?schema=`` names the schema of the tables, instead of ``ramet``.
        durability: What commits survive: a loss of ``"power"`` of the server, or only the end of
            any ``"process"`` but the server's.
        clock: Where the time comes from; None is the server's clock.
        processes: What tells whether the process that holds a lease still exists.
        patience_s: Seconds to wait for the server, before StoreUnreachable is raised.
        read_only: Whether no tables are created or migrated.
        connect: Whether to connect now, so that an error is raised now.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        durability: Durability = "power",
        clock: Clock | None = None,
        processes: Processes | None = None,
        patience_s: float = math.inf,
        read_only: bool = False,
        connect: bool = True,
    ) -> None:
        if durability not in get_args(Durability):
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        self.address = url if isinstance(url, Address) else read_address(url)
        # Opens the store in another process; the address hides the password wherever it is shown.
        self._again = partial(
            PostgresStore,
            self.address,
            durability=durability,
            clock=clock,
            processes=processes,
            patience_s=patience_s,
            read_only=read_only,
            connect=False,
        )
        self._durable = durability == "power"
        self._read_only = read_only
        self._server = Server(
            self.address,
            clock=clock or SystemClock(),
            patience_s=patience_s,
            synced=self._durable,
            known=not connect,
        )
        self._runs = Runs(
            self._server,
            channel=f"ramet_{self.address.schema}",
            durable=self._durable,
            clock=clock,
            processes=processes or SystemProcesses(),
        )
        self._summing = summing.Summing()
        self._listening = Listening(self._server, self._runs.channel, clock or SystemClock())
        if connect:
            try:
                self.prepare()
            except BaseException:
                # The error's traceback keeps this store, and its connection, while it lives.
                self.close()
                raise

    def __repr__(self) -> str:
        return f"PostgresStore({self.address.name!r})"

    def __reduce__(self) -> tuple[partial["PostgresStore"], tuple[()]]:
        return self._again, ()

    def prepare(self) -> None:
        """Connect, and create or migrate the tables if that is due."""
        name = self.address.schema
        version = self._server.read(partial(schema.read_version, schema=name))
        if schema.check_version(self.address, version, read_only=self._read_only):
            self._server.write(partial(schema.migrate, schema=name), synced=True)

    def blobs(self) -> str | None:
        """Return the folder of the checkpoints; None if the store does not know it."""
        found = self._server.read(lambda transaction: self._runs.tables(transaction).one("blobs"))
        return None if found is None else str(found[0]) if found[0] is not None else None

    def remember_blobs(self, folder: str) -> None:
        """Record the folder of the checkpoints, for those who only name the database.

        Args:
            folder: The path of the folder, by which all machines reach it.
        """

        def set_blobs(transaction: Transaction) -> None:
            self._runs.tables(transaction).write("set_blobs", blobs=folder)

        self._server.write(set_blobs, synced=True)

    def wait(self, run: str, *, most_s: float) -> bool:  # noqa: ARG002 - all runs wake together
        """Wait until something was written that workers wait for; return whether that may be.

        Args:
            run: The name of the run.
            most_s: Seconds to wait at most.
        """
        return self._listening.wait(most_s)

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._listening.close()
        self._server.close()

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        self._runs.forget(opening.name)
        if opening.name not in self.runs():
            self._begin(opening, worker, anew=False)
        # Claims use the members' rows, and are too frequent to check them each time.
        self.seats(opening.name)
        return self.opening(opening.name)

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        self._begin(opening, worker, anew=True)
        return self.opening(opening.name)

    def delete_run(self, run: str, *, worker: str, after: int) -> None:
        def delete(rows: Rows) -> None:
            rows.check_unused("deleted", but=worker)
            rows.tables.write("remember_deleted", run=rows.row.id)
            rows.delete()

        self._change(run, delete, after=after, then=None)

    def rename_run(self, run: str, to: str, *, worker: str, after: int) -> None:
        self._change(run, lambda rows: rename(rows, to, worker=worker), after=after, then=to)

    def opening(self, run: str) -> RunOpened:
        row, found = self._runs.read(run, lambda rows: (rows.row, rows.opening()))
        return read_opening(row, found)

    def record(self, run: str) -> int:
        return self._runs.read_row(run).id

    def runs(self) -> list[str]:
        return self._server.read(lambda transaction: names(self._runs.tables(transaction)))

    def claim(
        self,
        run: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None = None,
        among: Collection[int] | None = None,
    ) -> Lease | None:
        return self._runs.claim(run, worker=worker, ttl_s=ttl_s, prefer=prefer, among=among)

    def claim_all(self, run: str, *, worker: str, ttl_s: float) -> list[Lease]:
        return self._runs.write(
            run, lambda rows: rows.lease_all(rows.find_free(), worker, ttl_s), recorded=is_on_record
        )

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        def take(rows: Rows) -> Lease | None:
            due = rows.due(member, turn)
            return None if due is None else rows.lease(due, worker, ttl_s)

        return self._runs.write(run, take, recorded=is_on_record)

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        def hold(rows: Rows) -> Lease:
            rows.check_held(lease)
            return rows.hold(lease, ttl_s)

        return self._runs.write(lease.run, hold, member=lease.member)

    def renew_all(self, leases: Sequence[Lease], *, ttl_s: float) -> list[Lease]:
        def hold(rows: Rows) -> list[Lease]:
            held = rows.find_holders(leases)
            return rows.hold_all([its for its in leases if is_held(its, held)], ttl_s)

        return self._runs.write(leases[0].run, hold, locking=True) if leases else []

    def release(self, lease: Lease) -> None:
        self.release_all([lease])

    def release_all(self, leases: Sequence[Lease]) -> None:
        def let_go(rows: Rows) -> None:
            for lease in leases:
                rows.let_go(lease.member, lease.token)
            self._runs.notify(rows)

        if leases:
            several = len(leases) > 1
            self._runs.write(leases[0].run, let_go, locking=several, at_most_s=GIVE_BACK_S)

    def disown(self, run: str, *, worker: str) -> list[int]:
        # Those of an attempt that was committed without an answer count too.
        freed: set[int] = set()

        def let_go(rows: Rows) -> None:
            for member, token in rows.find_held(worker):
                rows.let_go(member, token)
                freed.add(member)
            self._runs.notify(rows)

        self._runs.write(run, let_go, locking=True, at_most_s=GIVE_BACK_S)
        return sorted(freed)

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        standings: Sequence[Standing],
        *,
        beside: Sequence[Lease] = (),
        copied: Collection[Standing] = (),
        round: int | None = None,  # noqa: A002 - as in the protocol
        after: int | None = None,
        population: Callable[[int], Population | None] | None = None,
    ) -> int:
        written = [encode(event) for event in events]

        def end(rows: Rows) -> Rows:
            rows.check_held(lease, *beside)
            rows.check_head(after)
            rows.check_copied(lease, copied)
            rows.write(lease.worker, written, under=lease)
            rows.put(standings, under=(lease, *beside))
            rows.move_on(round=round)
            if round is not None:
                self._runs.notify(rows)
            self._summing.sum_up(rows, population)
            faults.reach("committing")
            return rows

        rows = self._runs.write_log(lease.run, end, member=None if beside else lease.member)
        faults.reach("committed")
        return rows.head

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        written = encode(event)

        def add(rows: Rows) -> Rows:
            rows.check_head(after)
            rows.write(worker, [written])
            rows.move_on(steps=event.steps if isinstance(event, Extended) else None)
            self._runs.notify(rows)
            return rows

        return self._runs.write_log(run, add).head

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        if after >= 0 and most is None:
            return self._runs.read_news(run, after)
        return self._runs.read(run, lambda rows: rows.events(after, most))

    def summary(self, run: str) -> Summary | None:
        return self._runs.read(run, summing.read_summary)

    def seats(self, run: str) -> list[Seat]:
        return self._runs.read(run, Rows.seats)

    def check(self) -> list[str]:
        """Return what is wrong with the summaries, one line for each."""
        return self._server.read(
            lambda transaction: summing.find_damaged(self._runs.tables(transaction))
        )

    def _change(
        self, run: str, work: Callable[[Rows], None], *, after: int, then: str | None
    ) -> None:
        """Delete a run, or have it called ``then``, while no other process writes to it."""

        def change(transaction: Transaction) -> int:
            tables = self._runs.tables(transaction, locking=True)
            tables.write("lock_schema")
            rows = Rows(tables, run)
            tables.all("lock_members", run=rows.row.id)
            rows.check_head(after)
            work(rows)
            return rows.row.id

        def is_changed(transaction: Transaction, number: int) -> bool:
            tables = self._runs.tables(transaction)
            tables.write("lock_schema")
            has = {name: Rows(tables, name).row.id for name in names(tables)}
            return number not in has.values() if then is None else has.get(then) == number

        self._server.write(change, synced=self._durable, recorded=is_changed)
        self._runs.forget(run)

    def _begin(self, opening: RunOpened, worker: str, *, anew: bool) -> None:
        def begin(transaction: Transaction) -> Rows:
            tables = self._runs.tables(transaction, locking=True)
            tables.write("lock_schema")

            def lock(before: Rows) -> None:
                tables.all("lock_members", run=before.row.id)

            return begin_run(tables, opening, worker=worker, anew=anew, lock=lock)

        def is_begun(transaction: Transaction, attempt: Rows) -> bool:
            tables = self._runs.tables(transaction)
            tables.write("lock_schema")
            there = opening.name in names(tables)
            return there and Rows(tables, opening.name).has_written(attempt)

        self._server.write(begin, synced=self._durable, recorded=is_begun)
