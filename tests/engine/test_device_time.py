"""What keeps Python from taking up a device's time, and gives it back afterwards."""

import gc
import math
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence

import pytest

import ramet
from ramet.engine.run.collecting import Collector
from ramet.engine.workers import vectorized
from ramet.mapping.once import Once
from tests.engine.loops import SPACE, pbt
from tests.engine.stacked import Together


@pytest.fixture(autouse=True)
def as_usual() -> Iterator[None]:
    """Begin and end as Python does."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    gc.unfreeze()
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()
    sys.setswitchinterval(before_s)


@pytest.mark.parametrize("least", [-1.0, math.inf])
def test_python_is_as_it_was_once_a_run_is_over(
    least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", least)
    seen = []

    def during(_: Sequence[ramet.Turn]) -> None:
        seen.append((sys.getswitchinterval() < 0.001, gc.isenabled()))
        if len(seen) == 5:
            raise KeyboardInterrupt

    strategy = pbt(synchronous=True)
    with pytest.raises(KeyboardInterrupt):
        ramet.run(
            Together(during),
            SPACE,
            strategy,
            steps=48,
            mode="max",
            seed=0,
            engine=ramet.Vectorized(),
        )
    # Training may collect garbage.
    assert seen == [(True, True)] * 5
    assert sys.getswitchinterval() == pytest.approx(0.005)
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("least", [-1.0, math.inf])
def test_garbage_of_the_training_is_collected(
    least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", least)
    made: list[weakref.ref[Cycle]] = []

    def during(_: Sequence[ramet.Turn]) -> None:
        made.extend(weakref.ref(Cycle()) for _ in range(300))

    task, strategy, engine = Together(during), pbt(synchronous=True), ramet.Vectorized()
    ramet.run(task, SPACE, strategy, steps=240, mode="max", seed=0, engine=engine)
    alive = sum(cycle() is not None for cycle in made)
    assert alive < len(made) / 4


def test_a_shorter_interval_of_the_users_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.setswitchinterval(1e-5)
    seen = []
    task = Together(lambda _: seen.append(sys.getswitchinterval()))
    strategy, engine = pbt(synchronous=True), ramet.Vectorized()
    ramet.run(task, SPACE, strategy, steps=8, mode="max", seed=0, engine=engine)
    assert seen[0] == pytest.approx(1e-5)
    assert sys.getswitchinterval() == pytest.approx(1e-5)


def test_a_collector_that_the_user_has_stopped_stays_so() -> None:
    gc.disable()
    gc.freeze()
    frozen = gc.get_freeze_count()
    with Collector() as collector:
        collector.pause()
        collector.freeze()
        collector.resume()
        assert not gc.isenabled()
    assert (gc.isenabled(), gc.get_freeze_count()) == (False, frozen)


def test_objects_that_the_user_has_frozen_stay_so() -> None:
    gc.freeze()
    with Collector() as collector:
        collector.pause()
        collector.freeze()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_what_there_was_is_looked_at_again_after_the_run() -> None:
    there: weakref.ref[Cycle] = weakref.ref(Cycle())
    with Collector() as collector:
        collector.pause()
        collector.freeze()
        assert there() is None
        assert gc.get_freeze_count() > 0
        frozen = gc.get_freeze_count()
        kept = [Cycle()]
        collector.freeze()
        assert gc.get_freeze_count() <= frozen
    assert kept
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)


def test_a_second_thread_waits_until_what_is_done_once_is_done() -> None:
    begun, goes_on, order = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        goes_on.wait()
        order.append("done")

    once = Once(work)
    first = threading.Thread(target=once)
    first.start()
    begun.wait()

    def wait() -> None:
        once()
        order.append("waited")

    second = threading.Thread(target=wait)
    second.start()
    goes_on.set()
    for thread in (first, second):
        thread.join()
    assert order == ["done", "waited"]
