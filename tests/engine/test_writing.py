"""Checkpoints that are written from a thread, while what follows from their turns is decided."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs.memory import MemoryBlobs
from ramet.digest import Buffer
from ramet.engine.run import writing
from ramet.errors import StoreFull
from ramet.events import TurnEnded
from ramet.state.stacks import Stack
from ramet.store import MemoryStore, SQLiteStore

MEMBERS = 6
SPACE = ramet.Space(lr=ramet.Uniform(0.0, 1.0))
PBT = ramet.PBT(population=MEMBERS, turn_steps=4, synchronous=True)


@pytest.fixture(autouse=True, params=[0, 1 << 40], ids=["from-a-thread", "here"])
def threads_from_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(writing, "THREAD_FROM_BYTES", request.param)
    bytes_: int = request.param
    return bytes_


class Noting(MemoryBlobs):
    """Notes what happens, and fails if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.error: Exception | None = None
        self.threads: set[str] = set()

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        super().put(run, key, chunks)
        self.said.append("put")


class NotingStore(MemoryStore):
    """Notes its commits where the blobs note what they do."""

    def __init__(self, blobs: Noting) -> None:
        super().__init__()
        self._blobs = blobs

    def commit(self, *args: Any, **named: Any) -> int:
        self._blobs.said.append("commit")
        return super().commit(*args, **named)


def open_in(store: Any, blobs: Any, **settings: Any) -> ramet.Run:
    return ramet.open(
        ramet.Storage(store, blobs=blobs),
        name="run",
        space=SPACE,
        strategy=PBT,
        steps=16,
        mode="max",
        seed=0,
        **settings,
    )


def tell_all(run: ramet.Run, turns: Sequence[ramet.Turn]) -> None:
    for turn in turns:
        turn.hparams["lr"]
        turn.begin()
    states = Stack({"w": np.arange(float(len(turns)))}, rows=len(turns))
    run.tell_all(turns, [float(turn.member) for turn in turns], states=states)


def ended(run: ramet.Run) -> int:
    return sum(isinstance(event, TurnEnded) for event in run.result().events)


def test_a_checkpoint_is_written_before_an_event_names_it(threads_from_bytes: int) -> None:
    blobs = Noting()
    run = open_in(NotingStore(blobs), blobs)
    tell_all(run, run.ask_all())

    assert blobs.said == ["put", "commit"]
    assert (blobs.threads == {"ramet-blobs"}) == (threads_from_bytes == 0)
    assert ended(run) == MEMBERS


def test_what_cannot_be_written_is_on_no_record_and_can_be_told_again() -> None:
    blobs = Noting()
    run = open_in(NotingStore(blobs), blobs)
    turns = run.ask_all()
    blobs.error = StoreFull("no room")
    with pytest.raises(StoreFull, match="no room"):
        tell_all(run, turns)
    assert (blobs.said, ended(run)) == ([], 0)
    assert all(run.holds(turn) for turn in turns)

    blobs.error = None
    states = Stack({"w": np.arange(float(MEMBERS))}, rows=MEMBERS)
    kept = run.tell_all(turns, [0.5] * MEMBERS, states=states)
    assert ended(run) == MEMBERS
    by_itself = {
        (event.member, event.digest)
        for event in run.result().events
        if isinstance(event, TurnEnded)
    }
    assert by_itself == {(its.member, its.digest) for its in kept if its is not None}


def test_no_thread_is_left_when_turns_are_lost(tmp_path: Path) -> None:
    blobs = Noting()
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    run = open_in(store, blobs)
    turns = run.ask_all()
    store.disown("run", worker=run.worker)
    states = Stack({"w": np.arange(float(MEMBERS))}, rows=MEMBERS)
    for turn in turns:
        turn.hparams["lr"]
        turn.begin()
    kept = run.tell_all(turns, [0.5] * MEMBERS, states=states)

    assert kept == [None] * MEMBERS
    assert ended(run) == 0
    assert "ramet-blobs" not in {thread.name for thread in threading.enumerate()}


def test_a_process_that_can_have_no_more_threads_writes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    blobs = Noting()
    run = open_in(NotingStore(blobs), blobs, failures=ramet.Failures(lease_ttl_s=1e6))
    turns = run.ask_all()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    tell_all(run, turns)
    assert ended(run) == MEMBERS
