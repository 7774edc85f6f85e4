"""Runs that later strategies than PBT and FIRE decide in: the same log however they are trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.events import Annotated, Copied, Explored, TurnEnded, canonical, fold
from ramet.faults import VARIABLE
from ramet.store import MemoryStore
from tests.engine.loops import SPACE as LOOP_SPACE
from tests.engine.loops import Descent
from tests.engine.scripts import findings_in

STEPS = 12 * 4
SPACE = ramet.Space({**LOOP_SPACE, "kind": ramet.Choice(["gradient", "sign", "none"])})
STRATEGIES = {
    "MFPBT": ramet.MFPBT(population=16, turn_steps=4, intervals=(1, 4)),
    "IPBT": ramet.IPBT(population=6, turn_steps=2, renew=True),
    "PB2": ramet.PBT(
        population=12,
        turn_steps=4,
        exploit=ramet.Truncation(0.25),
        explore=ramet.GaussianProcess(rows=60),
        synchronous=True,
    ),
    "PB2-Mix": ramet.PBT(
        population=12,
        turn_steps=4,
        exploit=ramet.Truncation(0.25),
        explore=ramet.GaussianProcess(rows=60, choices="bandit"),
        synchronous=True,
    ),
    "FIRE by a model": ramet.FIRE.for_workers(
        14, turn_steps=8, evaluate_every=1, explore=ramet.GaussianProcess(rows=60)
    ),
    "FIRE with a rule for P1": ramet.FIRE.for_workers(
        14, turn_steps=8, evaluate_every=1, greedy_explore=ramet.Perturb((0.8, 1.25))
    ),
}
RUN: dict[str, Any] = {"steps": STEPS, "mode": "min", "seed": 3}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
_wholes: dict[str, ramet.Result] = {}


class Distance(Descent):
    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        after = super().step(state, hparams, steps, rng)
        match hparams["kind"]:
            case "none":
                return state | {"seen": after["seen"]}
            case "sign":
                return after | {"w": state["w"] - 0.01 * np.sign(state["w"])}
        return after

    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)

    def renew(self, state: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
        """Shrink the weights and move them, as IPBT's paper does."""
        return fresh | {"w": 0.2 * state["w"] + 0.1 * fresh["w"]}


def whole(name: str) -> ramet.Result:
    """Return a run that was trained in one process from beginning to end."""
    if name not in _wholes:
        _wholes[name] = ramet.run(Distance(), SPACE, STRATEGIES[name], **RUN)
    return _wholes[name]


@every_strategy
def test_members_copy_and_explore_within_the_space(name: str) -> None:
    result = whole(name)
    moves = [event for event in result.events if isinstance(event, Explored)]
    assert len(moves) > 5
    assert len({event.hparams["lr"] for event in moves}) > 5
    assert all(SPACE.contains(event.hparams) for event in moves)


def test_members_migrate_between_sub_populations_both_ways() -> None:
    result = whole("MFPBT")
    groups = [member.group for member in result.population]
    ways = {
        (groups[event.member], groups[event.source], event.hparams is not None)
        for event in result.events
        if isinstance(event, Copied) and event.kind == "migration"
    }
    assert ways == {(1, 2, True), (2, 1, False)}


def test_an_iteration_begins_with_renewed_weights_and_as_many_fresh_ones() -> None:
    events = iter(whole("IPBT").events)
    active: list[int] = []
    for event in events:
        if isinstance(event, Annotated) and event.member is None and event.data["number"] == 1:
            active = event.data["active"]
            break
    steps: dict[int, int] = {}
    for event in events:
        if isinstance(event, TurnEnded):
            steps.setdefault(event.member, event.step)

    assert active == [*active[:6], *range(12, 18)]
    assert max(active[:6]) < 12
    assert all(steps[id_] == 2 for id_ in active[6:])
    assert all(steps[id_] > 2 for id_ in active[:6])


def test_an_exact_replay_of_renewed_weights_leads_to_the_same_ones() -> None:
    result = whole("IPBT")
    renewed = [turn for turn in result.lineage().turns.values() if turn.renewed]
    schedule = result.schedule(renewed[-1].member)
    replayed = ramet.replay(Distance(), schedule, seeds=None)

    assert schedule.source is not None
    assert schedule.source.renewed
    assert replayed.scores == [schedule.source.score]


@every_strategy
def test_the_log_leads_to_the_population_and_to_a_schedule(name: str) -> None:
    result = whole(name)
    assert fold(result.events) == result.population
    assert result.schedule().steps == result.best.step


@every_strategy
@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_the_log_is_the_same_on_processes(name: str, workers: int, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    together = ramet.run(Distance(), SPACE, STRATEGIES[name], **RUN, store=store, workers=workers)
    assert canonical(together.events) == canonical(whole(name).events)
    assert together.population == whole(name).population
    assert findings_in(store) == []


@every_strategy
@pytest.mark.parametrize("stop_after", [1, 40, 71])
def test_a_run_that_was_stopped_anywhere_ends_alike(name: str, stop_after: int) -> None:
    storage = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    task = Distance()
    run = ramet.open(storage, space=SPACE, strategy=STRATEGIES[name], **RUN)
    for _ in range(stop_after):
        turn = run.ask()
        assert turn is not None
        state = turn.load(task.init)
        if turn.renewed:
            state = task.renew(state, task.init(turn.rng))
        for count in turn.stretches():
            state = task.step(state, turn.hparams, count, turn.rng)
            turn.report(task.evaluate(state))
        run.tell(turn, state=state)
    resumed = ramet.run(task, SPACE, STRATEGIES[name], **RUN, store=storage)
    assert canonical(resumed.events) == canonical(whole(name).events)


@pytest.mark.slow
@every_strategy
@pytest.mark.parametrize("point", ["trained", "committing", "committed"])
def test_workers_killed_at_any_point_of_a_turn_change_nothing(
    name: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    monkeypatch.setenv(VARIABLE, f"{point}:40")
    killed = ramet.run(Distance(), SPACE, STRATEGIES[name], **RUN, store=store, workers=2)
    assert canonical(killed.events) == canonical(whole(name).events)
    assert findings_in(store) == []
