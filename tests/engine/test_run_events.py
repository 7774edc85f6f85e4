"""Events of a run itself, which several may want to write at once."""

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.events import Extended, Resumed, RunOpened, Stopped
from ramet.store import MemoryStore, Store
from ramet.store.base import RunEvent
from tests.engine.loops import SPACE, pbt

STOPPED, RESUMED = Stopped(), Resumed()


class Shared(MemoryStore):
    """A store that somebody else writes to, just before an event is appended or right behind it."""

    before: RunEvent | None = None
    behind: RunEvent | None = None

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        before, self.before = self.before, None
        if before is not None:
            super().append(run, before, worker="other", after=after)
        number = super().append(run, event, worker=worker, after=after)
        behind, self.behind = self.behind, None
        if behind is not None:
            super().append(run, behind, worker="other", after=number)
        return number


@pytest.fixture
def store() -> Shared:
    return Shared()


def opened(store: Store, steps: int = 16) -> ramet.Run:
    return ramet.open(
        ramet.Storage(store, blobs=MemoryBlobs()),
        space=SPACE,
        strategy=pbt(),
        steps=steps,
        mode="max",
        existing="extend",
    )


def written(store: Store) -> list[tuple[RunEvent, bool]]:
    """Return what was written of the run itself, and whether somebody else did."""
    return [
        (logged.event, logged.worker == "other")
        for logged in store.events("run")
        if not isinstance(logged.event, RunOpened)
    ]


def test_of_two_that_stop_a_run_one_says_so(store: Shared) -> None:
    run = opened(store)
    store.before = STOPPED
    run.stop()
    assert written(store) == [(STOPPED, True)]


def test_of_two_that_go_on_with_a_run_one_says_so(store: Shared) -> None:
    opened(store).stop()
    store.before = RESUMED
    assert not opened(store).stopped
    assert written(store) == [(STOPPED, False), (RESUMED, True)]


@pytest.mark.parametrize("raised", [24, 28])
def test_of_two_that_extend_a_run_the_one_that_needs_not_does_not(
    raised: int, store: Shared
) -> None:
    opened(store)
    store.before = Extended(steps=raised)
    assert opened(store, steps=24).population.steps == raised
    assert written(store) == [(Extended(steps=raised), True)]


def test_what_is_wanted_all_the_same_is_written_behind_what_came_first(store: Shared) -> None:
    run = opened(store)
    store.before = Extended(steps=20)
    run.stop()
    store.before = Extended(steps=22)
    opened(store, steps=24)
    assert written(store) == [
        (Extended(steps=20), True),
        (STOPPED, False),
        (Extended(steps=22), True),
        (Extended(steps=24), False),
        (RESUMED, False),
    ]


def test_a_stop_that_is_withdrawn_at_once_is_not_written_again(store: Shared) -> None:
    run = opened(store)
    store.behind = RESUMED
    run.stop()
    assert written(store) == [(STOPPED, False), (RESUMED, True)]
