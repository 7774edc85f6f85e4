"""The rows of one run in a database, as one transaction sees and writes them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from ramet.digest import digest
from ramet.errors import CorruptLog, RametError, UnknownSchema
from ramet.events import MOST_BYTES, Logged, RunOpened, fold
from ramet.store import summary as summaries
from ramet.store.base import Lease, Seat, Standing, standing
from ramet.store.checked import (
    EventRow,
    MemberRow,
    RunRow,
    checksum,
    read_log,
    read_opening,
    read_run,
    read_seats,
)
from ramet.store.refusals import (
    damage,
    lease_lost,
    log_moved,
    run_in_use,
    run_not_found,
    source_moved,
)
from ramet.store.summary import Summary
from ramet.store.tables import Tables
from ramet.wording import is_text


class Free(NamedTuple):
    """A member that can be leased."""

    member: int
    trained: int
    # The token of its last lease.
    token: int
    # How many leases of this turn ran out and were taken over.
    lost: int
    # When the worker that fell silent with it was last heard of.
    heard_at: float | None


class Rows:
    """The rows of one run."""

    def __init__(self, tables: Tables, name: str) -> None:
        self.name = name
        self._tables = tables
        # The number and the checksum of the last event that was written here.
        self._written: tuple[int, bytes] | None = None
        row = tables.run(name)
        if row is None:
            raise run_not_found(name, sorted(names(tables)))
        self.row: RunRow = read_run(row)

    @property
    def head(self) -> int:
        """The number of the last event."""
        return self.row.head

    def opening(self) -> list[Any]:
        """Return the first event, as ``read_opening`` takes it."""
        return self._tables.all("first_event", run=self.row.id, most_bytes=MOST_BYTES)

    def events(self, after: int, most: int | None = None) -> list[Logged]:
        """Return the events behind a number, at most ``most``."""
        # One by one, because the rows of a long log take as much memory as its events.
        found = self._tables.each(
            "events",
            run=self.row.id,
            after=after,
            most=-1 if most is None else most,
            most_bytes=MOST_BYTES,
        )
        return read_log(self.row, found, after=after, most=most)

    def summary(self) -> Summary | None:
        """Return how the run stood some events ago; None if there is no usable summary."""
        with suppress(RametError):
            return self._summary()
        return None

    def summary_is_damaged(self) -> bool:
        """Say whether there is a summary that cannot be read."""
        try:
            self._summary()
        except UnknownSchema:
            # A summary of this version will replace it.
            return False
        except RametError:
            return True
        return False

    def sum_up_after(self, written: int) -> None:
        """Write a new summary if one is due after so many events; an error never ends a run."""
        if self.head // summaries.EVERY == (self.head - written) // summaries.EVERY:
            return
        # A log that breaks the laws is an error for those who read it, not for those who write to
        # it. An error of ours must not end a run either: all that a summary does is save time.
        try:
            self._sum_up()
        except Exception:
            # The database has rolled the commit back as well.
            if not self._tables.writing:
                raise

    def _sum_up(self) -> None:
        """Write a new summary if one is due."""
        summary = self.summary()
        if not (due := summaries.due(summary, self.head)):
            return
        try:
            self._read_on(summary, due)
        except RametError:
            if summary is None:
                raise
            # The log does not follow from this summary, so it belongs to another log.
            self._read_on(None, due)

    def seats(self) -> list[Seat]:
        """Return how the members stand, and who holds them."""
        return read_seats(self.row, self._tables.seats(self.row.id), now=self._tables.uptime())

    def first_free(self, prefer: int | None) -> Free | None:
        """Return the member to claim, if there is one."""
        first = self._free("first_free")
        if first is None or prefer in {None, first.member}:
            return first
        return self._free("preferred_free", prefer=prefer, trained=first.trained) or first

    def due(self, member: int, turn: int) -> Free | None:
        """Return a member if it can train this turn, even if it is leased."""
        return self._free("due", member=member, turn=turn)

    def lease(self, free: Free, worker: str, ttl_s: float) -> Lease:
        """Give a member to a worker."""
        now, heard_at = self._tables.uptime(), free.heard_at
        lease = Lease(
            run=self.name,
            member=free.member,
            worker=worker,
            token=free.token + 1,
            given_at=now,
            expires_at=0.0,
            head=self.head,
            lost=free.lost + (heard_at is not None),
            silent_s=None if heard_at is None else now - heard_at,
        )
        held, head = self._hold(lease, ttl_s)
        return replace(held, head=head)

    def hold(self, lease: Lease, ttl_s: float) -> Lease:
        """Let a lease last for ``ttl_s`` seconds from now."""
        held, _ = self._hold(lease, ttl_s)
        return held

    def find_held(self, worker: str) -> list[tuple[int, int]]:
        """Return the members that a worker holds, each with its token."""
        return self._tables.all("held_by", run=self.row.id, worker=worker)

    def let_go(self, member: int, token: int) -> None:
        """End a lease, unless another took its place."""
        self._tables.write("let_go", run=self.row.id, member=member, token=token)

    def check_held(self, lease: Lease) -> None:
        """Raise LeaseLost unless this is the member's last lease, and it was not released."""
        worker, token = self._tables.one("holder", run=self.row.id, member=lease.member)
        if worker is None or token != lease.token:
            raise lease_lost(lease, ago_s=self._tables.uptime() - lease.expires_at, holder=worker)

    def holds(self, lease: Lease) -> bool:
        """Say whether this is the member's last lease, and it was not released."""
        worker, token = self._tables.one("holder", run=self.row.id, member=lease.member)
        return (worker, token) == (lease.worker, lease.token)

    def has_written(self, attempt: "Rows") -> bool:
        """Say whether what an attempt has written is on record: its last event, to the bit."""
        if attempt._written is None or attempt.row.id != self.row.id:  # noqa: SLF001 - of the same class
            return False
        number, written = attempt._written  # noqa: SLF001 - the same
        return bool(self._tables.one("checksum", run=self.row.id, number=number) == (written,))

    def delete(self) -> tuple[int, int]:
        """Delete the run; return a number for the next one, and the greatest token of its leases.

        Raise RunInUse while it has a live lease.
        """
        holders = {seat.worker for seat in self.seats() if seat.worker}
        if holders:
            raise run_in_use(self.name, sorted(holders))
        number, token = self._tables.one("next_run", run=self.row.id)
        for table in ("delete_summary", "delete_events", "delete_members", "delete_run"):
            self._tables.write(table, run=self.row.id)
        return number, token

    def check_head(self, after: int | None) -> None:
        """Raise LogMoved if there are events behind this one."""
        if after not in {None, self.head}:
            raise log_moved(self.name, after, self.head)

    def check_copied(self, lease: Lease, copied: Iterable[Standing]) -> None:
        """Raise LogMoved if one of these members has another checkpoint by now."""
        for source in copied:
            (checkpoint,) = self._tables.one("checkpoint", run=self.row.id, member=source.member)
            if checkpoint != source.checkpoint:
                raise source_moved(lease, source)

    def write(self, worker: str, events: Sequence[bytes], *, under: Lease | None = None) -> None:
        """Write events behind the last, with the time that the lease was held."""
        # Floats, as SQLite returns them; a clock may have other numbers.
        at = float(self._tables.now())
        took_s = None if under is None else float(self._tables.uptime() - under.given_at)
        rows = [
            EventRow(self.row.id, number, at, worker, took_s, data)
            for number, data in enumerate(events, self.head + 1)
        ]
        checked = [(*row, checksum(row)) for row in rows]
        self._tables.many("add_event", checked)
        self.row = self.row._replace(head=self.head + len(rows))
        if checked:
            self._written = self.head, checked[-1][-1]

    def put(self, standings: Iterable[Standing], *, writer: int) -> None:
        """Record how members stand, and end their leases."""
        rows = [_member(self.row, after) for after in standings]
        checked = [{**row._asdict(), "writer": writer, "checksum": checksum(row)} for row in rows]
        self._tables.many("put", checked)

    def move_on(self, *, steps: int | None = None, round: int | None = None) -> None:  # noqa: A002 - as in the protocol
        """Record the last event and, if given, a new budget or round."""
        if steps is not None:
            self.row = self.row._replace(steps=steps)
        if round is not None:
            self.row = self.row._replace(round=round)
        self._tables.write("move_on", **self.row._asdict(), checksum=checksum(self.row))

    def _summary(self) -> Summary | None:
        """Return the summary, if there is one; raise if it is damaged or of another run."""
        row = self._tables.one("summary", run=self.row.id)
        if row is None:
            return None
        found, data = row
        if found != digest([data]):
            raise CorruptLog("a summary must be as it was written, but its digest is another")
        summary = summaries.decode(data)
        opening = read_opening(self.row, self.opening())
        summaries.check(summary, opening, head=self.head, steps=self.row.steps)
        return summary

    def _read_on(self, summary: Summary | None, most: int) -> None:
        """Write the summary after the next events."""
        news = self.events(-1 if summary is None else summary.last, most)
        data = summaries.encode(summaries.summarize(summary, news, self.name))
        self._tables.write("sum_up", run=self.row.id, digest=digest([data]), summary=data)

    def _hold(self, lease: Lease, ttl_s: float) -> tuple[Lease, int]:
        held = replace(lease, expires_at=self._tables.uptime() + ttl_s)
        return held, self._tables.hold(self.row.id, held)

    def _free(self, query: str, **values: Any) -> Free | None:
        run = self.row
        row = self._tables.free(query, run=run.id, steps=run.steps, phase=run.round or 0, **values)
        return None if row is None else _whole(Free(*row), run.name)


