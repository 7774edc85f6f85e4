"""Budgets in which a strategy cannot do what it is for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.errors import StrategyWarning
from tests.engine.loops import SPACE, Descent, descent_loop, pbt

FIRE = ramet.FIRE(turn_steps=14, evaluate_every=2, size=2)
HAND_TUNED = ramet.HandTuned(population=2, turn_steps=14, shapes={"lr": ramet.Cosine()})


class Untouched(Descent):
    """Fails as soon as anything is trained."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        raise AssertionError


@pytest.mark.parametrize("steps", [8, 14])
@pytest.mark.parametrize(
    ("strategy", "never"),
    [
        (pbt(turn_steps=14), "no member will ever copy another or explore"),
        (pbt(turn_steps=14, exploit=None), "no member will ever copy another or explore"),
        (FIRE, "no member will ever copy another or be evaluated"),
        (HAND_TUNED, "every value will stay as it begins"),
    ],
    ids=["PBT", "only exploring", "FIRE", "hand-tuned"],
)
def test_a_budget_without_a_second_turn_is_said_before_anything_is_trained(
    strategy: ramet.Strategy, never: str, steps: int
) -> None:
    said = (
        rf"two turns or more for {type(strategy).__name__} .* steps={steps} is .* turn_steps=14: "
    )
    with pytest.raises(StrategyWarning, match=f"{said}{never}; raise steps, or lower turn_steps"):
        ramet.run(Untouched(), SPACE, strategy, steps=steps, mode="max", seed=0)


def test_a_budget_below_two_scores_is_said_to_need_a_lower_evaluate_every() -> None:
    strategy = ramet.PBT(population=5, evaluate_every=10)
    with pytest.raises(StrategyWarning, match="or lower turn_steps and evaluate_every=10, which"):
        ramet.run(Untouched(), SPACE, strategy, steps=8, mode="max", seed=0)


T_TEST = pbt(turn_steps=4, exploit=ramet.TTest())


def test_a_budget_in_which_a_t_test_never_has_two_scores_is_said_before_training() -> None:
    said = (
        r"the 2 scores that TTest needs .* after step 8, and steps=8: only .* raise steps, or lower"
    )
    with pytest.raises(StrategyWarning, match=said):
        ramet.run(Untouched(), SPACE, T_TEST, steps=8, mode="max", seed=0)


@pytest.mark.parametrize("changes", [{"turn_steps": 4}, {"turn_steps": 8, "evaluate_every": 4}])
def test_a_t_test_with_a_turn_after_its_second_scores_copies(changes: dict[str, int]) -> None:
    strategy = pbt(population=20, exploit=ramet.TTest(alpha=0.4), synchronous=True, **changes)
    result = ramet.run(descent_loop, SPACE, strategy, steps=12, mode="max", seed=0)
    assert result.population.copies


class Patient:
    """A rule that needs five scores, and says so."""

    least_scores = 5

    def check(self, population: int) -> None:
        pass

    def pairs(self, members: Any, ready: Any, rng: Any) -> list[tuple[int, int]]:
        return []


def test_a_users_rule_says_how_many_scores_it_needs() -> None:
    strategy = pbt(turn_steps=4, evaluate_every=2, exploit=Patient())
    with pytest.raises(StrategyWarning, match=r"the 5 scores that Patient needs .* after step 12,"):
        ramet.run(Untouched(), SPACE, strategy, steps=12, mode="max", seed=0)
    ramet.run(descent_loop, SPACE, strategy, steps=13, mode="max", seed=0)


def test_what_is_said_of_a_budget_points_at_the_call() -> None:
    with pytest.warns(StrategyWarning) as warned:
        ramet.run(Descent(), SPACE, pbt(), steps=4, mode="max", seed=0)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(
    "strategy",
    [ramet.RandomSearch(population=2, turn_steps=8), pbt(turn_steps=8, exploit=None, explore=None)],
    ids=["random search", "PBT of which all is left out"],
)
def test_one_turn_is_enough_where_nothing_is_to_change(strategy: ramet.Strategy) -> None:
    assert ramet.run(Descent(), SPACE, strategy, steps=4, mode="max", seed=0).population.done


def test_a_budget_that_was_said_to_be_small_is_not_spoken_of_again(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    with pytest.warns(StrategyWarning):
        ramet.run(Descent(), SPACE, pbt(), steps=4, mode="max", seed=0, store=store)
    # Warnings are errors here.
    ramet.run(Descent(), SPACE, pbt(), steps=4, mode="max", seed=0, store=store)
    raised = ramet.run(
        Descent(), SPACE, pbt(), steps=8, mode="max", seed=0, store=store, existing="extend"
    )
    assert raised.population.done


def test_a_replay_of_one_turn_is_no_mistake() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    assert ramet.replay(Descent(), result.schedule(), steps=2, seeds=[0]).result.population.done
