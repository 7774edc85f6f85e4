"""The rows of one run in a database, as one transaction sees and writes them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from ramet.events import MOST_BYTES, Logged, RunOpened, encode, fold
from ramet.laws import LARGEST
from ramet.store.base import Lease, Seat, Standing, find_holders, standing
from ramet.store.checked import (
    RunRow,
    checksum,
    read_log,
    read_run,
    read_seats,
)
from ramet.store.packing import pack
from ramet.store.refusals import (
    damage,
    lease_lost,
    log_moved,
    run_in_use,
    run_not_found,
    source_moved,
)
from ramet.store.tables import Tables
from ramet.wording import is_text

# For each member, the worker that holds it, if one does, and the token of its last lease.
Holders: TypeAlias = dict[int, tuple[str | None, int]]


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
        self.tables = tables
        # The number and the checksum of the last event that was read or written here.
        self.latest: tuple[int, bytes | None] | None = None
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
        return self.tables.all("first_event", run=self.row.id, most_bytes=MOST_BYTES)

    def events(self, after: int, most: int | None = None) -> list[Logged]:
        """Return the events behind a number, at most ``most``."""
        # One by one, because the rows of a long log take as much memory as its events.
        found = self.tables.each(
            "events",
            run=self.row.id,
            after=after,
            last=LARGEST if most is None else after + most,
            most_bytes=MOST_BYTES,
        )
        return read_log(self.row, self._watch(found), after=after, most=most)

    def _watch(self, found: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Yield rows of events, and remember the last."""
        row = None
        for row in found:
            yield row
        if row is not None:
            self.latest = row[1], row[-1]

    def seats(self) -> list[Seat]:
        """Return how the members stand, and who holds them."""
        return read_seats(self.row, self.tables.seats(self.row.id), now=self.tables.uptime())

    def first_free(self, prefer: int | None, among: Collection[int] | None = None) -> Free | None:
        """Return the member to claim, if there is one; ``among`` is None for all members."""
        first = self._free("first_free", among=among)
        if first is None or prefer in {None, first.member}:
            return first
        preferred = self._free("preferred_free", among=among, prefer=prefer, trained=first.trained)
        return preferred or first

    def find_free(self) -> list[Free]:
        """Return all members that are free, those that trained least first."""
        run = self.row
        rows = self.tables.all_free(run=run.id, steps=run.steps, phase=run.round or 0)
        return [_whole(row, run.name) for row in rows]

    def due(self, member: int, turn: int) -> Free | None:
        """Return a member if it can train this turn, even if it is leased."""
        return self._free("due", member=member, turn=turn)

    def lease(self, free: Free, worker: str, ttl_s: float) -> Lease:
        """Give a member to a worker."""
        [lease] = self.lease_all([free], worker, ttl_s)
        return lease

    def lease_all(self, free: Iterable[Free], worker: str, ttl_s: float) -> list[Lease]:
        """Give members to a worker."""
        now = self.tables.uptime()
        leases = [
            Lease(
                run=self.name,
                member=member,
                worker=worker,
                token=token + 1,
                given_at=now,
                expires_at=now + ttl_s,
                head=self.head,
                lost=lost + (heard_at is not None),
                silent_s=None if heard_at is None else now - heard_at,
            )
            for member, _, token, lost, heard_at in free
        ]
        head = self.tables.hold(self.row.id, leases, now)
        return [replace(its, head=head) for its in leases] if head != self.head else leases

    def hold(self, lease: Lease, ttl_s: float) -> Lease:
        """Let a lease last for ``ttl_s`` seconds from now."""
        [held] = self.hold_all([lease], ttl_s)
        return held

    def hold_all(self, leases: Iterable[Lease], ttl_s: float) -> list[Lease]:
        """Let leases last for ``ttl_s`` seconds from now."""
        now = self.tables.uptime()
        held = [replace(lease, expires_at=now + ttl_s) for lease in leases]
        self.tables.hold(self.row.id, held, now)
        return held

    def find_holders(self, leases: Iterable[Lease]) -> Holders:
        """Return which worker holds the member of each lease, if one does, and by which token."""
        members = sorted({lease.member for lease in leases})
        found = self.tables.holders(self.row.id, members, of=self.row.members)
        return {member: (worker, token) for member, worker, token in found}

    def find_held(self, worker: str) -> list[tuple[int, int]]:
        """Return the members that a worker holds, each with its token."""
        return self.tables.all("held_by", run=self.row.id, worker=worker)

    def let_go(self, member: int, token: int) -> None:
        """End a lease, unless another took its place."""
        self.tables.write("let_go", run=self.row.id, member=member, token=token)

    def check_held(self, *leases: Lease) -> None:
        """Raise LeaseLost unless each is its member's last lease, and was not released."""
        holders = self.find_holders(leases)
        for lease in leases:
            if not is_held(lease, holders):
                ago_s = self.tables.uptime() - lease.expires_at
                raise lease_lost(lease, ago_s=ago_s, holder=holders[lease.member][0])

    def has_written(self, attempt: "Rows") -> bool:
        """Say whether what an attempt has written is on record: its last event, to the bit."""
        if attempt.latest is None or attempt.row.id != self.row.id:
            return False
        number, written = attempt.latest
        return bool(self.tables.one("checksum", run=self.row.id, number=number) == (written,))

    def check_unused(self, deed: str, *, but: str | None = None) -> None:
        """Raise RunInUse while a worker, other than ``but``, has a live lease of the run."""
        if others := find_holders(self.seats()) - {but}:
            raise run_in_use(self.name, sorted(others), deed=deed)

    def delete(self) -> tuple[int, int]:
        """Delete the run; return a number for the next one, and the greatest token of its leases.

        No worker may hold a lease of it.
        """
        number, token = self.tables.one("next_run", run=self.row.id)
        for table in ("delete_summary", "delete_events", "delete_members", "delete_run"):
            self.tables.write(table, run=self.row.id)
        return number, token

    def check_head(self, after: int | None) -> None:
        """Raise LogMoved if there are events behind this one."""
        if after not in {None, self.head}:
            raise log_moved(self.name, after, self.head)

    def check_copied(self, lease: Lease, copied: Iterable[Standing]) -> None:
        """Raise LogMoved if one of these members has another checkpoint by now."""
        for source in copied:
            (checkpoint,) = self.tables.one("checkpoint", run=self.row.id, member=source.member)
            if checkpoint != source.checkpoint:
                raise source_moved(lease, source)

    def write(self, worker: str, events: Sequence[bytes], *, under: Lease | None = None) -> None:
        """Write events behind the last, with the time that the lease was held."""
        # Floats, as SQLite returns them; a clock may have other numbers.
        at = float(self.tables.now())
        took_s = None if under is None else float(self.tables.uptime() - under.given_at)
        run, last, checked = self.row.id, self.head, []
        for count, data in pack(events):
            last += count
            row = (run, last, at, worker, took_s, data)
            checked.append((*row, checksum(row)))
        self.tables.many("add_event", checked)
        self.row = self.row._replace(head=last)
        if checked:
            self.latest = last, checked[-1][-1]

    def put(self, standings: Collection[Standing], *, under: Iterable[Lease]) -> None:
        """Record how members stand, and end their leases and those that this is written under."""
        tokens = {lease.member: lease.token for lease in under}
        run, phased, checked = self.row.id, self.row.round is not None, []
        for after in standings:
            row = _member(run, after, phased=phased)
            revoked = after.member not in tokens
            checked.append((*row[2:], checksum(row), revoked, after.turn, run, after.member))
        self.tables.many("put", checked)
        for member in tokens.keys() - {after.member for after in standings}:
            self.let_go(member, tokens[member])

    def move_on(self, *, steps: int | None = None, round: int | None = None) -> None:  # noqa: A002 - as in the protocol
        """Record the last event and, if given, a new budget or round."""
        if steps is not None:
            self.row = self.row._replace(steps=steps)
        if round is not None:
            self.row = self.row._replace(round=round)
        self.tables.write("move_on", **self.row._asdict(), checksum=checksum(self.row))

    def _free(self, query: str, **values: Any) -> Free | None:
        run = self.row
        row = self.tables.free(query, run=run.id, steps=run.steps, phase=run.round or 0, **values)
        return None if row is None else _whole(row, run.name)