def names(tables: Tables) -> list[str]:
    """Return the names of the runs, in the order in which they were opened."""
    found = [name for (name,) in tables.all("names")]
    for name in found:
        if not (isinstance(name, str) and is_text(name)):
            raise damage(f"the name of run {name!r}", "it is not text in UTF-8")
    return found


def add_run(
    tables: Tables, opening: RunOpened, *, number: int | None = None, token: int = 0
) -> None:
    """Begin a run without any event.

    Args:
        tables: The tables, in a transaction that writes.
        opening: The run's first event.
        number: The number of the run; None is the next one.
        token: The greatest token of the leases that must not be this run's.
    """
    round_, members = 0 if opening.synchronous else None, fold([opening]).members
    begun = {
        "id": number,
        "name": opening.name,
        "steps": opening.steps,
        "round": round_,
        "members": len(members),
    }
    tables.write("add_run", **begun)
    run = read_run(tables.run(opening.name))
    rows = [_member(run, standing(member)) for member in members]
    tables.many("add_member", [(*row, checksum(row)) for row in rows])
    tables.write("begin_tokens", run=run.id, token=token)


def _member(run: RunRow, after: Standing) -> MemberRow:
    return MemberRow(
        run=run.id,
        member=after.member,
        trained=after.trained,
        step=after.step,
        turn=after.turn,
        # SQLite knows no negative zero.
        score=None if after.score is None else after.score + 0.0,
        checkpoint=after.checkpoint,
        phase=0 if run.round is None else after.turn,
    )


def _whole(free: Free, run: str) -> Free:
    *numbers, heard_at = free
    if all(isinstance(number, int) for number in numbers) and isinstance(heard_at, float | None):
        return free
    raise damage(f"the row of member {free.member!r} of run {run!r}", "its numbers are none")
