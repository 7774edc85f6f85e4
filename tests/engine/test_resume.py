"""Going on with a run that exists."""

from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import RunMismatch
from ramet.events import canonical
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, descent_loop, pbt


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(*, synchronous: bool) -> None:
    strategy = pbt(synchronous=synchronous)
    whole = ramet.run(Descent(), SPACE, strategy, steps=24, mode="max", seed=0)
    for stop_after in (1, 7, 20):
        store, blobs = MemoryStore(), MemoryBlobs()
        run = ramet.open(
            ramet.Storage(store, blobs=blobs),
            space=SPACE,
            strategy=strategy,
            steps=24,
            mode="max",
            seed=0,
        )
        for _ in range(stop_after):
            turn = run.ask()
            assert turn is not None
            state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
            run.tell(turn, Descent().evaluate(state), state=state)
        resumed = ramet.run(
            Descent(),
            SPACE,
            strategy,
            steps=24,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
        assert canonical(resumed.events) == canonical(whole.events)


def test_a_finished_run_is_returned_as_it_is() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    place = {"store": ramet.Storage(store, blobs=blobs)}
    first = ramet.run(descent_loop, SPACE, pbt(), steps=8, mode="max", seed=0, **place)
    again = ramet.run(descent_loop, SPACE, pbt(), steps=8, mode="max", **place)
    assert again.events == first.events


def test_changed_settings_are_refused_with_all_that_changed() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    ramet.run(
        descent_loop,
        SPACE,
        pbt(),
        steps=8,
        mode="max",
        seed=0,
        store=ramet.Storage(store, blobs=blobs),
    )
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 2.0), decay=ramet.Uniform(0.0, 0.5))
    changed = pbt(exploit=ramet.Truncation(0.25))
    with pytest.raises(RunMismatch) as caught:
        ramet.run(
            descent_loop,
            space,
            changed,
            steps=16,
            seed=1,
            mode="min",
            store=ramet.Storage(store, blobs=blobs),
        )
    for line in (
        "steps: 8 -> 16",
        "seed: 0 -> 1",
        "mode: 'max' -> 'min'",
        "space.domains.lr.high: 1.0 -> 2.0",
        "strategy.exploit.quantile: 0.2 -> 0.25",
    ):
        assert line in str(caught.value)


def test_options_that_compare_equal_are_other_settings() -> None:
    def opened(options: list[Any]) -> ramet.Run:
        space = ramet.Space(flag=ramet.Choice(options))
        strategy = ramet.RandomSearch(population=2, turn_steps=1)
        return ramet.open(
            ramet.Storage(store, blobs=blobs), space=space, strategy=strategy, steps=4, mode="max"
        )

    store, blobs = MemoryStore(), MemoryBlobs()
    opened([1, True])
    with pytest.raises(RunMismatch, match=r"flag.options: \[1, True\] -> \[True, 1\]"):
        opened([True, 1])


def test_a_worker_that_joins_hears_who_else_holds_members(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs())}
    settings: dict[str, Any] = {
        "space": SPACE,
        "strategy": pbt(),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    other = ramet.open(**place, **settings, worker="gpu-17")
    assert other.ask() is not None
    clock.sleep(59.0)

    class Hurries(Descent):
        def evaluate(self, state: Any) -> float:
            clock.sleep(1.0)
            return super().evaluate(state)

    ramet.run(Hurries(), **place, **settings)
    assert "['gpu-17'] also train members of run 'run'" in caplog.text
    caplog.clear()
    ramet.run(Descent(), **place, **settings)
    assert "run 'run' is over already, after 12 turns" in caplog.text
