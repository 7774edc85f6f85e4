"""Synchronous rounds that end without those who take too long."""

from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.engine.workers.loop import work
from ramet.errors import LeaseLost
from ramet.events import Copied, TurnLost
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, pbt

LIMIT_S = 10.0
# Of members that are silent, but not dead.
PATIENT = ramet.Failures(lease_ttl_s=1_000.0, straggler_timeout_s=LIMIT_S)


class Workers:
    """Workers of one run, by one clock."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self._place: dict[str, Any] = {
            "store": ramet.Storage(MemoryStore(self.clock), blobs=MemoryBlobs()),
            "clock": self.clock,
            "space": SPACE,
            "steps": 8,
            "mode": "max",
            "seed": 0,
            "failures": ramet.Failures(lease_ttl_s=1_000.0),
            "strategy": pbt(population=5, synchronous=True),
            **settings,
        }

    def hire(self, name: str, **settings: Any) -> ramet.Run:
        return ramet.open(**{**self._place, **settings}, worker=name)


def tell(run: ramet.Run, turn: ramet.Turn | None) -> None:
    assert turn is not None
    state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, Descent().evaluate(state), state=state)


def lost(run: ramet.Run) -> list[tuple[int, int, str]]:
    events = run.result().events
    return [(one.member, one.turn, one.why) for one in events if isinstance(one, TurnLost)]


def test_a_round_ends_without_the_member_that_another_worker_takes_too_long_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workers = Workers(failures=PATIENT)
    slow, quick = workers.hire("slow"), workers.hire("quick")
    held = slow.ask()
    assert held is not None
    for _ in range(4):
        tell(quick, quick.ask())
    began = workers.clock.uptime()
    following = quick.ask()
    assert LIMIT_S < workers.clock.uptime() - began < LIMIT_S + 1.0
    assert following is not None
    assert following.number == 1
    assert lost(quick) == [(held.member, 0, "straggler")]
    assert "turn 0 is given up: it kept a round waiting for too long; its steps " in caplog.text
    # The straggler's member goes on from another's weights.
    assert [one.member for one in quick.result().events if isinstance(one, Copied)][:1] == [
        held.member
    ]
    with pytest.raises(LeaseLost, match="'slow' no longer holds member 0"):
        tell(slow, held)
    tell(quick, following)
    work(quick, Descent(), lambda run: None)
    assert quick.result().population.done


def test_without_a_limit_a_round_waits_as_long_as_it_takes() -> None:
    workers = Workers()
    slow, quick = workers.hire("slow"), workers.hire("quick")
    held = slow.ask()
    for _ in range(4):
        tell(quick, quick.ask())
    sleep, slept = workers.clock.sleep, []

    def passing(seconds: float) -> None:
        sleep(30.0)
        slept.append(seconds)
        if len(slept) == 20:
            tell(slow, held)

    workers.clock.sleep = passing
    following = quick.ask()
    assert following is not None
    assert following.number == 1
    assert lost(quick) == []


def test_an_asynchronous_run_has_no_stragglers() -> None:
    failures = ramet.Failures(straggler_timeout_s=LIMIT_S)
    workers = Workers(failures=failures, strategy=pbt(population=1, exploit=None))
    slow, quick = workers.hire("slow"), workers.hire("quick")
    assert slow.ask() is not None
    taken = quick.ask()
    assert taken is not None
    assert taken.number == 0
    assert lost(quick) == []


def test_who_idles_for_rounds_waits_anew_in_each() -> None:
    workers = Workers(failures=PATIENT, steps=40)
    busy, idle = workers.hire("busy"), workers.hire("idle")
    turns = [busy.ask() for _ in range(5)]
    sleep, since = workers.clock.sleep, [0.0]

    def passing(seconds: float) -> None:
        # The busy one ends a round every so often, and is at the next before the idle one looks.
        sleep(seconds)
        since[0] += seconds
        if since[0] > 0.7 * LIMIT_S:
            since[0] = 0.0
            for turn in turns:
                tell(busy, turn)
            turns[:] = [busy.ask() for _ in range(5)] if not busy.done else []

    workers.clock.sleep = passing
    assert idle.ask() is None
    assert lost(idle) == []
    assert idle.result().population.done
