"""Errors of stores, blobs, strategies and workers, which are no failures of a member."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.engine.workers.loop import work
from ramet.errors import StrategyError
from ramet.events import AttemptFailed, TurnEnded, canonical
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, descent_loop, pbt


@dataclass
class Faulty:
    """A store or blobs where some call does something else first."""

    inner: Any
    before: dict[str, Callable[..., None]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self.inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name in self.before:
                self.before[name](*args)
            return inner(*args, **kwargs)

        return call


class Once:
    """Raises at its nth call."""

    def __init__(self, error: Exception, at: int) -> None:
        self.error, self.left = error, at

    def __call__(self, *args: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


@pytest.mark.parametrize(
    ("where", "call"), [("store", "claim"), ("store", "commit"), ("blobs", "put"), ("blobs", "get")]
)
def test_an_error_of_the_store_fails_no_member_and_gives_every_turn_back(
    where: str, call: str
) -> None:
    store, blobs = Faulty(MemoryStore()), Faulty(MemoryBlobs())
    faulty = store if where == "store" else blobs
    faulty.before[call] = Once(ConnectionError("the network is down"), at=4)
    place: dict[str, Any] = {"store": ramet.Storage(store, blobs=blobs)}
    with pytest.raises(ConnectionError):
        ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0, **place)
    resumed = ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0, **place)
    assert not any(isinstance(event, AttemptFailed) for event in resumed.events)
    assert resumed.events == ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0).events


def test_a_strategy_that_raises_stops_the_run_in_its_own_name() -> None:
    class Breaks:
        def check(self, population: int) -> None: ...

        def pairs(self, *args: object) -> Any:
            raise ZeroDivisionError

    store, blobs = MemoryStore(), MemoryBlobs()
    with pytest.raises(StrategyError, match=r"PBT raised for members \[0\]: ZeroDivisionError"):
        ramet.run(
            Descent(),
            SPACE,
            pbt(exploit=Breaks()),
            steps=8,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
    assert canonical(logged.event for logged in store.events("run")) == canonical(
        [store.opening("run")]
    )
    lease = store.claim("run", worker="next", ttl_s=1.0)
    assert lease is not None
    assert lease.member == 0


def test_what_is_raised_behind_the_loop_is_raised_to_the_caller() -> None:
    def train(session: ramet.Session) -> None:
        descent_loop(session)
        if session.member == 2:
            raise OSError("saving failed")

    store, blobs = MemoryStore(), MemoryBlobs()
    with pytest.raises(OSError, match="saving failed"):
        ramet.run(
            train,
            SPACE,
            pbt(),
            steps=8,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
    assert not any(isinstance(logged.event, AttemptFailed) for logged in store.events("run"))


def test_a_worker_that_lost_its_lease_goes_on_with_other_turns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    store, blobs = MemoryStore(clock), MemoryBlobs()
    place: dict[str, Any] = {
        "space": SPACE,
        "strategy": pbt(),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    slept: list[float] = []

    def train(session: ramet.Session) -> None:
        state = Descent().init(session.rng)
        for turn in session.turns(state):
            state.update(Descent().step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(Descent().evaluate(state))
            if not slept:
                slept.append(61.0)
                clock.sleep(61.0)
                other = ramet.open(ramet.Storage(store, blobs=blobs), worker="other", **place)
                assert other.ask() is not None
                # A member that was taken from a silent worker is leased for twice as long.
                clock.sleep(121.0)

    slow = ramet.open(ramet.Storage(store, blobs=blobs), worker="slow", **place)
    with caplog.at_level(logging.WARNING, "ramet"):
        work(slow, train, lambda run: None)
    assert "'slow' no longer holds member 0" in caplog.text
    assert slow.result().population.turns == 12


def test_a_checkpoint_is_kept_before_any_event_names_it() -> None:
    blobs = MemoryBlobs()

    def check(lease: object, events: Any, *args: object) -> None:
        for event in events:
            if isinstance(event, TurnEnded):
                blobs.get("run", event.checkpoint.key)

    store = Faulty(MemoryStore(), {"commit": check})
    ramet.run(
        Descent(),
        SPACE,
        pbt(),
        steps=24,
        mode="max",
        seed=0,
        store=ramet.Storage(store, blobs=blobs),
    )


def test_pruning_keeps_what_turns_under_way_go_on_from() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=400, mode="max", seed=0)
    held = None
    while (turn := run.ask()) is not None:
        if turn.number == 1 and held is None:
            held = turn
            continue
        state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
        run.tell(turn, Descent().evaluate(state), state=state)
    assert run.population.turns == 5 * 100 + 1
    assert held is not None
    assert Descent().evaluate(held.load()) == run.population[held.member].score


def test_a_store_without_the_blobs_that_belong_to_it_is_refused() -> None:
    with pytest.raises(ramet.RametError, match="must come with the blobs="):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", store=MemoryStore())


def test_a_users_blobs_are_never_pruned() -> None:
    blobs = MemoryBlobs()
    first = ramet.run(
        Descent(), SPACE, pbt(), steps=400, mode="max", seed=0, store=ramet.Storage(blobs=blobs)
    )
    ramet.run(
        Descent(), SPACE, pbt(), steps=400, mode="max", seed=1, store=ramet.Storage(blobs=blobs)
    )
    assert Descent().evaluate(first.best.load()) == first.best.score