def is_held(lease: Lease, holders: Holders) -> bool:
    """Say whether a lease is its member's last one, and was not released."""
    # The worker too: a database that crashed may have forgotten a lease and give its token again.
    return holders[lease.member] == (lease.worker, lease.token)


def names(tables: Tables) -> list[str]:
    """Return the names of the runs, in the order in which they were opened."""
    found = [name for (name,) in tables.all("names")]
    for name in found:
        if not (isinstance(name, str) and is_text(name)):
            raise damage(f"the name of run {name!r}", "it is not text in UTF-8")
    return found


def begin_run(
    tables: Tables,
    opening: RunOpened,
    *,
    worker: str,
    anew: bool,
    lock: Callable[[Rows], object] = lambda _: None,
) -> Rows:
    """Begin a run with its first event, unless there is one of its name.

    Args:
        tables: The tables, in a transaction that writes.
        opening: The run's first event.
        worker: The worker that begins it.
        anew: Whether it takes the place of a run of its name.
        lock: What keeps others from leasing members of that run.
    """
    number, token = None, 0
    # Another worker may have begun it meanwhile.
    if opening.name in names(tables):
        before = Rows(tables, opening.name)
        if not anew:
            return before
        lock(before)
        before.check_unused("overwritten")
        number, token = before.delete()
    add_run(tables, opening, number=number, token=token)
    rows = Rows(tables, opening.name)
    rows.write(worker, [encode(opening)])
    rows.move_on()
    return rows


def add_run(tables: Tables, opening: RunOpened, *, number: int | None, token: int) -> None:
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
    phased = run.round is not None
    rows = [_member(run.id, standing(member), phased=phased) for member in members]
    tables.many("add_member", [(*row, checksum(row)) for row in rows])
    tables.write("begin_tokens", run=run.id, token=token)


def _member(run: int, after: Standing, *, phased: bool) -> tuple[Any, ...]:
    """Return the columns of a ``MemberRow``, without its names, which take longer to make."""
    # SQLite knows no negative zero.
    score = None if after.score is None else after.score + 0.0
    phase = after.turn if phased else 0
    return (
        run,
        after.member,
        after.trained,
        after.step,
        after.turn,
        score,
        after.checkpoint,
        phase,
    )


def _whole(row: tuple[Any, ...], run: str) -> Free:
    member, trained, token, lost, heard_at = row
    heard = heard_at is None or type(heard_at) is float
    if heard and type(member) is type(trained) is type(token) is type(lost) is int:
        return Free(member, trained, token, lost, heard_at)
    raise damage(f"the row of member {member!r} of run {run!r}", "its numbers are none")
