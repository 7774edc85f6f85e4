"""Reads rows, and compares each with its checksum."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import xxhash

from ramet.errors import CorruptLog
from ramet.events import MOST_BYTES, AnyEvent, Logged, RunOpened, decode
from ramet.store.base import Seat, Standing
from ramet.store.packing import unpack
from ramet.store.refusals import damage


class RunRow(NamedTuple):
    """The row of a run."""

    id: int
    name: str
    # The budget of each member.
    steps: int
    # None in an asynchronous run.
    round: int | None
    # The number of the last event.
    head: int
    # The number of members.
    members: int
    # The number of the first event that has a checksum.
    checked_from: int


class EventRow(NamedTuple):
    """A row of the log: an event, or several of one commit."""

    run: int
    # That of its last event.
    number: int
    at: float
    worker: str
    took_s: float | None
    # JSON; a list if there are several.
    event: bytes


class MemberRow(NamedTuple):
    """The row of a member, which says how it stands."""

    run: int
    member: int
    trained: int
    step: int
    turn: int
    score: float | None
    checkpoint: str | None
    phase: int


class LeaseRow(NamedTuple):
    """The columns of a member's lease, which have no checksum."""

    worker: str | None
    heard_at: float | None


def checksum(row: tuple[Any, ...]) -> bytes:
    """Return the checksum of a row. It detects damage, but not forgery.

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
    """Return the events behind a number, at most ``most``; raise CorruptLog if one is missing."""
    log: list[Logged] = []
    for columns in found:
        _read_row(run, columns, log, due=after + 1 + len(log))
    last = run.head if most is None else min(run.head, after + most)
    if (missing := after + 1 + len(log)) <= last:
        raise damage(_event(run, missing), "it is missing")
    return log if most is None else log[:most]


def read_opening(run: RunRow, found: Sequence[tuple[Any, ...]]) -> RunOpened:
    """Return the first event of a run."""
    (logged,) = read_log(run._replace(head=0), found, after=-1)
    assert isinstance(logged.event, RunOpened)  # noqa: S101 - _read_event has seen to it
    return logged.event


def read_seats(run: RunRow, found: Sequence[tuple[Any, ...]], *, now: float) -> list[Seat]:
    """Return how all members stand, and which workers hold them."""
    seats = [_seat(run, columns, now=now) for columns in found]
    there = [seat.standing.member for seat in seats]
    # The number first: a forged one may be too large for a range.
    if len(there) != run.members or there != list(range(len(there))):
        why = f"it has {run.members} members, but {len(seats)} rows of them"
        raise damage(f"run {run.name!r}", why)
    return seats


def _read_row(run: RunRow, columns: tuple[Any, ...], log: list[Logged], *, due: int) -> None:
    """Add the events of a row to a log, from the one that is due on."""
    _, last, at, worker, took_s, data, found = columns
    if data is None:
        raise damage(_event(run, due), f"it is not JSON of at most {MOST_BYTES:,} bytes")
    if found is None and (type(last) is not int or last >= run.checked_from):
        raise damage(_event(run, due), "its checksum is missing")
    if (why := _find_fault(columns[:-1], found, EventRow)) is not None:
        raise damage(_event(run, due), why)
    # A log has few names of workers, each very often.
    its = sys.intern(worker)
    if last == due and not data.startswith(b"["):
        event = _read_event(run, due, data)
        log.append(Logged(number=due, at=at, worker=its, took_s=took_s, event=event))
        return
    try:
        events = unpack(data)
    except _NOT_LISTS as error:
        raise damage(_event(run, due), f"it is in no list of events: {error}") from error
    first = last - len(events) + 1
    # Only the first row may have events before those that are wanted.
    if first != due and (log or not first < due <= last):
        raise damage(_event(run, due), f"event {first!r} stands in its place")
    for number in range(due, last + 1):
        event = _read_event(run, number, events[number - first])
        log.append(Logged(number=number, at=at, worker=its, took_s=took_s, event=event))


def _read_event(run: RunRow, number: int, data: bytes) -> AnyEvent:
    try:
        event = decode(data)
    except CorruptLog as error:
        raise damage(_event(run, number), str(error)) from error
    if number == 0 and not (isinstance(event, RunOpened) and event.name == run.name):
        raise damage(_event(run, number), "it is not how a run of that name begins")
    return event


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
    """Say what is wrong with a row; without a checksum, only its types are checked."""
    try:
        computed = checksum(columns)
        # The types too, because a row may be forged. A plain tuple, or msgspec checks nothing.
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
_NOT_LISTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
