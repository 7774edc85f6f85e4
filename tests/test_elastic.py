"""Workers that come, go and differ in speed: simulated in virtual time, with ramet's own stores."""

import dataclasses
from collections import Counter
from typing import Any

import pytest

from benchmarks.fleet import RUN, Fleet, Plan
from benchmarks.simulate import virtual_store
from ramet.events import TurnEnded, canonical, fold
from ramet.history.doctor import log_findings
from ramet.store import MemoryStore, Store
from ramet.testing import FakeClock, FakeProcesses

STEADY = Plan(workers=5, members=5, turns=8)
# Each worker vanishes every few turns, and leases of those that die run out before the turn is due.
UNSTEADY = Plan(
    workers=6,
    members=5,
    turns=8,
    spread=0.5,
    jitter=0.5,
    vanish_every_s=150.0,
    away_s=100.0,
    join_within_s=200.0,
)


def trained(plan: Plan, store: Store | None = None, clock: FakeClock | None = None) -> Fleet:
    """Return a fleet that has trained its run, in memory unless there is a store."""
    clock = clock or FakeClock()
    fleet = Fleet(plan, store or MemoryStore(clock, FakeProcesses()), clock)
    fleet.train()
    return fleet


def log_of(plan: Plan) -> tuple[Fleet, list[Any]]:
    clock = FakeClock()
    store = MemoryStore(clock, FakeProcesses())
    fleet = trained(plan, store, clock)
    return fleet, [logged.event for logged in store.events(RUN)]


@pytest.mark.parametrize("slow", [30.0, 1_000.0])
def test_a_slow_worker_never_holds_back_the_others_of_an_asynchronous_run(slow: float) -> None:
    even = trained(STEADY).counts.ended
    began = FakeClock().uptime()
    # It holds one member, which a run of so short a budget gets back when it is over.
    uneven = trained(dataclasses.replace(STEADY, slow=slow)).counts.ended
    own = {member for (member, turn), at in uneven.items() if turn == 0 and at > began + 60.0}

    assert len(own) == 1
    others = {key: at for key, at in uneven.items() if key[0] not in own}
    assert others == {key: at for key, at in even.items() if key[0] not in own}
    assert len(others) == 4 * STEADY.turns


def test_a_synchronous_round_waits_for_a_slow_worker() -> None:
    plan = dataclasses.replace(STEADY, synchronous=True, slow=30.0)
    rounds = Counter(at for at in trained(plan).counts.ended.values())

    assert sorted(rounds.values()) == [1] * plan.turns + [4] * plan.turns


@pytest.mark.parametrize("seed", range(3))
def test_a_synchronous_run_is_the_same_whoever_comes_and_goes(seed: int) -> None:
    settings = {"synchronous": True, "seed": seed}
    _, undisturbed = log_of(dataclasses.replace(STEADY, **settings))
    fleet, disturbed = log_of(dataclasses.replace(UNSTEADY, **settings))

    assert canonical(disturbed) == canonical(undisturbed)
    assert fleet.counts.vanished > 5
    assert fleet.counts.taken_over > 0


@pytest.mark.parametrize("synchronous", [False, True])
def test_every_turn_is_on_record_once_whoever_comes_and_goes(*, synchronous: bool) -> None:
    clock = FakeClock()
    plan = dataclasses.replace(UNSTEADY, synchronous=synchronous, turns=20)
    with virtual_store(None, "process", clock) as (store, _):
        fleet = trained(plan, store, clock)
        events = [logged.event for logged in store.events(RUN)]
        findings = log_findings(store, RUN)

    ended = Counter((one.member, one.turn) for one in events if isinstance(one, TurnEnded))
    assert ended == Counter((m, t) for m in range(plan.members) for t in range(plan.turns))
    assert fold(events).members == fleet.journal.population.members
    assert findings == []
    # Some froze, and came back to a turn that was another's by then.
    assert fleet.counts.refused > 0
