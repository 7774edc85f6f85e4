"""Stores that a disk or a copy damaged: nothing is read that was not written like this."""

import math
import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.errors import CorruptLog, CorruptStore, StoreError
from ramet.events import Annotated
from ramet.places import existing
from ramet.store import SQLiteStore, Standing
from ramet.store.checked import EventRow, checksum
from ramet.testing import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, opening, standings
from tests.store.older import make_older
from tests.store.soundness import wrong_with


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    """Give a store with a run of three members, of which two have ended a turn."""
    store = SQLiteStore(path, durability="process", clock=FakeClock())
    begin(store)
    for _ in range(2):
        end_turn(store, claim(store))
    return store


def write(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(statement, values)


def read(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def flips(value: object) -> list[object]:
    """Return what a column's value becomes if one bit of it flips, for each of its bits."""
    data = kept(value)
    flipped = []
    for bit in range(8 * len(data)):
        other = bytearray(data)
        other[bit // 8] ^= 1 << bit % 8
        flipped.append(like(value, bytes(other)))
    # SQLite takes negative zero for zero.
    return [other for other in flipped if other != value]


def kept(value: object) -> bytes:
    """Return the bytes of a value, as SQLite keeps them."""
    match value:
        case bytes():
            return value
        case str():
            return value.encode()
        case float():
            return struct.pack(">d", value)
        case int():
            return struct.pack(">q", value)
    return b""


def like(value: object, data: bytes) -> object:
    """Return the value of the same type that bytes are; SQLite has no NaN."""
    match value:
        case float():
            (number,) = struct.unpack(">d", data)
            return "NaN" if math.isnan(number) else number
        case int():
            return struct.unpack(">q", data)[0]
    return data


COLUMNS = {
    "events": ("number", ("at", "worker", "took_s", "event", "checksum")),
    "members": ("member", ("trained", "step", "turn", "score", "checkpoint", "phase", "checksum")),
    "runs": ("id", ("steps", "round", "head", "members", "checked_from", "checksum")),
}


@pytest.mark.parametrize("table", COLUMNS)
def test_any_bit_that_flips_in_a_row_is_noticed_when_it_is_read(
    store: SQLiteStore, path: Path, table: str
) -> None:
    key, columns = COLUMNS[table]
    chance, noticed = random.Random(0), 0  # noqa: S311 - which bits flip
    for column in columns:
        for row, value in read(path, f"SELECT {key}, {column} FROM {table}"):
            put = f"UPDATE {table} SET {column} = {{}} WHERE {key} = {row}"
            damage = put.format("CAST(? AS TEXT)" if isinstance(value, str) else "?")
            for flipped in sample(flips(value), 200, chance):
                write(path, damage, flipped)
                with pytest.raises(CorruptLog, match=r"run 'lm' does not: "):
                    store.events("lm"), store.seats("lm")
                noticed += 1
            write(path, put.format("?"), value)
    assert noticed > 200
    assert wrong_with(store) == []


def sample(values: list[object], most: int, chance: random.Random) -> list[object]:
    return chance.sample(values, min(len(values), most))


def train(session: ramet.Session) -> None:
    state = {"w": session.rng.normal(size=2)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] *= 1 - turn.hparams["lr"]
        turn.report(float(abs(state["w"]).sum()))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Give a file that holds all of two runs, without companions."""
    path = tmp_path / "trained.db"
    for name, synchronous in (("rounds", True), ("free", False)):
        ramet.run(
            train,
            ramet.Space(lr=ramet.LogUniform(1e-3, 1.0)),
            ramet.PBT(population=5, turn_steps=5, synchronous=synchronous),
            steps=10,
            mode="min",
            seed=0,
            name=name,
            store=ramet.Storage(path, durability="process"),
        )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def reads(path: Path) -> object:
    """Return all that a store says of its runs."""
    place = existing(path)
    try:
        store = place.store
        return [
            (name, store.opening(name), store.events(name), store.seats(name))
            for name in store.runs()
        ]
    finally:
        place.close()


@pytest.mark.slow
def test_a_file_with_any_bit_flipped_is_read_as_it_was_or_refused(
    trained: Path, tmp_path: Path
) -> None:
    whole, refused = trained.read_bytes(), 0
    chance = random.Random(0)  # noqa: S311 - which bits flip
    expected, path = reads(trained), tmp_path / "flipped.db"
    for _ in range(1500):
        data, bit = bytearray(whole), chance.randrange(8 * len(whole))
        data[bit // 8] ^= 1 << bit % 8
        for companion in path.parent.glob(path.name + "-*"):
            companion.unlink()
        path.write_bytes(data)
        try:
            assert reads(path) == expected, bit
        except StoreError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM events WHERE number = 2", r"event 2 of run 'lm' .* it is missing"),
        ("DELETE FROM events WHERE number = 0", r"event 0 of run 'lm' .* event 1 stands in"),
        ("DELETE FROM events", r"event 0 of run 'lm' .* it is missing"),
        ("UPDATE events SET checksum = NULL WHERE number = 1", r"event 1 .* its checksum is miss"),
        ("UPDATE events SET event = 5000000000 WHERE number = 1", r"event 1 .* has changed since"),
        ("UPDATE events SET event = zeroblob(17825792) WHERE number = 1", r"event 1 .* at most 16"),
        ("DELETE FROM members WHERE member = 2", r"run 'lm' .* 3 members, but 2 rows"),
        ("UPDATE members SET worker = CAST(x'ff' AS TEXT)", r"member 0 of run 'lm' .* not UTF-8"),
        ("UPDATE members SET heard_at = 'x'", r"member 0 of run 'lm' .* another type"),
    ],
)
def test_what_a_damaged_store_has_lost_is_named(
    store: SQLiteStore, path: Path, damage: str, said: str
) -> None:
    write(path, damage)
    with pytest.raises(CorruptLog, match=said):
        store.events("lm"), store.seats("lm")
    assert any("'lm' does not" in line for line in wrong_with(store))


def test_two_events_that_changed_places_are_noticed(store: SQLiteStore, path: Path) -> None:
    for number, place in ((1, 9), (2, 1), (9, 2)):
        write(path, "UPDATE events SET number = ? WHERE number = ?", place, number)
    with pytest.raises(CorruptLog, match="event 1 of run 'lm' does not"):
        store.events("lm")


def test_an_opening_of_another_run_is_noticed(store: SQLiteStore, path: Path) -> None:
    write(path, "UPDATE runs SET name = 'ln', checksum = NULL")
    with pytest.raises(CorruptLog, match="not how a run of that name begins"):
        store.opening("ln")


def test_a_run_does_not_go_on_from_members_that_changed(store: SQLiteStore, path: Path) -> None:
    write(path, "UPDATE members SET trained = 10000 WHERE member = 1")
    with pytest.raises(CorruptLog, match="the row of member 1 of run 'lm'"):
        store.open_run(opening(), worker="late")


def test_a_run_name_that_is_no_text_is_named(store: SQLiteStore, path: Path) -> None:
    write(path, "UPDATE runs SET name = CAST(x'ff' AS TEXT)")
    store.close()
    with pytest.raises(CorruptLog, match=r"the name of run .* not text in UTF-8"):
        SQLiteStore(path)


def test_a_schema_that_is_no_text_is_damage(store: SQLiteStore, path: Path) -> None:
    store.close()
    # SQLite quotes what it cannot read.
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE runs", b"CREATE TABL\xc5 runs"))
    with pytest.raises(CorruptStore, match="is damaged"):
        SQLiteStore(path)


@pytest.fixture
def old(store: SQLiteStore, path: Path) -> Path:
    """Give a store from before there were checksums."""
    store.close()
    make_older(path, 3)
    return path


def test_an_older_store_is_read_and_gone_on_with(old: Path) -> None:
    store = SQLiteStore(old, clock=FakeClock())
    assert len(store.events("lm")) == 3
    assert len(store.seats("lm")) == 3
    end_turn(store, claim(store))
    assert wrong_with(store) == []
    found = [checksum for (checksum,) in read(old, "SELECT checksum FROM events ORDER BY number")]
    assert [len(checksum or b"") for checksum in found] == [0, 0, 0, 8]
    write(old, "UPDATE events SET at = 7 WHERE number = 3")
    with pytest.raises(CorruptLog, match="event 3 of run 'lm'"):
        store.events("lm")


@pytest.mark.parametrize("value", ["x'ff'", "CAST(x'ff' AS TEXT)", "CAST(x'80' AS TEXT)"])
@pytest.mark.parametrize("column", ["event", "worker", "at", "took_s"])
def test_an_older_event_that_is_not_text_or_a_number_is_named(
    old: Path, column: str, value: str
) -> None:
    write(old, f"UPDATE events SET {column} = {value} WHERE number = 1")
    with pytest.raises(CorruptLog, match="event 1 of run 'lm'"):
        SQLiteStore(old).events("lm")


@pytest.mark.parametrize("event", ["5", "5000000000", "1e300", "''", "'x'", "'[1]'", "x'00'"])
def test_an_older_event_that_is_no_json_of_an_event_is_named(old: Path, event: str) -> None:
    write(old, f"UPDATE events SET event = {event} WHERE number = 1")
    with pytest.raises(CorruptLog, match="event 1 of run 'lm'"):
        SQLiteStore(old).events("lm")


def test_checksums_stay_what_they_are() -> None:
    row = EventRow(1, 7, 1.5, "gpu-17", None, b'{"event":"Stopped"}')
    assert checksum(row).hex() == "d92a5e515d914caa"


def test_a_score_of_negative_zero_is_no_damage(store: SQLiteStore) -> None:
    lease = claim(store)
    standing = Standing(member=lease.member, trained=10, step=10, turn=1, score=-0.0)
    store.commit(lease, [Annotated(member=lease.member, data=-0.0)], [standing])
    assert standings(store)[lease.member].score == 0.0
