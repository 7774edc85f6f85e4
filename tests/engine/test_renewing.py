"""Turns that a strategy has begin with renewed weights: tasks renew them, and loops must ask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import TurnMisused, UsageError
from ramet.population import Member
from ramet.schedule import Schedule
from ramet.store import MemoryStore
from tests.engine.loops import SPACE as LOOP_SPACE
from tests.engine.stacked import Together

SPACE = ramet.Space(speed=ramet.Uniform(0.0, 1.0))
RUN: dict[str, Any] = {"steps": 30, "mode": "max", "seed": 0}


@dataclass(frozen=True)
class RenewSecond(ramet.Grid):
    """The second turn of each member begins with renewed weights."""

    def renews(self, member: Member) -> bool:
        return member.turn == 1


STRATEGY = RenewSecond(points=[{"speed": 0.5}, {"speed": 1.0}], turn_steps=10, synchronous=True)


class Counter:
    """Weights that grow by one a step, from a start that is drawn."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"start": rng.random(), "weight": 0.0}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        del rng
        return state | {"weight": state["weight"] + steps * hparams["speed"]}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["weight"])


class RenewedCounter(Counter):
    def renew(self, state: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
        return fresh | {"weight": state["weight"] / 5}


def test_a_task_renews_weights_once_before_the_turn() -> None:
    result = ramet.run(RenewedCounter(), SPACE, STRATEGY, **RUN)

    # 10 steps, of which a fifth is left, and 20 more.
    assert result.members[1].load()["weight"] == pytest.approx(10 / 5 + 20)


def test_fresh_weights_are_others_than_the_first_and_the_same_in_every_run() -> None:
    first, second = (ramet.run(RenewedCounter(), SPACE, STRATEGY, **RUN) for _ in range(2))
    before = ramet.run(Counter(), SPACE, ramet.Grid(points=STRATEGY.points), **RUN)

    starts = [first.members[id_].load()["start"] for id_ in range(2)]
    assert starts == [second.members[id_].load()["start"] for id_ in range(2)]
    assert starts != [before.members[id_].load()["start"] for id_ in range(2)]


def test_a_task_that_cannot_renew_is_refused() -> None:
    with pytest.raises(UsageError, match=r"renew\(state, fresh\).*Counter has none"):
        ramet.run(Counter(), SPACE, STRATEGY, **RUN)


def loop(session: ramet.Session, *, asks: bool) -> None:
    state = {"weight": 0.0}
    for turn in session.turns(state):
        if asks and turn.renewed:
            state["weight"] /= 5
        for _ in turn:
            state["weight"] += turn.hparams["speed"]
        turn.report(state["weight"])


def test_a_loop_renews_weights_itself() -> None:
    result = ramet.run(lambda session: loop(session, asks=True), SPACE, STRATEGY, **RUN)

    assert result.members[1].load()["weight"] == pytest.approx(10 / 5 + 20)


def test_a_loop_that_does_not_ask_is_refused() -> None:
    with pytest.raises(TurnMisused, match=r"turn 1 of member \d whether it is turn.renewed"):
        ramet.run(lambda session: loop(session, asks=False), SPACE, STRATEGY, **RUN)


def test_a_control_beside_a_strategy_is_not_renewed_by_itself() -> None:
    controlled = ramet.Controlled(STRATEGY, {"speed": 0.1})
    result = ramet.run(RenewedCounter(), SPACE, controlled, **RUN)

    assert result.members[1].load()["weight"] == pytest.approx(10 / 5 + 20)


@pytest.mark.parametrize("train", [RenewedCounter(), lambda session: loop(session, asks=True)])
def test_a_replay_renews_weights_where_they_were_renewed(train: Any) -> None:
    result = ramet.run(train, SPACE, STRATEGY, **RUN)
    schedule = result.schedule()
    exact = ramet.replay(train, schedule, seeds=None)
    seeds = ramet.replay(train, schedule, seeds=[5])

    assert schedule.source is not None
    assert schedule.source.renewed == (10,)
    assert exact.scores == [result.best.score]
    assert exact.result.best.load() == result.best.load()
    assert seeds.scores == [pytest.approx(10 / 5 + 20)]
    assert seeds.result.schedule().source is not None
    assert [turn.renewed for turn in exact.result.lineage().ancestors(0)] == [False, True, False]


def test_a_schedule_that_is_changed_still_renews_weights(tmp_path: Path) -> None:
    result = ramet.run(RenewedCounter(), SPACE, STRATEGY, **RUN)
    stretched = result.schedule().stretch(45)
    stretched.save(tmp_path / "s.json")
    replayed = ramet.replay(RenewedCounter(), Schedule.load(tmp_path / "s.json"), seeds=[0])

    assert stretched.source is not None
    assert stretched.source.renewed == (15,)
    assert replayed.scores == [pytest.approx(15 / 5 + 30)]
    assert "renewed before update 15:" in stretched.to_python()


@dataclass(frozen=True)
class Remembering(RenewSecond):
    remember: int = 5


def test_the_score_of_the_weights_before_is_not_that_of_renewed_ones() -> None:
    strategy = Remembering(points=STRATEGY.points, turn_steps=10, synchronous=True)
    result = ramet.run(RenewedCounter(), SPACE, strategy, **RUN)

    befores = [turn.before for turn in result.population[1].past]
    assert befores == [None, None, pytest.approx(12.0)]


@pytest.mark.parametrize("controlled", [False, True])
def test_what_cannot_renew_is_refused_before_it_trains(controlled: bool) -> None:  # noqa: FBT001 - a case
    ipbt = ramet.IPBT(population=4, renew=True)
    strategy = ramet.Controlled(ipbt, {"speed": 0.1}) if controlled else ipbt
    store = MemoryStore()

    with pytest.raises(UsageError, match=r"renew\(state, fresh\).*Counter has none"):
        ramet.run(
            Counter(), SPACE, strategy, **RUN, store=ramet.Storage(store, blobs=MemoryBlobs())
        )

    assert not store.runs()


class RenewedTogether(Together):
    def renew(self, state: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
        del state
        return fresh


def test_members_that_train_together_are_not_renewed_and_refused_before_they_train() -> None:
    settings: dict[str, Any] = {"steps": 100, "mode": "max", "seed": 0}
    strategy = ramet.IPBT(population=4, renew=True)
    train = RenewedTogether()

    ramet.run(train, LOOP_SPACE, strategy, **settings)
    with pytest.raises(UsageError, match=r"RenewedTogether with ramet.Vectorized\(\) cannot do it"):
        ramet.run(train, LOOP_SPACE, strategy, **settings, engine=ramet.Vectorized())
    assert not train.lanes


def test_a_task_of_tensors_is_refused_before_it_trains() -> None:
    torch = pytest.importorskip("ramet.torch")

    class Functions:
        def init(self, rng: object) -> Any: ...
        def draw(self, rng: object, steps: int) -> Any: ...
        def step(self, state: Any, hparams: Any, drawn: Any) -> Any: ...
        def evaluate(self, state: Any) -> Any: ...

    strategy = ramet.IPBT(population=4, renew=True)
    with pytest.raises(
        UsageError, match=r"IPBT asks for it and a Task cannot do it; write a loop, or use"
    ):
        ramet.run(torch.Task(Functions(), device="cpu"), SPACE, strategy, **RUN)
