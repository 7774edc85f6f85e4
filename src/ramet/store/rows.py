"""The rows of one run in an SQLite store, as one transaction sees and writes them."""

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from ramet.clock import Clock
from ramet.digest import digest
from ramet.errors import CorruptLog
from ramet.events import Logged, RunOpened, decode, fold
from ramet.store import summary as summaries
from ramet.store.base import Lease, Seat, Standing
from ramet.store.refusals import copied_moved, lease_lost, log_moved, run_not_found
from ramet.store.statements import queries
from ramet.store.summary import Summary


class Free(NamedTuple):
    """A member that may be leased."""

    member: int
    trained: int
    # The last one given.
    token: int


# An event as it is kept: number, at, worker, took_s and JSON.
EventRow = tuple[int, float, str, float | None, bytes]


class Rows:
    """The rows of one run."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        *,
        clock: Clock,
        boot: str,
        process: str | None,
    ) -> None:
        self.name = name
        self._connection = connection
        self._clock = clock
        self._boot, self._process = boot, process
        row = self._one("run", name=name)
        if row is None:
            raise run_not_found(name, sorted(names(connection)))
        self._id: int
        # The budget of each member.
        self.steps: int
        # None in an asynchronous run.
        self.round: int | None
        # The number of the last event.
        self.head: int
        self._id, self.steps, self.round, self.head = row

    def opening(self) -> bytes:
        """Return the first event."""
        (event,) = self._one("first_event", run=self._id)
        return bytes(event)

    def events(self, after: int, most: int | None = None) -> Iterator[EventRow]:
        """Yield the events behind a number, or the first of them."""
        values = {"run": self._id, "after": after, "most": -1 if most is None else most}
        return self._connection.execute(queries()["events"], values)

    def summary(self) -> Summary | None:
        """Return how the run stood some events ago; None if that is not on record, or damaged."""
        row = self._one("summary", run=self._id)
        if row is None or row[0] != digest([row[1]]):
            return None
        with suppress(CorruptLog):
            summary = summaries.decode(row[1])
            return summary if summary.last <= self.head else None
        return None

    def summary_is_damaged(self) -> bool:
        """Say whether there is a summary that cannot be read; the log says all that it does."""
        return self._one("summary", run=self._id) is not None and self.summary() is None

    def sum_up(self) -> None:
        """Bring the summary up if that is due."""
        summary = self.summary()
        if due := summaries.due(summary, self.head):
            news = self.events(-1 if summary is None else summary.last, due)
            summary = summaries.summed_up(summary, [logged(row) for row in news])
            data = summaries.encode(summary)
            self._one("sum_up", run=self._id, digest=digest([data]), summary=data)

    def seats(self) -> list[Seat]:
        """Return how the members stand, and who holds them."""
        now = self._clock.uptime()
        rows = self._all("seats", run=self._id, now=now, boot=self._boot, process=self._process)
        return [_seat(*row, now=now) for row in rows]

    def first_free(self, prefer: int | None) -> Free | None:
        """Return the member to claim, if there is one."""
        moment = {"now": self._clock.uptime(), "boot": self._boot, "process": self._process}
        first = self._free("first_free", **moment)
        if first is None or prefer in {None, first.member}:
            return first
        return self._free("preferred_free", prefer=prefer, trained=first.trained, **moment) or first

    def due(self, member: int, turn: int) -> Free | None:
        """Return a member if it may train this turn, whoever holds it."""
        return self._free("due", member=member, turn=turn)

    def lease(self, free: Free, worker: str, ttl_s: float) -> Lease:
        """Give a member to a worker."""
        lease = Lease(
            run=self.name,
            member=free.member,
            worker=worker,
            token=free.token + 1,
            given_at=self._clock.uptime(),
            expires_at=0.0,
            head=self.head,
        )
        return self.hold(lease, ttl_s)

    def hold(self, lease: Lease, ttl_s: float) -> Lease:
        """Have a lease last from now on."""
        now = self._clock.uptime()
        held = replace(lease, expires_at=now + ttl_s)
        self._one(
            "lease",
            run=self._id,
            member=held.member,
            token=held.token,
            worker=held.worker,
            now=now,
            expires_at=held.expires_at,
            boot=self._boot,
            process=self._process,
        )
        return held

    def held_by(self, worker: str) -> list[tuple[int, int]]:
        """Return the members that a worker holds, each with its token."""
        return self._all("held_by", run=self._id, worker=worker)

    def let_go(self, member: int, token: int) -> None:
        """End a lease, unless another took its place."""
        self._one("let_go", run=self._id, member=member, token=token)

    def check_held(self, lease: Lease) -> None:
        """Raise LeaseLost unless this lease is the last one given, and still is."""
        worker, token = self._one("holder", run=self._id, member=lease.member)
        if worker is None or token != lease.token:
            raise lease_lost(lease, ago_s=self._clock.uptime() - lease.expires_at, holder=worker)

    def check_head(self, after: int | None) -> None:
        """Raise LogMoved if others wrote behind this event."""
        if after not in {None, self.head}:
            raise log_moved(self.name, after, self.head)

    def check_copied(self, lease: Lease, copied: Iterable[Standing]) -> None:
        """Raise LogMoved if one of these has another checkpoint by now."""
        for source in copied:
            (checkpoint,) = self._one("checkpoint", run=self._id, member=source.member)
            if checkpoint != source.checkpoint:
                raise copied_moved(lease, source)

    def write(self, worker: str, events: Sequence[bytes], *, under: Lease | None = None) -> None:
        """Write events behind the last, and how long the lease had been held for them."""
        at, first = self._clock.now(), self.head + 1
        took_s = None if under is None else self._clock.uptime() - under.given_at
        rows = [
            (self._id, number, at, worker, took_s, data)
            for number, data in enumerate(events, first)
        ]
        self._connection.executemany(queries()["add_event"], rows)
        self.head += len(rows)

    def put(self, standings: Iterable[Standing], *, writer: int) -> None:
        """Record how members stand, and end their leases."""
        rows = [
            {
                **asdict(standing),
                "run": self._id,
                "writer": writer,
                "phase": 0 if self.round is None else standing.turn,
            }
            for standing in standings
        ]
        self._connection.executemany(queries()["put"], rows)

    def move_on(self) -> None:
        """Record the budget, the round and the last event."""
        self._one("move_on", id=self._id, steps=self.steps, round=self.round, head=self.head)

    def _free(self, query: str, **values: Any) -> Free | None:
        row = self._one(query, run=self._id, steps=self.steps, phase=self.round or 0, **values)
        return None if row is None else Free(*row)

    def _one(self, query: str, **values: Any) -> Any:
        return self._connection.execute(queries()[query], values).fetchone()

    def _all(self, query: str, **values: Any) -> list[Any]:
        return self._connection.execute(queries()[query], values).fetchall()


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the runs, in the order in which they were opened."""
    return [name for (name,) in connection.execute(queries()["names"])]


