"""Turns of strategies that leave their length to the budget."""

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import RunMismatch, StrategyError
from ramet.store import MemoryStore
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.engine.loops import SPACE, Descent

STRATEGIES = [
    ramet.PBT(population=5),
    ramet.RandomSearch(population=2),
    ramet.Grid([{"lr": 0.5, "decay": 0.1}]),
    ramet.HandTuned(population=2, shapes={"lr": ramet.Cosine(last=0.1)}),
]


def train(strategy: ramet.Strategy, *, steps: int = 40, **settings: Any) -> ramet.Result:
    return ramet.run(Descent(), SPACE, strategy, steps=steps, mode="max", seed=0, **settings)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_a_strategy_without_turn_steps_takes_a_twentieth_of_the_budget(
    strategy: Any,
) -> None:
    left_out, given = train(strategy), train(replace(strategy, turn_steps=2))

    assert left_out.events == given.events
    assert left_out.events[0].turn_steps == 2


def test_fire_needs_neither_turn_steps_nor_evaluate_every() -> None:
    settings: dict[str, Any] = {"steps": 320, "mode": "max", "seed": 0}
    small = {"subpopulations": 2, "size": 2, "evaluators": 2}

    left_out = ramet.run(Quadratic(), QUADRATIC_SPACE, ramet.FIRE(**small), **settings)

    given = ramet.FIRE(**small, turn_steps=16, evaluate_every=2)
    assert left_out.events == ramet.run(Quadratic(), QUADRATIC_SPACE, given, **settings).events


def test_what_the_budget_gave_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    place = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}

    with caplog.at_level(logging.INFO, "ramet"):
        for _ in range(2):
            train(ramet.PBT(population=5), **place)
        train(ramet.PBT(population=5, turn_steps=2))

    said = [record for record in caplog.records if "turn_steps=" in record.getMessage()]
    assert [record.turn_steps for record in said] == [2]


def test_an_extended_budget_keeps_the_turns_of_the_first() -> None:
    place = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    train(ramet.PBT(population=5), **place)

    extended = train(ramet.PBT(population=5), steps=80, existing="extend", **place)

    ends = [e.trained for e in extended.events if isinstance(e, ramet.events.TurnEnded)]
    assert max(ends) == 80
    assert all(end % 2 == 0 for end in ends)
    assert {2, 42} <= set(ends)


def test_a_run_goes_on_with_the_number_that_the_budget_gave() -> None:
    place = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    first = train(ramet.PBT(population=5), **place)

    assert train(ramet.PBT(population=5, turn_steps=2), **place).events == first.events
    with pytest.raises(RunMismatch, match=r"strategy\.turn_steps: 2 -> 4"):
        train(ramet.PBT(population=5, turn_steps=4), **place)


@dataclass(frozen=True)
class Still:
    """A strategy of a user, which says nothing about its turns."""

    turn_steps: int | None = None
    evaluate_every: int | None = None
    synchronous: bool = False

    def births(self, space: ramet.Space, steps: int, rng: Any) -> list[Any]:
        return [ramet.strategies.Birth(hparams=space.sample(rng))]

    def decide(self, population: ramet.Population, ready: Any, rng: Any) -> tuple[()]:
        return ()


class Fitted(Still):
    def fit(self, steps: int) -> Still:
        return Still(turn_steps=steps // 4)


@dataclass(frozen=True)
class Unfitted(Still):
    returned: Any = None

    def fit(self, steps: int) -> Any:
        return self.returned


@pytest.mark.parametrize("returned", [None, Still(), 5])
def test_what_fit_of_a_strategy_returns_must_know_its_turns(returned: Any) -> None:
    said = r"fit\(steps\) must return a strategy with turn_steps, .* Unfitted returned"
    with pytest.raises(StrategyError, match=f"{said} {re.escape(repr(returned))}$"):
        train(Unfitted(returned=returned))


@pytest.mark.parametrize("strategy", [*STRATEGIES, ramet.FIRE()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("steps", [0, -5, 2.5, "many"])
def test_a_strategy_is_fitted_to_a_number_of_steps_only(strategy: Any, steps: Any) -> None:
    with pytest.raises(StrategyError, match="steps must be a whole number, at least 1, but got"):
        strategy.fit(steps)


def test_a_budget_that_scores_of_fire_do_not_divide_is_answered_with_those_that_they_do() -> None:
    with pytest.raises(StrategyError, match=r"evaluate_every=3\); use steps=39 or steps=42$"):
        train(ramet.FIRE(evaluate_every=3), steps=40)


def test_a_users_strategy_needs_turn_steps_or_fit() -> None:
    with pytest.raises(StrategyError, match=r"Still has None; .* needs a method fit\(steps\)"):
        train(Still())
    assert train(Fitted()).events[0].turn_steps == 10


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (ramet.PBT(population=5), "turns of 2 steps, which follow from the budget"),
        (
            ramet.FIRE(subpopulations=2, size=2, evaluators=2, turn_steps=20),
            "turns of 20 steps and scores every 2, which follow from the budget",
        ),
    ],
)
def test_what_the_budget_gave_is_shown_above_the_progress_once(
    strategy: ramet.Strategy, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {
        "steps": 40,
        "store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()),
        "engine": ramet.Inline(progress=True),
    }
    train(strategy, **settings)

    assert caplog.messages[0] == f"run  {said}"

    caplog.clear()
    train(strategy, **settings)

    assert "follow from the budget" not in caplog.text


def test_no_pace_is_shown_if_the_strategy_gives_it(caplog: pytest.LogCaptureFixture) -> None:
    train(ramet.PBT(population=5, turn_steps=2), engine=ramet.Inline(progress=True))

    assert "5 members" in caplog.text
    assert "follow from the budget" not in caplog.text
