"""How large an event may be, and how deep: what no reader would take is not written."""

from pathlib import Path
from typing import Any

import pytest

from ramet.errors import CorruptLog, EventTooLarge
from ramet.events import MOST_BYTES, MOST_DEPTH, Annotated, decode, encode
from ramet.store import SQLiteStore
from ramet.testing.store_steps import begin, claim, end_turn


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """Give a store with a run in which one turn has ended."""
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    begin(store)
    end_turn(store, claim(store))
    return store


def nested(levels: int) -> list[Any]:
    data: list[Any] = []
    for _ in range(levels - 1):
        data = [data]
    return data


def test_an_event_that_is_too_large_is_not_written(store: SQLiteStore) -> None:
    lease = claim(store)
    with pytest.raises(EventTooLarge, match=r"at most 16,777,216 bytes.* Annotated takes 16,777,2"):
        store.commit(lease, [Annotated(member=0, data="x" * MOST_BYTES)], [])
    assert len(store.events("lm")) == 2
    store.commit(lease, [Annotated(member=0, data="x" * (MOST_BYTES - 100))], [])
    assert len(store.events("lm")) == 3


@pytest.mark.parametrize("levels", [MOST_DEPTH, 100_000])
def test_an_event_that_is_nested_too_deep_is_not_written(store: SQLiteStore, levels: int) -> None:
    note = Annotated(member=0, data=nested(levels))
    with pytest.raises(EventTooLarge, match="nested at most 100 deep, but Annotated is deeper"):
        store.commit(claim(store), [note], [])
    assert len(store.events("lm")) == 2


def test_data_as_deep_as_events_may_be_is_read_back() -> None:
    event = Annotated(member=0, data=[nested(MOST_DEPTH - 2), '[[[\\"{' * 100])
    assert decode(encode(event)) == event


@pytest.mark.parametrize("levels", [MOST_DEPTH, 700, 100_000])
def test_an_event_that_is_nested_too_deep_is_refused(levels: int) -> None:
    data = b'{"event":"Annotated","v":1,"member":0,"data":' + b"[" * levels + b"]" * levels + b"}"
    with pytest.raises(CorruptLog, match=r"nested at most 100 deep|[Rr]ecursion"):
        decode(data)


def test_an_excerpt_of_what_is_no_event_is_shown() -> None:
    with pytest.raises(CorruptLog) as refused:
        decode(b"x" * 10_000_000)
    assert len(str(refused.value)) < 1000