def add_run(connection: sqlite3.Connection, opening: RunOpened) -> None:
    """Begin a run without any event."""
    round_ = 0 if opening.synchronous else None
    run = {"name": opening.name, "steps": opening.steps, "round": round_}
    id_ = connection.execute(queries()["add_run"], run).lastrowid
    # Some may rest through the first round.
    members = (
        (id_, member.id, member.trained, member.turn, member.turn if opening.synchronous else 0)
        for member in fold([opening])
    )
    connection.executemany(queries()["add_member"], members)


def logged(row: EventRow) -> Logged:
    """Return an event as it is read."""
    number, at, worker, took_s, data = row
    # A log names few workers, and each very often.
    its = sys.intern(worker)
    return Logged(number=number, at=at, worker=its, took_s=took_s, event=decode(data))


def _seat(  # noqa: PLR0917 - in the order of the query
    member: int,
    trained: int,
    step: int,
    turn: int,
    score: float | None,
    checkpoint: str | None,
    worker: str | None,
    heard_at: float,
    live: int,
    *,
    now: float,
) -> Seat:
    standing = Standing(
        member=member, trained=trained, step=step, turn=turn, score=score, checkpoint=checkpoint
    )
    if not live:
        return Seat(standing=standing)
    return Seat(standing=standing, worker=worker, silent_s=now - heard_at)
