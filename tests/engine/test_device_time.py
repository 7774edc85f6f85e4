"""What keeps Python from taking up a device's time, and gives it back afterwards."""

import gc
import math
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

import ramet
from ramet.engine.run.collecting import Collector
from ramet.engine.workers import vectorized
from ramet.mapping.once import Once
from tests.engine.loops import SPACE, pbt
from tests.engine.stacked import Rows, Together


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
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)


def test_nothing_is_frozen_if_the_user_has_stopped_the_collector() -> None:
    gc.disable()
    with Collector() as collector:
        collector.pause()
        collector.freeze()
        assert gc.get_freeze_count() == 0


def collects_in(names: Sequence[str], patch: pytest.MonkeyPatch) -> dict[str, set[bool]]:
    """Return whether the collector is on in calls of a program and of a run, as they come."""
    seen: dict[str, set[bool]] = {name: set() for name in names}

    def watch(owner: type, name: str) -> None:
        plain = getattr(owner, name)

        def watched(*args: Any, **named: Any) -> Any:
            seen[name].add(gc.isenabled())
            return plain(*args, **named)

        patch.setattr(owner, name, watched)

    for name in names:
        watch(ramet.Run if hasattr(ramet.Run, name) else Rows, name)
    return seen


def halves(turns: Iterable[ramet.Turn]) -> Iterator[list[ramet.Turn]]:
    """Yield two groups of turns, as if their lengths differed."""
    whole = list(turns)
    yield whole[: len(whole) // 2]
    yield whole[len(whole) // 2 :]


@pytest.mark.parametrize("grouped", ["together", "in two groups"])
def test_garbage_is_not_collected_while_a_round_is_written(
    grouped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", math.inf)
    if grouped == "in two groups":
        monkeypatch.setattr(vectorized, "_alike", halves)
    users, ours = ("prepare", "init", "train", "ask_all"), ("capture", "tell_all")
    seen = collects_in([*users, *ours], monkeypatch)
    ramet.run(
        Together(), SPACE, pbt(synchronous=True), steps=24, mode="max", engine=ramet.Vectorized()
    )
    assert seen == {**{name: {True} for name in users}, **{name: {False} for name in ours}}


def test_garbage_is_not_collected_before_a_device_has_its_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", -1.0)
    frozen = []
    task = Together(lambda _: frozen.append(gc.get_freeze_count() > 0))
    seen = collects_in(["copy", "capture"], monkeypatch)
    strategy, engine = pbt(synchronous=True), ramet.Vectorized()
    ramet.run(task, SPACE, strategy, steps=24, mode="max", engine=engine)
    assert seen == {"copy": {False}, "capture": {False}}
    assert frozen == [False, *[True] * (len(frozen) - 1)]
    assert len(frozen) > 1


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
