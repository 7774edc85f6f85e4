"""A store in one file, for all processes of one machine."""

import math
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, get_args

from ramet import faults
from ramet.clock import Clock, SystemClock
from ramet.errors import CorruptStore, StoreError
from ramet.events import AnyEvent, Extended, Logged, RunOpened, encode
from ramet.files import impossible
from ramet.population import Population
from ramet.process import Processes, SystemProcesses
from ramet.store import file_refusals, summing
from ramet.store.base import Lease, RunEvent, Seat, Standing
from ramet.store.checked import read_opening
from ramet.store.copying import copy
from ramet.store.database import Database
from ramet.store.reading import ReadOnlyDatabase
from ramet.store.renaming import rename
from ramet.store.rows import Rows, begin_run, is_held, names
from ramet.store.sqlite_tables import SQLiteTables
from ramet.store.summary import Summary

T = TypeVar("T")
# What commits survive: the machine losing "power", or only the death of any "process".
Durability = Literal["power", "process"]
# How long to wait to give a lease back; it runs out without that.
GIVE_BACK_S = 3.0


class SQLiteStore:
    """Keeps everything in one file, for many threads and processes of one machine.

    While another process keeps the file locked, calls wait, and warnings name that process.
    ``release`` and ``disown`` wait for seconds only, and then raise StoreBusy: leases run out by
    themselves.

    Args:
        path: The file. It is created if it does not exist.
        durability: What commits survive: a loss of ``"power"``, or only the end of any
            ``"process"``. In the second case a loss of power may undo the last commits, but does
            not damage the file.
        clock: Where the time comes from.
        processes: What tells whether the process that holds a lease still exists.
        patience_s: Seconds to wait while others write, before StoreBusy is raised.
        read_only: Whether nothing is written to the file, created or migrated.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        clock: Clock | None = None,
        processes: Processes | None = None,
        patience_s: float = math.inf,
        read_only: bool = False,
    ) -> None:
        if durability not in get_args(Durability):
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        if why := impossible(os.fspath(path)):
            raise file_refusals.not_a_store(path, why)
        self.path = Path(path).absolute()
        # Opens the store in another process.
        self._again = partial(
            SQLiteStore,
            self.path,
            durability=durability,
            clock=clock,
            processes=processes,
            patience_s=patience_s,
            read_only=read_only,
        )
        self._durable = durability == "power"
        self._clock = clock or SystemClock()
        self._processes = processes or SystemProcesses()
        self._boot = self._clock.boot()
        # Whether the last claim found no member.
        self._in_vain = False
        self._summing = summing.Summing()
        self.read_only = read_only
        opened = ReadOnlyDatabase if read_only else Database
        self._database: Database | ReadOnlyDatabase = opened(
            self.path, clock=self._clock, processes=self._processes, patience_s=patience_s
        )
        # An error in the file is better raised now.
        self.runs()

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[partial["SQLiteStore"], tuple[()]]:
        return self._again, ()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
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
            rows.check_head(after)
            rows.check_unused("deleted", but=worker)
            rows.tables.write("remember_deleted", run=rows.row.id)
            rows.delete()

        self._write(run, delete, durable=self._durable)

    def rename_run(self, run: str, to: str, *, worker: str, after: int) -> None:
        def change(rows: Rows) -> None:
            rows.check_head(after)
            rename(rows, to, worker=worker)

        self._write(run, change, durable=self._durable)

    def opening(self, run: str) -> RunOpened:
        row, found = self._read(run, lambda rows: (rows.row, rows.opening()))
        return read_opening(row, found)

    def record(self, run: str) -> int:
        return self._read(run, lambda rows: rows.row.id)

    def runs(self) -> list[str]:
        return self._database.read(lambda connection: names(self._tables(connection)))

    def claim(
        self,
        run: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None = None,
        among: Collection[int] | None = None,
    ) -> Lease | None:
        # Workers without a member ask often; that must not delay those that commit.
        if self._in_vain and self._read(run, lambda rows: rows.first_free(prefer, among)) is None:
            return None

        def take(rows: Rows) -> Lease | None:
            free = rows.first_free(prefer, among)
            return None if free is None else rows.lease(free, worker, ttl_s)

        lease = self._write(run, take)
        self._in_vain = lease is None
        return lease

    def claim_all(self, run: str, *, worker: str, ttl_s: float) -> list[Lease]:
        if self._in_vain and self._read(run, lambda rows: rows.first_free(None)) is None:
            return []
        leases = self._write(run, lambda rows: rows.lease_all(rows.find_free(), worker, ttl_s))
        self._in_vain = not leases
        return leases

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        def take(rows: Rows) -> Lease | None:
            due = rows.due(member, turn)
            return None if due is None else rows.lease(due, worker, ttl_s)

        return self._write(run, take)

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        def hold(rows: Rows) -> Lease:
            rows.check_held(lease)
            return rows.hold(lease, ttl_s)

        return self._write(lease.run, hold)

    def renew_all(self, leases: Sequence[Lease], *, ttl_s: float) -> list[Lease]:
        def hold(rows: Rows) -> list[Lease]:
            held = rows.find_holders(leases)
            return rows.hold_all([its for its in leases if is_held(its, held)], ttl_s)

        return self._write(leases[0].run, hold) if leases else []

    def release(self, lease: Lease) -> None:
        self.release_all([lease])

    def release_all(self, leases: Sequence[Lease]) -> None:
        def let_go(rows: Rows) -> None:
            for lease in leases:
                rows.let_go(lease.member, lease.token)

        if leases:
            self._write(leases[0].run, let_go, at_most_s=GIVE_BACK_S)

    def disown(self, run: str, *, worker: str) -> list[int]:
        def let_go(rows: Rows) -> list[int]:
            held = rows.find_held(worker)
            for member, token in held:
                rows.let_go(member, token)
            return [member for member, _ in held]

        return self._write(run, let_go, at_most_s=GIVE_BACK_S)

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

        def end(rows: Rows) -> int:
            rows.check_held(lease, *beside)
            rows.check_head(after)
            rows.check_copied(lease, copied)
            rows.write(lease.worker, written, under=lease)
            rows.put(standings, under=(lease, *beside))
            rows.move_on(round=round)
            self._summing.sum_up(rows, population)
            faults.reach("committing")
            return rows.head

        head = self._write(lease.run, end, durable=self._durable)
        faults.reach("committed")
        return head

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        written = encode(event)

        def add(rows: Rows) -> int:
            rows.check_head(after)
            rows.write(worker, [written])
            rows.move_on(steps=event.steps if isinstance(event, Extended) else None)
            return rows.head

        return self._write(run, add, durable=self._durable)

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        return self._read(run, lambda rows: rows.events(after, most))

    def summary(self, run: str) -> Summary | None:
        return self._read(run, summing.read_summary)

    def seats(self, run: str) -> list[Seat]:
        return self._read(run, Rows.seats)

    def check(self) -> list[str]:
        """Return what is wrong with the file, one line for each fault."""
        try:
            lines = self._database.read(self._damages)
        except CorruptStore as error:
            return [str(error)]
        return [f"the store {self.path} is damaged: {line}" for line in lines if line != "ok"]

    def copy_to(self, path: Path, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Copy the store, as it is at one moment, to another file.

        Args:
            path: The file of the copy.
            meanwhile: Called once that moment is fixed.
        """

        def write_copy(connection: sqlite3.Connection) -> None:
            names(self._tables(connection))
            meanwhile()
            copy(connection, path)

        self._database.read(write_copy)

    def _begin(self, opening: RunOpened, worker: str, *, anew: bool) -> None:
        def begin(connection: sqlite3.Connection) -> None:
            begin_run(self._tables(connection), opening, worker=worker, anew=anew)

        self._database.write(begin, synced=self._durable)

    def _read(self, run: str, query: Callable[[Rows], T]) -> T:
        return self._database.read(lambda connection: query(Rows(self._tables(connection), run)))

    def _damages(self, connection: sqlite3.Connection) -> list[str]:
        lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
        return [*lines, *summing.find_damaged(self._tables(connection))]

    def _write(
        self,
        run: str,
        work: Callable[[Rows], T],
        *,
        durable: bool = False,
        at_most_s: float = math.inf,
    ) -> T:
        return self._database.write(
            lambda connection: work(Rows(self._tables(connection), run)),
            synced=durable,
            at_most_s=at_most_s,
        )

    def _tables(self, connection: sqlite3.Connection) -> SQLiteTables:
        return SQLiteTables(
            connection, clock=self._clock, boot=self._boot, process=self._processes.this()
        )
