"""Disks that are full, and stores that fail now and then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import Blobs, DirectoryBlobs
from ramet.errors import StoreFull
from ramet.events import AnyEvent, AttemptFailed, TurnEnded, canonical
from ramet.store import SQLiteStore, Store
from ramet.testing.faults import flaky, full
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in


def begun(place: dict[str, Any], turns: int = 8) -> None:
    run = ramet.open(**place)
    for _ in range(turns):
        turn = run.ask()
        assert turn is not None
        state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
        run.tell(turn, Descent().evaluate(state), state=state)


# The runs of these tests need no more attempts than this, if each of them gets further.
MOST_FAILURES = 100


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    return {
        "store": ramet.Storage(
            SQLiteStore(tmp_path / "runs.db"),
            blobs=DirectoryBlobs(tmp_path / "runs.db-checkpoints"),
        ),
        "space": SPACE,
        "strategy": pbt(synchronous=True),
        "steps": 24,
        "mode": "max",
        "seed": 0,
    }


def but(place: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return settings with other parts of the storage."""
    return {**place, "store": replace(place["store"], **changes)}


def goes_on_to_the_same_end(place: dict[str, Any]) -> bool:
    assert {seat.worker for seat in place["store"].store.seats("run")} == {None}
    result = ramet.run(Descent(), **place)
    assert not any(isinstance(event, AttemptFailed) for event in result.events)
    assert findings_in(place["store"].store.path) == []
    whole = ramet.run(
        Descent(), space=SPACE, strategy=place["strategy"], steps=24, mode="max", seed=0
    )
    return result.population == whole.population


def told(store: Store) -> list[AnyEvent]:
    """Return what a log tells of training."""
    return canonical(logged.event for logged in store.events("run"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_without_room_for_a_checkpoint_stops_the_run_and_loses_nothing(
    workers: int, place: dict[str, Any]
) -> None:
    begun(place)
    before = told(place["store"].store)
    with pytest.raises(StoreFull, match="must fit where it is kept"):
        ramet.run(Descent(), **but(place, blobs=full(place["store"].blobs)), workers=workers)
    assert told(place["store"].store) == before
    assert goes_on_to_the_same_end(place)


@dataclass
class NoRoomFor:
    """A store without room for the events of turns that end, nor for giving them back."""

    store: SQLiteStore
    stubborn: bool = False

    def commit(self, lease: Any, events: Sequence[AnyEvent], *args: Any, **named: Any) -> int:
        if any(isinstance(event, TurnEnded) and event.turn == 2 for event in events):
            raise StoreFull("no room in the log")
        return self.store.commit(lease, events, *args, **named)

    def release_all(self, leases: Any) -> None:
        if self.stubborn:
            raise StoreFull("no room to say so")
        self.store.release_all(leases)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.store, name)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_log_without_room_stops_the_run_and_loses_nothing(
    workers: int, place: dict[str, Any]
) -> None:
    store = NoRoomFor(place["store"].store)
    with pytest.raises(StoreFull, match="no room in the log"):
        ramet.run(Descent(), **but(place, store=store), workers=workers)
    assert goes_on_to_the_same_end(place)


def test_what_went_wrong_is_said_even_if_turns_cannot_be_given_back(
    place: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = NoRoomFor(place["store"].store, stubborn=True)
    with pytest.raises(StoreFull, match="no room in the log"):
        ramet.run(
            Descent(),
            **but(place, store=store),
            engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=0.3)),
        )
    assert "turn 2 of member 4 stays leased: no room to say so" in caplog.text
    assert ramet.run(
        Descent(), **place, engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=0.3))
    ).population.done


@pytest.mark.parametrize("what", ["store", "blobs"])
# More calls than a run needs to go on by one turn, or it would never get further.
@pytest.mark.parametrize("every", [23, 29])
def test_what_fails_now_and_then_is_gone_on_with_to_the_same_end(
    what: str, every: int, place: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    failing: Any = but(place, **{what: flaky(getattr(place["store"], what), every=every)})
    failures = 0
    while failures < MOST_FAILURES:
        try:
            ramet.run(
                Descent(), **failing, engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=0.3))
            )
        except OSError:
            failures += 1
        else:
            break
    assert 0 < failures < MOST_FAILURES
    assert goes_on_to_the_same_end(place)


def test_workers_whose_blobs_fail_say_so(place: dict[str, Any]) -> None:
    blobs: Blobs = flaky(place["store"].blobs, every=20)
    with pytest.raises(ramet.errors.RunFailed, match=r"ended with OSError.*as one in 20 does"):
        ramet.run(Descent(), **but(place, blobs=blobs), workers=1)
    assert goes_on_to_the_same_end(place)
