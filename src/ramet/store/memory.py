"""A store in memory, which is also the model that other stores are tested against."""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import cast

from msgspec.structs import replace

from ramet.clock import Clock, SystemClock
from ramet.events import (
    AnyEvent,
    Extended,
    Logged,
    RunOpened,
    decode,
    encode,
    fold,
    rename_opening,
)
from ramet.population import Population
from ramet.process import Processes, SystemProcesses
from ramet.store.base import Lease, RunEvent, Seat, Standing, standing
from ramet.store.following import follow_rename
from ramet.store.memory_rows import Record, Row, rank_urgency
from ramet.store.refusals import (
    lease_lost,
    log_moved,
    name_taken,
    run_in_use,
    run_not_found,
    source_moved,
)
from ramet.store.summary import Summary


class MemoryStore:
    """Keeps everything in memory, for many threads of one process."""

    def __init__(self, clock: Clock | None = None, processes: Processes | None = None) -> None:
        self._clock = clock or SystemClock()
        self._processes = processes or SystemProcesses()
        self._lock = threading.RLock()
        self._records: dict[str, Record] = {}
        self._begun = 0
        # The greatest token of the leases of runs that were deleted.
        self._token = 0

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        with self._lock:
            if opening.name not in self._records:
                self._records[opening.name] = self._begin(opening, worker)
            return self._records[opening.name].opening

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        with self._lock:
            before = self._records.get(opening.name)
            if before is None:
                return self.open_run(opening, worker=worker)
            self._check_unused(before, "overwritten")
            record = self._begin(opening, worker, token=before.token)
            # It is opened last now.
            del self._records[opening.name]
            self._records[opening.name] = record
            return record.opening

    def delete_run(self, run: str, *, worker: str, after: int) -> None:
        with self._lock:
            record = self._record(run)
            self._check_head(record, after)
            self._check_unused(record, "deleted", but=worker)
            self._token = max(self._token, record.token)
            del self._records[run]

    def rename_run(self, run: str, to: str, *, worker: str, after: int) -> None:
        with self._lock:
            record = self._record(run)
            self._check_head(record, after)
            if to in self._records:
                raise name_taken(to)
            self._check_unused(record, "renamed")
            begun = self._begin(record.opening, worker, token=record.token)
            of, of_began = record.opening, record.log[0][0]
            for its in self._records.values():
                began, _, _, data = its.log[0]
                first = follow_rename(
                    data, its.opening, began=began, of=of, of_began=of_began, to=to
                )
                if first is not None:
                    its.reopen(first)
            record.reopen(rename_opening(record.log[0][-1], to))
            # It keeps its place among the runs; the other one is opened last.
            named = {to if name == run else name: its for name, its in self._records.items()}
            self._records = {**named, run: begun}

    def opening(self, run: str) -> RunOpened:
        with self._lock:
            return self._record(run).opening

    def record(self, run: str) -> int:
        with self._lock:
            return self._record(run).number

    def runs(self) -> list[str]:
        with self._lock:
            return list(self._records)

    def claim(
        self,
        run: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None = None,
        among: Collection[int] | None = None,
    ) -> Lease | None:
        with self._lock:
            record = self._record(run)
            free = self._find_free(record)
            if among is not None:
                free = [row for row in free if row.standing.member in among]
            if not free:
                return None
            row = min(free, key=lambda row: rank_urgency(row, prefer))
            return self._claim(record, row, worker, ttl_s)

    def claim_all(self, run: str, *, worker: str, ttl_s: float) -> list[Lease]:
        with self._lock:
            record = self._record(run)
            free = sorted(self._find_free(record), key=lambda row: rank_urgency(row, None))
            return [self._claim(record, row, worker, ttl_s) for row in free]

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        with self._lock:
            record = self._record(run)
            row = record.rows[member]
            if row.standing.turn != turn or not record.may_train(row):
                return None
            return self._lease(record, row, worker, ttl_s)

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        with self._lock:
            row = self._check_held(lease)
            row.heard_at, row.process = self._clock.uptime(), self._processes.this()
            row.lease = replace(lease, expires_at=row.heard_at + ttl_s)
            return row.lease

    def renew_all(self, leases: Sequence[Lease], *, ttl_s: float) -> list[Lease]:
        with self._lock:
            held = [lease for lease in leases if self._is_held(lease)]
            return [self.renew(lease, ttl_s=ttl_s) for lease in held]

    def release(self, lease: Lease) -> None:
        with self._lock:
            row = self._record(lease.run).rows[lease.member]
            if row.token == lease.token:
                row.lease = None

    def release_all(self, leases: Sequence[Lease]) -> None:
        with self._lock:
            for lease in leases:
                self.release(lease)

    def disown(self, run: str, *, worker: str) -> list[int]:
        with self._lock:
            rows = [
                row for row in self._record(run).rows if row.lease and row.lease.worker == worker
            ]
            for row in rows:
                row.lease = None
            return [row.standing.member for row in rows]

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
        del population  # It keeps no summaries.
        with self._lock:
            record = self._record(lease.run)
            leases = [lease, *beside]
            for each in leases:
                self._check_held(each)
            if after is not None:
                self._check_head(record, after)
            for source in copied:
                if record.rows[source.member].standing.checkpoint != source.checkpoint:
                    raise source_moved(lease, source)
            self._write(record, lease.worker, events, took_s=self._clock.uptime() - lease.given_at)
            writers = {each.member for each in leases}
            for after_it in standings:
                self._put(record.rows[after_it.member], after_it, writers)
            for writer in writers:
                record.rows[writer].lease = None
            record.round = record.round if round is None else round
            return record.head

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        with self._lock:
            record = self._record(run)
            self._check_head(record, after)
            self._write(record, worker, [event])
            if isinstance(event, Extended):
                record.steps = event.steps
            return record.head

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        end = None if most is None else after + 1 + most
        with self._lock:
            log = self._record(run).log[after + 1 : end]
        return [
            Logged(number=number, at=at, worker=worker, took_s=took_s, event=decode(data))
            for number, (at, worker, took_s, data) in enumerate(log, start=after + 1)
        ]

    def summary(self, run: str) -> Summary | None:
        with self._lock:
            self._record(run)
        return None

    def seats(self, run: str) -> list[Seat]:
        with self._lock:
            return [self._seat(row) for row in self._record(run).rows]

    def _begin(self, opening: RunOpened, worker: str, *, token: int = 0) -> Record:
        """Return the record of a new run, with tokens above those of leases before it."""
        least = max(token, self._token)
        rows = [Row(standing(member), token=least) for member in fold([opening])]
        round_ = 0 if opening.synchronous else None
        # What others read, who find a list where this worker may have had a tuple.
        read = cast(RunOpened, decode(encode(opening)))
        self._begun += 1
        record = Record(read, rows, opening.steps, round_, self._begun)
        self._write(record, worker, [read])
        return record

    def _record(self, run: str) -> Record:
        try:
            return self._records[run]
        except KeyError:
            raise run_not_found(run, sorted(self._records)) from None

    @staticmethod
    def _check_head(record: Record, after: int) -> None:
        if after != record.head:
            raise log_moved(record.opening.name, after, record.head)

    def _check_unused(self, record: Record, deed: str, *, but: str | None = None) -> None:
        """Raise RunInUse while a worker, other than ``but``, has a live lease of a run."""
        holders = {row.lease.worker for row in record.rows if row.lease and self._live(row)}
        if others := holders - {but}:
            raise run_in_use(record.opening.name, sorted(others), deed=deed)

    def _find_free(self, record: Record) -> list[Row]:
        return [row for row in record.rows if record.may_train(row) and not self._live(row)]

    def _claim(self, record: Record, row: Row, worker: str, ttl_s: float) -> Lease:
        silent_s = self._silent_s(row)
        row.lost += silent_s is not None
        return self._lease(record, row, worker, ttl_s, silent_s=silent_s)

    def _live(self, row: Row) -> bool:
        held = row.lease is not None and row.lease.expires_at > self._clock.uptime()
        return held and not self._processes.is_gone(row.process)

    def _silent_s(self, row: Row) -> float | None:
        """Return the seconds since the worker that holds a member was last heard of."""
        if row.lease is None or self._processes.is_gone(row.process):
            return None
        return self._clock.uptime() - row.heard_at

    def _lease(
        self,
        record: Record,
        row: Row,
        worker: str,
        ttl_s: float,
        *,
        silent_s: float | None = None,
    ) -> Lease:
        row.token += 1
        row.heard_at, row.process = self._clock.uptime(), self._processes.this()
        row.lease = Lease(
            run=record.opening.name,
            member=row.standing.member,
            worker=worker,
            token=row.token,
            given_at=row.heard_at,
            expires_at=row.heard_at + ttl_s,
            head=record.head,
            lost=row.lost,
            silent_s=silent_s,
        )
        return row.lease

    def _is_held(self, lease: Lease) -> bool:
        row = self._record(lease.run).rows[lease.member]
        return row.token == lease.token and row.lease is not None

    def _check_held(self, lease: Lease) -> Row:
        row = self._record(lease.run).rows[lease.member]
        if self._is_held(lease):
            return row
        holder = row.lease.worker if row.lease else None
        raise lease_lost(lease, ago_s=self._clock.uptime() - lease.expires_at, holder=holder)

    def _seat(self, row: Row) -> Seat:
        if row.lease is None or not self._live(row):
            return Seat(standing=row.standing)
        silent_s = self._clock.uptime() - row.heard_at
        return Seat(standing=row.standing, worker=row.lease.worker, silent_s=silent_s)

    def _write(
        self,
        record: Record,
        worker: str,
        events: Sequence[AnyEvent],
        *,
        took_s: float | None = None,
    ) -> None:
        now = self._clock.now()
        # All are encoded before any is written.
        record.log += [(now, worker, took_s, encode(event)) for event in events]

    @staticmethod
    def _put(row: Row, standing: Standing, writers: Collection[int]) -> None:
        if standing.turn != row.standing.turn:
            row.lost = 0
        row.standing = standing
        if standing.member not in writers:
            # A worker that still trains it does so from an outdated state.
            row.token += 1
            row.lease = None
