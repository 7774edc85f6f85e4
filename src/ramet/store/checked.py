"""Rows as they were written: whatever is read is held against its checksum."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import xxhash

from ramet.errors import CorruptLog
from ramet.events import MOST_BYTES, Logged, RunOpened, decode
from ramet.store.base import Seat, Standing
from ramet.store.refusals import damage


class RunRow(NamedTuple):
    """A run as it is kept."""

    id: int
    name: str
    # The budget of each member.
    steps: int
    # None in an asynchronous run.
    round: int | None
    # The number of the last event.
    head: int
    # How many there are.
    members: int
    # The number of the first event that has a checksum.
    checked_from: int


class EventRow(NamedTuple):
    """An event as it is kept."""

    run: int
    number: int
    at: float
    worker: str
    took_s: float | None
    # JSON.
    event: bytes


class MemberRow(NamedTuple):
    """How a member stands, as it is kept."""

    run: int
    member: int
    trained: int
    step: int
    turn: int
    score: float | None
    checkpoint: str | None
    phase: int


class LeaseRow(NamedTuple):
    """Who holds a member, as it is kept; it has no checksum."""

    worker: str | None
    heard_at: float | None


def checksum(row: tuple[Any, ...]) -> bytes:
    """Return what tells a row from what it may turn into by damage; forgery is another matter.

    >>> row = EventRow(1, 7, 1.5, "gpu-17", None, b"{}")
    >>> checksum(row) == checksum(row._replace(worker="gpu-16"))
    False
    """
    return xxhash.xxh3_64_digest(_packed(row))


def read_run(columns: tuple[Any, ...]) -> RunRow:
    """Return a run."""
    row = RunRow(*columns[:-1])
    if (why := _find_fault(row, columns[-1], RunRow)) is not None:
        raise damage(f"the row of run {row.name!r}", why)
    return row


def read_log(
    run: RunRow, found: Iterable[tuple[Any, ...]], *, after: int, most: int | None = None
) -> list[Logged]:
    """Return the events behind a number, up to the last or ``most`` of them, without gaps."""
    log = [_read_event(run, place, columns) for place, columns in enumerate(found, after + 1)]
    last = run.head if most is None else min(run.head, after + most)
    if (missing := after + 1 + len(log)) <= last:
        raise damage(_event(run, missing), "it is missing")
    return log


def read_opening(run: RunRow, found: Sequence[tuple[Any, ...]]) -> RunOpened:
    """Return the first event, which a run begins with."""
    (logged,) = read_log(run._replace(head=0), found, after=-1)
    assert isinstance(logged.event, RunOpened)  # noqa: S101 - _read_event has seen to it
    return logged.event


def read_seats(run: RunRow, found: Sequence[tuple[Any, ...]], *, now: float) -> list[Seat]:
    """Return how all members stand, and who holds them."""
    seats = [_seat(run, columns, now=now) for columns in found]
    there = [seat.standing.member for seat in seats]
    # Their number first: a forged one may be too large to count up to.
    if len(there) != run.members or there != list(range(len(there))):
        why = f"it has {run.members} members, but {len(seats)} rows of them"
        raise damage(f"run {run.name!r}", why)
    return seats


def _read_event(run: RunRow, place: int, columns: tuple[Any, ...]) -> Logged:
    _, number, at, worker, took_s, data, found = columns
    if number != place:
        raise damage(_event(run, place), f"event {number!r} stands in its place")
    if data is None:
        raise damage(_event(run, place), f"it is not JSON of at most {MOST_BYTES:,} bytes")
    if found is None and number >= run.checked_from:
        raise damage(_event(run, place), "its checksum is missing")
    if (why := _find_fault(columns[:-1], found, EventRow)) is not None:
        raise damage(_event(run, place), why)
    try:
        event = decode(data)
    except CorruptLog as error:
        raise damage(_event(run, place), str(error)) from error
    if number == 0 and not (isinstance(event, RunOpened) and event.name == run.name):
        raise damage(_event(run, place), "it is not how a run of that name begins")
    # A log names few workers, and each very often.
    its = sys.intern(worker)
    return Logged(number=number, at=at, worker=its, took_s=took_s, event=event)


def _seat(run: RunRow, columns: tuple[Any, ...], *, now: float) -> Seat:
    *_, found, worker, heard_at, live = columns
    row, lease = columns[:-4], (worker, heard_at)
    why = _find_fault(row, found, MemberRow)
    if why is None and lease != (None, None):
        why = _find_fault(lease, None, LeaseRow)
    _, member, trained, step, turn, score, checkpoint, _ = row
    if why is not None:
        raise damage(f"the row of member {member!r} of run {run.name!r}", why)
    standing = Standing(
        member=member, trained=trained, step=step, turn=turn, score=score, checkpoint=checkpoint
    )
    if not live or heard_at is None:
        return Seat(standing=standing)
    return Seat(standing=standing, worker=worker, silent_s=now - heard_at)


def _find_fault(columns: tuple[Any, ...], found: object, kind: type[NamedTuple]) -> str | None:
    """Say what is wrong with a row; without a checksum, only its types can be."""
    try:
        computed = checksum(columns)
        # Of rows that were forged as well. As a plain tuple: a row is taken for what it says it is.
        msgspec.convert(tuple(columns), kind)
        if found is None:
            return None
    except UnicodeEncodeError:
        return "it has text that is not UTF-8"
    except msgspec.ValidationError as error:
        return f"it has another type: {error}"
    return None if computed == found else "its checksum says that it has changed since"


def _event(run: RunRow, number: int) -> str:
    return f"event {number} of run {run.name!r}"


_packed = msgspec.msgpack.Encoder().encode
