"""A store in one file, for all processes of one machine."""

import math
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
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
from ramet.store.rows import Rows, add_run, is_held, names
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
            self._begin(opening, worker)
        # Claims use the members' rows, and are too frequent to check them each time.
        self.seats(opening.name)
        return self.opening(opening.name)

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        written = encode(opening)
        with self._database.writing(synced=self._durable) as connection:
            tables, number, token = self._tables(connection), None, 0
            if opening.name in names(tables):
                before = Rows(tables, opening.name)
                before.check_unused("overwritten")
                number, token = before.delete()
            add_run(tables, opening, number=number, token=token)
            rows = Rows(tables, opening.name)
            rows.write(worker, [written])
            rows.move_on()
        return self.opening(opening.name)

    def delete_run(self, run: str, *, worker: str, after: int) -> None:
        with self._writing(run, durable=self._durable) as rows:
            rows.check_head(after)
            rows.check_unused("deleted", but=worker)
            rows.tables.write("remember_deleted", run=rows.row.id)
            rows.delete()

    def rename_run(self, run: str, to: str, *, worker: str, after: int) -> None:
        with self._writing(run, durable=self._durable) as rows:
            rows.check_head(after)
            rename(rows, to, worker=worker)

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
        with self._writing(run) as rows:
            free = rows.first_free(prefer, among)
            self._in_vain = free is None
            return None if free is None else rows.lease(free, worker, ttl_s)

    def claim_all(self, run: str, *, worker: str, ttl_s: float) -> list[Lease]:
        if self._in_vain and self._read(run, lambda rows: rows.first_free(None)) is None:
            return []
        with self._writing(run) as rows:
            leases = rows.lease_all(rows.find_free(), worker, ttl_s)
            self._in_vain = not leases
            return leases

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        with self._writing(run) as rows:
            due = rows.due(member, turn)
            return None if due is None else rows.lease(due, worker, ttl_s)

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        with self._writing(lease.run) as rows:
            rows.check_held(lease)
            return rows.hold(lease, ttl_s)

    def renew_all(self, leases: Sequence[Lease], *, ttl_s: float) -> list[Lease]:
        if not leases:
            return []
        with self._writing(leases[0].run) as rows:
            held = rows.find_holders(leases)
            kept = [lease for lease in leases if is_held(lease, held)]
            return rows.hold_all(kept, ttl_s)

    def release(self, lease: Lease) -> None:
        self.release_all([lease])

    def release_all(self, leases: Sequence[Lease]) -> None:
        if not leases:
            return
        with self._writing(leases[0].run, at_most_s=GIVE_BACK_S) as rows:
            for lease in leases:
                rows.let_go(lease.member, lease.token)

    def disown(self, run: str, *, worker: str) -> list[int]:
        with self._writing(run, at_most_s=GIVE_BACK_S) as rows:
            held = rows.find_held(worker)
            for member, token in held:
                rows.let_go(member, token)
        return [member for member, _ in held]

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
        with self._writing(lease.run, durable=self._durable) as rows:
            rows.check_held(lease, *beside)
            rows.check_head(after)
            rows.check_copied(lease, copied)
            rows.write(lease.worker, written, under=lease)
            rows.put(standings, under=(lease, *beside))
            rows.move_on(round=round)
            self._summing.sum_up(rows, population)
            faults.reach("committing")
        faults.reach("committed")
        return rows.head

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        written = encode(event)
        with self._writing(run, durable=self._durable) as rows:
            rows.check_head(after)
            rows.write(worker, [written])
            rows.move_on(steps=event.steps if isinstance(event, Extended) else None)
        return rows.head

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

    def _begin(self, opening: RunOpened, worker: str) -> None:
        written = encode(opening)
        with self._database.writing(synced=self._durable) as connection:
            tables = self._tables(connection)
            # Another worker may have begun it meanwhile.
            if opening.name not in names(tables):
                add_run(tables, opening)
                rows = Rows(tables, opening.name)
                rows.write(worker, [written])
                rows.move_on()

    def _read(self, run: str, query: Callable[[Rows], T]) -> T:
        return self._database.read(lambda connection: query(Rows(self._tables(connection), run)))

    def _damages(self, connection: sqlite3.Connection) -> list[str]:
        lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
        return [*lines, *summing.find_damaged(self._tables(connection))]

    @contextmanager
    def _writing(
        self, run: str, *, durable: bool = False, at_most_s: float = math.inf
    ) -> Iterator[Rows]:
        with self._database.writing(synced=durable, at_most_s=at_most_s) as connection:
            yield Rows(self._tables(connection), run)

    def _tables(self, connection: sqlite3.Connection) -> SQLiteTables:
        return SQLiteTables(
            connection, clock=self._clock, boot=self._boot, process=self._processes.this()
        )
