"""Rounds that are trained while the last one is written, and what cuts them off."""

import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.digest import Buffer
from ramet.engine.run.foresight import Foresight
from ramet.engine.workers import vectorized
from ramet.errors import StoreFull
from ramet.events import canonical
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.stacked import Together

PBT = pbt(synchronous=True)


@pytest.fixture(autouse=True)
def always_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train each round but the first while the last one is written, however long that takes."""
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", -1.0)


def train(task: Any, storage: ramet.Storage, **settings: Any) -> ramet.Result:
    same: dict[str, Any] = {"steps": 48, "mode": "max", "seed": 0, "engine": ramet.Vectorized()}
    return ramet.run(task, SPACE, PBT, **{**same, **settings}, store=storage)


class GatedBlobs(MemoryBlobs):
    """Blobs in memory; the states of the third turns are written once a gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.reached, self.full = threading.Event(), threading.Event(), False

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        if key.startswith("0-2-"):
            self.reached.set()
            self.gate.wait()
        if self.full:
            raise StoreFull("there is no space left")
        super().put(run, key, chunks)


@contextlib.contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Interrupt the wait for what is being written, as a second Ctrl-C does; wait afterwards."""
    shutdown = ThreadPoolExecutor.shutdown
    before = set(threading.enumerate())

    def interrupted(self: ThreadPoolExecutor, **_: Any) -> None:
        shutdown(self, wait=False)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "shutdown", interrupted)
        yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("ramet-write"):
            thread.join()


def test_a_second_interrupt_while_a_round_is_written_leaves_no_member_leased(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, blobs = MemoryStore(), GatedBlobs()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 3:
            blobs.reached.wait()
            raise KeyboardInterrupt

    with impatient(monkeypatch):
        with pytest.raises(KeyboardInterrupt):
            train(Together(during), ramet.Storage(store, blobs=blobs))
        blobs.gate.set()

    assert [seat.worker for seat in store.seats("run")] == [None] * 6
    result = train(Together(), ramet.Storage(store, blobs=blobs))
    assert result.population.done


def test_a_round_that_could_not_be_written_is_named_if_another_error_ends_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, blobs = MemoryStore(), GatedBlobs()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 3:
            blobs.full = True
            blobs.gate.set()
            raise RuntimeError("the device fell off the bus")

    with pytest.raises(RuntimeError, match="fell off the bus"):
        train(Together(during), ramet.Storage(store, blobs=blobs))

    assert "last round that was trained is not on record: there is no space left" in caplog.text
    assert [seat.worker for seat in store.seats("run")] == [None] * 6


@pytest.mark.parametrize("error", [StoreFull("there is no space left"), None])
def test_what_ends_the_run_is_said_once(
    error: StoreFull | None, caplog: pytest.LogCaptureFixture
) -> None:
    store, blobs = MemoryStore(), GatedBlobs()
    blobs.full = error is not None
    blobs.gate.set()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 4:
            raise RuntimeError("the device fell off the bus")

    with pytest.raises(StoreFull if error else RuntimeError):
        train(Together(during), ramet.Storage(store, blobs=blobs))
    assert "not on record" not in caplog.text


def test_no_further_round_is_trained_once_a_run_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    claimed, claim, numbers = threading.Event(), Foresight.claim, []

    def noting(self: Foresight, *args: Any) -> Any:
        turns, as_foreseen = claim(self, *args)
        if turns and turns[0].number == 4:
            claimed.set()
        return turns, as_foreseen

    def during(turns: Sequence[ramet.Turn]) -> None:
        numbers.append(turns[0].number)
        if turns[0].number == 4:
            # What is trained ahead counts, as it is leased by now.
            claimed.wait()
            ramet.open(storage, space=SPACE, strategy=PBT, steps=48, mode="max", name="run").stop()

    monkeypatch.setattr(Foresight, "claim", noting)
    result = train(Together(during), storage)
    assert numbers == [0, 1, 2, 3, 4]
    assert {member.turn for member in result.population} == {5}


def test_a_value_that_no_member_reads_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ramet")

    class Careless(Together):
        def step(self, state: Any, hparams: Any, steps: int, rng: Any) -> Any:
            return super().step(state, {"lr": hparams["lr"], "decay": 0.1}, steps, rng)

    result = train(Careless(), ramet.Storage(MemoryStore(), blobs=MemoryBlobs()))
    assert caplog.text.count("never read ['decay']") == 1
    assert result.population.unread == ("decay",)


def test_a_round_that_finds_no_room_after_it_was_claimed_is_trained_from_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claimed, claim, numbers = threading.Event(), Foresight.claim, []

    def noting(self: Foresight, *args: Any) -> Any:
        found = claim(self, *args)
        claimed.set()
        return found

    def during(turns: Sequence[ramet.Turn]) -> None:
        numbers.append(turns[0].number)
        if numbers.count(4) == 1 and turns[0].number == 4:
            claimed.wait()
            raise MemoryError("out of memory")

    monkeypatch.setattr(Foresight, "claim", noting)
    result = train(Together(during), ramet.Storage(MemoryStore(), blobs=MemoryBlobs()))
    # From then on, one round follows the other.
    assert numbers == [0, 1, 2, 3, 4, *range(4, 12)]
    plain = train(Descent(), ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), engine=None)
    assert canonical(result.events) == canonical(plain.events)
