"""A store in one file, for all processes of one machine."""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

from ramet import faults
from ramet.clock import Clock, SystemClock
from ramet.errors import CorruptLog, CorruptStore, StoreError, UnknownSchema
from ramet.events import AnyEvent, Extended, Logged, RunOpened, decode, encode
from ramet.process import Processes, SystemProcesses
from ramet.store import summary
from ramet.store.base import Lease, RunEvent, Seat, Standing
from ramet.store.database import Database
from ramet.store.rows import Rows, add_run, logged, names
from ramet.store.summary import Summary

# What commits survive: the machine losing "power", or only the death of any "process".
Durability = Literal["power", "process"]


class SQLiteStore:
    """Keeps everything in a file, safely for many threads and processes of one machine.

    With ``durability="process"`` a power cut may take the last commits along, but not the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        clock: Clock | None = None,
        processes: Processes | None = None,
        # How long to wait while others write.
        patience_s: float = 60.0,
    ) -> None:
        if durability not in get_args(Durability):
            raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
        self.path = Path(path).absolute()
        # What another process opens it by.
        self._again = partial(
            SQLiteStore,
            self.path,
            durability=durability,
            clock=clock,
            processes=processes,
            patience_s=patience_s,
        )
        self._durable = durability == "power"
        self._clock = clock or SystemClock()
        self._processes = processes or SystemProcesses()
        self._boot = self._clock.boot()
        # Whether the last claim found no member.
        self._in_vain = False
        self._database = Database(
            self.path, clock=self._clock, processes=self._processes, patience_s=patience_s
        )
        # What is wrong with the file is better said now.
        self.runs()

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[partial["SQLiteStore"], tuple[()]]:
        return self._again, ()

    def close(self) -> None:
        """Close the file, which is opened again if it is needed."""
        self._database.close()

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        if opening.name not in self.runs():
            self._begin(opening, worker)
        return self.opening(opening.name)

    def opening(self, run: str) -> RunOpened:
        with self._reading(run) as rows:
            data = rows.opening()
        # The first event of a run always is.
        return cast(RunOpened, decode(data))

    def runs(self) -> list[str]:
        with self._database.reading() as connection:
            return names(connection)

    def claim(
        self, run: str, *, worker: str, ttl_s: float, prefer: int | None = None
    ) -> Lease | None:
        # Workers without a member ask again and again; that must not hold up those who commit.
        if self._in_vain:
            with self._reading(run) as rows:
                if rows.first_free(prefer) is None:
                    return None
        with self._writing(run) as rows:
            free = rows.first_free(prefer)
            self._in_vain = free is None
            return None if free is None else rows.lease(free, worker, ttl_s)

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        with self._writing(run) as rows:
            due = rows.due(member, turn)
            return None if due is None else rows.lease(due, worker, ttl_s)

    def extend(self, lease: Lease, *, ttl_s: float) -> Lease:
        with self._writing(lease.run) as rows:
            rows.check_held(lease)
            return rows.hold(lease, ttl_s)

    def release(self, lease: Lease) -> None:
        with self._writing(lease.run) as rows:
            rows.let_go(lease.member, lease.token)

    def disown(self, run: str, *, worker: str) -> list[int]:
        with self._writing(run) as rows:
            held = rows.held_by(worker)
            for member, token in held:
                rows.let_go(member, token)
        return [member for member, _ in held]

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        standings: Sequence[Standing],
        *,
        copied: Collection[Standing] = (),
        round: int | None = None,  # noqa: A002 - as in the protocol
        after: int | None = None,
    ) -> int:
        written = [encode(event) for event in events]
        with self._writing(lease.run, durable=self._durable) as rows:
            rows.check_held(lease)
            rows.check_head(after)
            rows.check_copied(lease, copied)
            rows.write(lease.worker, written, under=lease)
            rows.put(standings, writer=lease.member)
            rows.let_go(lease.member, lease.token)
            rows.round = rows.round if round is None else round
            rows.move_on()
            if rows.head // summary.EVERY > (rows.head - len(written)) // summary.EVERY:
                _sum_up(rows)
            faults.reach("committing")
        faults.reach("committed")
        return rows.head

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        written = encode(event)
        with self._writing(run, durable=self._durable) as rows:
            rows.check_head(after)
            rows.write(worker, [written])
            rows.steps = event.steps if isinstance(event, Extended) else rows.steps
            rows.move_on()
        return rows.head

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        # One by one, because the rows of a long log take as much memory as what they are read as.
        with self._reading(run) as rows:
            return [logged(row) for row in rows.events(after, most)]

    def summary(self, run: str) -> Summary | None:
        with self._reading(run) as rows:
            return rows.summary()

    def seats(self, run: str) -> list[Seat]:
        with self._reading(run) as rows:
            return rows.seats()

    def check(self) -> list[str]:
        """Say what is wrong with the file; nothing if it is well."""
        try:
            with self._database.reading() as connection:
                lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
                lines += [
                    f"the summary of run {name!r} cannot be read, so the whole log is read instead"
                    for name in names(connection)
                    if self._rows(connection, name).summary_is_damaged()
                ]
        except CorruptStore as error:
            return [str(error)]
        return [f"the store {self.path} is damaged: {line}" for line in lines if line != "ok"]

    def _begin(self, opening: RunOpened, worker: str) -> None:
        written = encode(opening)
        with self._database.writing(synced=self._durable) as connection:
            # Somebody else may have done it meanwhile.
            if opening.name not in names(connection):
                add_run(connection, opening)
                rows = self._rows(connection, opening.name)
                rows.write(worker, [written])
                rows.move_on()

    @contextmanager
    def _reading(self, run: str) -> Iterator[Rows]:
        with self._database.reading() as connection:
            yield self._rows(connection, run)

    @contextmanager
    def _writing(self, run: str, *, durable: bool = False) -> Iterator[Rows]:
        with self._database.writing(synced=durable) as connection:
            yield self._rows(connection, run)

    def _rows(self, connection: sqlite3.Connection, run: str) -> Rows:
        return Rows(
            connection,
            run,
            clock=self._clock,
            boot=self._boot,
            process=self._processes.this(),
        )


def _sum_up(rows: Rows) -> None:
    # A log that leads nowhere must be told of by whoever reads it, not by whoever writes on it.
    with suppress(CorruptLog, UnknownSchema):
        rows.sum_up()
