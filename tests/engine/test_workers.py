"""Several workers on one run."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.engine.workers.loop import work
from ramet.errors import LeaseLost
from ramet.events import canonical
from ramet.store import MemoryStore, standing
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, pbt


@pytest.mark.parametrize("workers", [2, 4])
def test_a_synchronous_run_is_the_same_for_any_number_of_workers(workers: int) -> None:
    strategy = pbt(population=10, synchronous=True, evaluate_every=2)
    alone = ramet.run(Descent(), SPACE, strategy, steps=40, mode="max", seed=0)
    store, blobs = MemoryStore(), MemoryBlobs()

    def train() -> None:
        run = ramet.open(
            ramet.Storage(store, blobs=blobs),
            space=SPACE,
            strategy=strategy,
            steps=40,
            mode="max",
            seed=0,
        )
        work(run, Descent(), lambda run: None)

    _together(workers, train)
    together = ramet.open(
        ramet.Storage(store, blobs=blobs),
        space=SPACE,
        strategy=strategy,
        steps=40,
        mode="max",
        seed=0,
    ).result()
    assert canonical(together.events) == canonical(alone.events)
    assert together.population == alone.population


def test_asynchronous_workers_end_every_turn_once() -> None:
    strategy = pbt(population=10)
    store, blobs = MemoryStore(), MemoryBlobs()

    def train() -> None:
        run = ramet.open(
            ramet.Storage(store, blobs=blobs),
            space=SPACE,
            strategy=strategy,
            steps=40,
            mode="max",
            seed=0,
        )
        work(run, Descent(), lambda run: None)

    _together(4, train)
    result = ramet.open(
        ramet.Storage(store, blobs=blobs),
        space=SPACE,
        strategy=strategy,
        steps=40,
        mode="max",
        seed=0,
    ).result()
    assert result.population.turns == 100
    assert [standing(member) for member in result.population] == [
        seat.standing for seat in store.seats("run")
    ]
    assert Descent().evaluate(result.best.load()) == result.best.score


@dataclass
class Interrupted:
    """A store where something happens just before one commit."""

    store: MemoryStore
    before_commit: list[Callable[[], None]] = field(default_factory=list)

    def commit(self, *args: Any, **kwargs: Any) -> int:
        while self.before_commit:
            self.before_commit.pop()()
        return self.store.commit(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_a_round_that_two_end_at_once_is_decided_once_by_the_later() -> None:
    strategy = pbt(population=5, synchronous=True)
    place = {
        "space": SPACE,
        "strategy": strategy,
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    store = Interrupted(MemoryStore())
    blobs = MemoryBlobs()
    one, other = (
        ramet.open(ramet.Storage(each, blobs=blobs), **place) for each in (store, store.store)
    )
    turns = [one.ask() for _ in range(4)]
    last = other.ask()
    assert last is not None
    for number, turn in enumerate(turns):
        assert turn is not None
        if number == 3:
            store.before_commit.append(lambda: _tell(other, last))
        _tell(one, turn)
    kinds = [type(event).__name__ for event in one.result().events]
    assert kinds[:6] == ["RunOpened"] + ["TurnEnded"] * 5
    assert kinds.count("RoundEnded") == 1
    assert one.result().population.round == 1


def test_a_worker_whose_member_was_taken_over_writes_nothing() -> None:
    clock = FakeClock()
    place = {
        "space": SPACE,
        "strategy": pbt(),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    store = ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs())
    slow, quick = (ramet.open(store, worker=name, **place) for name in ("slow", "quick"))
    lost = slow.ask()
    clock.sleep(61.0)
    taken = quick.ask()
    assert lost is not None
    assert taken is not None
    assert taken.member == lost.member
    with pytest.raises(LeaseLost, match=r"'slow' no longer holds member 0 .* 'quick' holds it now"):
        _tell(slow, lost)
    _tell(quick, taken)
    assert quick.result().population.turns == 1


def test_a_worker_waits_for_a_member_until_its_holder_has_been_silent_too_long() -> None:
    clock = FakeClock()
    began = clock.now()
    place = {
        "space": SPACE,
        "strategy": pbt(population=1, exploit=None),
        "steps": 8,
        "mode": "max",
        "seed": 0,
        "clock": clock,
    }
    store = ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs())
    dies, waits = (ramet.open(store, worker=name, **place) for name in ("dies", "waits"))
    assert dies.ask() is not None
    assert waits.ask() is not None
    assert 60.0 <= clock.now() - began < 60.2


def _tell(run: ramet.Run, turn: ramet.Turn) -> None:
    state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, Descent().evaluate(state), state=state)


def _together(workers: int, train: Callable[[], None]) -> None:
    threads = [threading.Thread(target=train) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
