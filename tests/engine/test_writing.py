"""Checkpoints that are written from a thread, while what follows from their turns is decided."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs.memory import MemoryBlobs
from ramet.digest import Buffer
from ramet.engine.run import writing
from ramet.errors import StoreFull, StrategyError
from ramet.events import TurnEnded
from ramet.state.stacks import Stack
from ramet.store import MemoryStore, SQLiteStore

MEMBERS = 6
SPACE = ramet.Space(lr=ramet.Uniform(0.0, 1.0))


@pytest.fixture(autouse=True)
def files_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "THREAD_FROM_BYTES", 0)


@pytest.fixture(params=[True, False], ids=["waits", "works"])
def waits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Say whether the time of writing is found to be spent waiting."""
    worked = (lambda: 0.0) if request.param else time.perf_counter
    monkeypatch.setattr(time, "thread_time", worked)
    return bool(request.param)


class Noting(MemoryBlobs):
    """Notes what happens, and fails if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.error: Exception | None = None
        self.threads: list[str] = []

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        self.threads.append(threading.current_thread().name)
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


def open_after_a_round(store: Any, blobs: Any, *, synchronous: bool = True) -> ramet.Run:
    """Open a run and end its first round, in which it is found whether writing waits."""
    run = ramet.open(
        ramet.Storage(store, blobs=blobs),
        name="run",
        space=SPACE,
        strategy=ramet.PBT(population=MEMBERS, turn_steps=4, synchronous=synchronous),
        steps=16,
        mode="max",
        seed=0,
    )
    turns = train(run)
    tell(run, turns)
    return run


def train(run: ramet.Run) -> list[ramet.Turn]:
    """Return turns of all members, trained."""
    turns = run.ask_all()
    for turn in turns:
        turn.hparams["lr"]
        turn.begin()
    return turns


def tell(run: ramet.Run, turns: Sequence[ramet.Turn]) -> list[Any]:
    states = Stack({"w": np.arange(float(len(turns))) + turns[0].number}, rows=len(turns))
    return [*run.tell_all(turns, [float(turn.member) for turn in turns], states=states)]


def ended(run: ramet.Run) -> list[Any]:
    return [event.checkpoint for event in run.result().events if isinstance(event, TurnEnded)]


def test_a_checkpoint_is_written_before_an_event_names_it(*, waits: bool) -> None:
    blobs = Noting()
    run = open_after_a_round(NotingStore(blobs), blobs)
    turns = train(run)
    kept = tell(run, turns)

    assert blobs.said == ["put", "commit"] * 2
    here = threading.current_thread().name
    assert blobs.threads == [here, "ramet-blobs" if waits else here]
    assert ended(run)[MEMBERS:] == kept


@pytest.mark.usefixtures("waits")
def test_what_cannot_be_written_is_on_no_record_and_can_be_told_again() -> None:
    blobs = Noting()
    run = open_after_a_round(NotingStore(blobs), blobs)
    turns = train(run)
    blobs.error = StoreFull("no room")
    with pytest.raises(StoreFull, match="no room"):
        tell(run, turns)
    assert blobs.said == ["put", "commit"]
    assert len(ended(run)) == MEMBERS
    assert all(run.holds(turn) for turn in turns)

    blobs.error = None
    kept = tell(run, turns)
    assert ended(run)[MEMBERS:] == kept


@pytest.mark.usefixtures("waits")
def test_no_thread_is_left_when_turns_are_lost(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    run = open_after_a_round(store, Noting())
    turns = train(run)
    store.disown("run", worker=run.worker)

    assert tell(run, turns) == [None] * MEMBERS
    assert len(ended(run)) == MEMBERS
    assert "ramet-blobs" not in {thread.name for thread in threading.enumerate()}


def test_a_process_that_can_have_no_more_threads_writes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writing, "THREAD_FROM_WAITING", 0.0)
    blobs = Noting()
    run = open_after_a_round(NotingStore(blobs), blobs)
    turns = train(run)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert tell(run, turns) == ended(run)[MEMBERS:]


def test_short_files_are_written_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "THREAD_FROM_WAITING", 0.0)
    monkeypatch.setattr(writing, "THREAD_FROM_BYTES", 1 << 20)
    blobs = Noting()
    run = open_after_a_round(NotingStore(blobs), blobs)
    turns = train(run)
    tell(run, turns)
    assert set(blobs.threads) == {threading.current_thread().name}


class Held(Noting):
    """Does not write its second file before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        if self.said:
            self.begun.set()
            assert self.go_on.wait(30)
        super().put(run, key, chunks)


def train_with_files_held(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Held, ramet.Run, list[ramet.Turn]]:
    """Return turns that can be told, and blobs that write their file only when told to."""
    monkeypatch.setattr(writing, "THREAD_FROM_WAITING", 0.0)
    blobs = Held()
    run = open_after_a_round(NotingStore(blobs), blobs)
    return blobs, run, train(run)


def test_nothing_is_committed_while_a_file_is_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs, run, turns = train_with_files_held(monkeypatch)
    telling = threading.Thread(target=tell, args=(run, turns))
    telling.start()
    assert blobs.begun.wait(30)
    telling.join(0.2)
    assert telling.is_alive()
    assert blobs.said == ["put", "commit"]
    blobs.go_on.set()
    telling.join(30)
    assert blobs.said == ["put", "commit"] * 2


def test_a_call_that_fails_returns_once_its_file_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs, run, turns = train_with_files_held(monkeypatch)

    def decide(*_: object) -> list[Any]:
        # It is given time to be wrong: the file is still being written when this raises.
        threading.Timer(0.2, blobs.go_on.set).start()
        raise RuntimeError("no decision")

    monkeypatch.setattr(ramet.PBT, "decide", decide)
    with pytest.raises(StrategyError, match="no decision"):
        tell(run, turns)
    assert blobs.said == ["put", "commit", "put"]


def test_what_other_workers_may_end_meanwhile_is_written_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "THREAD_FROM_WAITING", 0.0)
    blobs = Noting()
    run = open_after_a_round(NotingStore(blobs), blobs, synchronous=False)
    turns = train(run)
    tell(run, turns)
    assert set(blobs.threads) == {threading.current_thread().name}


def test_blobs_that_wait_are_found_out() -> None:
    class Slow(Noting):
        def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
            super().put(run, key, chunks)
            time.sleep(0.05)

    blobs = Slow()
    run = open_after_a_round(NotingStore(blobs), blobs)
    turns = train(run)
    tell(run, turns)
    assert blobs.threads[1] == "ramet-blobs"
