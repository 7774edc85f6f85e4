"""A store for one process, and the model that the durable ones are tested against."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ramet.clock import Clock, SystemClock
from ramet.errors import LeaseLost, LogMoved, RunNotFound
from ramet.events import AnyEvent, Logged, RunOpened, decode, encode
from ramet.population import Member
from ramet.store.base import Lease


@dataclass(slots=True)
class _Seat:
    """A member's row: itself, and who holds it."""

    member: Member
    token: int = 0
    lease: Lease | None = None


@dataclass(slots=True)
class _Record:
    """One run's rows. Events are kept as bytes, so that reading gives values, as from a file."""

    opening: RunOpened
    seats: list[_Seat]
    # None in an asynchronous run.
    round: int | None
    log: list[tuple[float, str, bytes]] = field(default_factory=list)

    def free(self, seat: _Seat, now: float) -> bool:
        held = seat.lease is not None and seat.lease.expires_at > now
        waiting = self.round is not None and seat.member.turn != self.round
        return not held and not waiting and seat.member.trained < self.opening.steps


class MemoryStore:
    """Keeps everything in memory, safely for many threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._runs: dict[str, _Record] = {}

    def open_run(
        self, opening: RunOpened, members: Sequence[Member], *, synchronous: bool, worker: str
    ) -> RunOpened:
        with self._lock:
            if opening.name not in self._runs:
                seats = [_Seat(member) for member in members]
                record = _Record(opening, seats, 0 if synchronous else None)
                self._write(record, worker, [opening])
                self._runs[opening.name] = record
            return self._runs[opening.name].opening

    def claim(self, run: str, *, worker: str, ttl_s: float) -> Lease | None:
        with self._lock:
            record, now = self._record(run), self._clock.now()
            free = [seat for seat in record.seats if record.free(seat, now)]
            if not free:
                return None
            seat = min(free, key=lambda seat: (seat.member.trained, seat.member.id))
            seat.token += 1
            seat.lease = Lease(
                run=run,
                member=seat.member.id,
                worker=worker,
                token=seat.token,
                expires_at=now + ttl_s,
            )
            return seat.lease

    def extend(self, lease: Lease, *, ttl_s: float) -> Lease:
        with self._lock:
            seat = self._held(lease)
            seat.lease = replace(lease, expires_at=self._clock.now() + ttl_s)
            return seat.lease

    def release(self, lease: Lease) -> None:
        with self._lock:
            seat = self._record(lease.run).seats[lease.member]
            if seat.token == lease.token:
                seat.lease = None

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        members: Sequence[Member],
        *,
        round: int | None = None,  # noqa: A002 - as in the protocol
        after: int | None = None,
    ) -> int:
        with self._lock:
            record, seat = self._record(lease.run), self._held(lease)
            head = len(record.log) - 1
            if after is not None and after != head:
                raise LogMoved(
                    f"a commit decided on event {after} of run {lease.run!r} must come next after "
                    f"it, but the last event is {head}; nothing was written: read on, decide again"
                )
            self._write(record, lease.worker, events)
            seat.lease = None
            for member in members:
                self._put(record.seats[member.id], member, writer=lease.member)
            if round is not None:
                record.round = round
            return len(record.log) - 1

    def events(self, run: str, after: int = -1) -> list[Logged]:
        with self._lock:
            log = self._record(run).log[after + 1 :]
        return [
            Logged(number=number, at=at, worker=worker, event=decode(data))
            for number, (at, worker, data) in enumerate(log, start=after + 1)
        ]

    def members(self, run: str) -> list[Member]:
        with self._lock:
            return [seat.member for seat in self._record(run).seats]

    def _record(self, run: str) -> _Record:
        try:
            return self._runs[run]
        except KeyError:
            raise RunNotFound(
                f"a run must be opened before it is used, but {run!r} was not; this store has "
                f"{sorted(self._runs)}"
            ) from None

    def _held(self, lease: Lease) -> _Seat:
        seat = self._record(lease.run).seats[lease.member]
        if seat.token == lease.token and seat.lease is not None:
            return seat
        ago = self._clock.now() - lease.expires_at
        ran_out = f"ran out {ago:.1f} s ago" if ago > 0 else "was revoked"
        now_held = f"{seat.lease.worker!r} holds it now" if seat.lease else "it is done with"
        raise LeaseLost(
            f"worker {lease.worker!r} no longer holds member {lease.member} of run {lease.run!r}: "
            f"its lease {ran_out} and {now_held}. Nothing was written. If a turn can pause for "
            f"longer than its lease lasts, raise lease_ttl_s"
        )

    def _write(self, record: _Record, worker: str, events: Sequence[AnyEvent]) -> None:
        now = self._clock.now()
        # All are encoded before any is written.
        record.log += [(now, worker, encode(event)) for event in events]

    @staticmethod
    def _put(seat: _Seat, member: Member, *, writer: int) -> None:
        seat.member = member
        if member.id != writer:
            # Whoever is still at work on it works on what is no more.
            seat.token += 1
            seat.lease = None
