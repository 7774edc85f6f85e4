"""Events that were written together share rows: nothing else is read of these than was written."""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ramet.errors import CorruptLog, UnknownSchema
from ramet.events import Annotated
from ramet.store import SQLiteStore
from ramet.store.checked import EventRow, checksum
from ramet.store.packing import MOST_BYTES, MOST_EVENTS, pack, unpack
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn
from tests.store.soundness import wrong_with


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    """Give a store with event 0, then 1 to 5, written together, and 6."""
    store = SQLiteStore(path, durability="process", clock=FakeClock())
    begin(store)
    commit_notes(store, 5)
    end_turn(store, claim(store))
    return store


def commit_notes(store: SQLiteStore, many: int, *, size: int = 1) -> None:
    lease = claim(store)
    notes = [Annotated(member=lease.member, data="x" * size) for _ in range(many)]
    store.commit(lease, notes, [])


def rows(path: Path) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT number, event FROM events ORDER BY number").fetchall()


def forge(path: Path, number: int, data: bytes, *, place: int | None = None) -> None:
    """Put another row in the place of one, with the right checksum."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        query = "SELECT run, number, at, worker, took_s, event FROM events WHERE number = ?"
        row = EventRow(*connection.execute(query, (number,)).fetchone())
        row = row._replace(number=number if place is None else place, event=data)
        connection.execute("DELETE FROM events WHERE number = ?", (number,))
        connection.execute(
            "INSERT INTO events (run, number, at, worker, took_s, event, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, checksum(row)),
        )


def test_a_commit_takes_one_row_with_the_number_of_its_last_event(
    store: SQLiteStore, path: Path
) -> None:
    assert [(number, data[:1]) for number, data in rows(path)] == [(0, b"{"), (5, b"["), (6, b"{")]
    assert wrong_with(store) == []


def test_a_row_has_a_limited_number_of_events(store: SQLiteStore, path: Path) -> None:
    commit_notes(store, 2 * MOST_EVENTS + 1)
    numbers = [6 + MOST_EVENTS, 6 + 2 * MOST_EVENTS, 7 + 2 * MOST_EVENTS]
    assert [number for number, _ in rows(path)] == [0, 5, 6, *numbers]
    assert wrong_with(store) == []


def test_a_row_with_several_events_has_a_limited_size(store: SQLiteStore, path: Path) -> None:
    commit_notes(store, 4, size=MOST_BYTES // 3)
    commit_notes(store, 2, size=MOST_BYTES + 1)
    assert [number for number, _ in rows(path)] == [0, 5, 6, 8, 10, 11, 12]
    assert wrong_with(store) == []


@pytest.mark.parametrize("sizes", [[], [2], [2] * 300, [MOST_BYTES, 2, 2], [2, MOST_BYTES, 2]])
def test_what_was_packed_is_unpacked(sizes: Sequence[int]) -> None:
    events = [b'{"x":"%b"}' % (b"x" * size) for size in sizes]
    packs = list(pack(events))
    assert [event for _, data in packs for event in unpack(data)] == events
    assert sum(count for count, _ in packs) == len(events)


def test_any_bit_that_flips_in_a_row_of_several_events_is_noticed(
    store: SQLiteStore, path: Path
) -> None:
    (_, data) = rows(path)[1]
    chance = random.Random(0)  # noqa: S311 - which bits flip
    for bit in chance.sample(range(8 * len(data)), 200):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE events SET event = ? WHERE number = 5", (bytes(flipped),))
        for after in (-1, 3):
            with pytest.raises(CorruptLog, match=r"event \d of run 'lm' does not: "):
                store.events("lm", after)


NOTE = b'{"event":"Annotated","v":1,"member":0,"data":1}'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "event 1 .* event 6 stands in its place"),
        (b"[" + b",".join([NOTE] * 4) + b"]", "event 1 .* event 2 stands in its place"),
        (b"[" + b",".join([NOTE] * 6) + b"]", "event 1 .* event 0 stands in its place"),
        (NOTE, "event 1 .* event 5 stands in its place"),
        (b"[" + NOTE, "event 1 .* it is in no list of events"),
        (b"[\xff]", "event 1 .* it is in no list of events"),
        (b"[" * 100_000, "event 1 .* it is in no list of events"),
        (b"[[],[],[],[],[]]", "event 1 .* an event must be"),
        (b"[" + b",".join([NOTE, NOTE, b"5", NOTE, NOTE]) + b"]", "event 3 .* an event must be"),
        (
            b"[" + b",".join([*[NOTE] * 4, NOTE.replace(b'"v":1', b'"v":2')]) + b"]",
            "this one is of schema 2",
        ),
    ],
)
def test_a_row_that_does_not_hold_the_events_up_to_its_number_is_refused(
    store: SQLiteStore, path: Path, data: bytes, said: str
) -> None:
    forge(path, 5, data)
    with pytest.raises((CorruptLog, UnknownSchema), match=said):
        store.events("lm")


def test_a_row_with_events_that_came_before_is_refused(store: SQLiteStore, path: Path) -> None:
    forge(path, 6, b"[" + NOTE + b"," + NOTE + b"]")
    with pytest.raises(CorruptLog, match=r"event 6 .* event 5 stands in its place"):
        store.events("lm")


def test_an_opening_that_shares_its_row_is_refused(store: SQLiteStore, path: Path) -> None:
    forge(path, 0, b"[" + rows(path)[0][1] + b"," + NOTE + b"]")
    with pytest.raises(CorruptLog, match=r"event 0 .* it is not how a run of that name begins"):
        store.opening("lm")


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b",".join([b"{}"] * (MOST_EVENTS + 1)) + b"]",
        b"[" + b" " * (MOST_BYTES + MOST_EVENTS + 2) + b"]",
    ],
    ids=["events", "bytes"],
)
def test_a_list_longer_than_any_that_is_written_is_not_decoded(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpack(data)
    longest = b"{%b}" % (b" " * (MOST_BYTES // MOST_EVENTS - 2))
    [(count, row)] = pack([longest] * MOST_EVENTS)
    assert len(unpack(row)) == count == MOST_EVENTS
