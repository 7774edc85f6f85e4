"""What FIRE may be set to, and what it refuses."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet import FIRE, GaussianProcess, LogUniform, Perturb, Population, Space
from ramet.description import describe
from ramet.errors import StrategyError, StrategyWarning
from ramet.points import Curve
from ramet.population import Member
from ramet.strategies import from_description

SPACE = Space(lr=LogUniform(1e-6, 1e6))


def fire(**settings: Any) -> FIRE:
    return FIRE(**{"turn_steps": 10, "evaluate_every": 1, "size": 4, "evaluators": 2, **settings})


def test_the_papers_splits() -> None:
    splits = {
        workers: FIRE.for_workers(workers, turn_steps=48, evaluate_every=4)
        for workers in (22, 36, 50, 64)
    }
    assert [
        (split.subpopulations, split.size, split.evaluator_count) for split in splits.values()
    ] == [(2, 8, 6), (3, 8, 12), (4, 8, 18), (5, 8, 24)]
    assert all(split.workers == workers for workers, split in splits.items())
    assert FIRE(turn_steps=48, evaluate_every=4, size=18).workers == 50


@pytest.mark.parametrize("workers", range(6, 90))
def test_of_any_number_of_workers_hardly_one_is_left_out(workers: int) -> None:
    split = FIRE.for_workers(workers, turn_steps=48, evaluate_every=4)
    # 7 are too few for more than 2, 2 and 2; likewise 10, 13 and 16.
    assert split.workers == workers - (workers in {7, 10, 13, 16})
    assert split.evaluator_count >= 0.6 * (split.subpopulations - 1) * split.size


def test_without_parents_there_are_no_evaluators() -> None:
    assert FIRE(turn_steps=48, evaluate_every=4, subpopulations=1).workers == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, "size must be a whole number, at least 2"),
        ({"evaluators": 0}, "evaluators must be at least 2, .* but got 0; .*None has 3"),
        ({"evaluators": 1}, "evaluators must be at least 2"),
        ({"evaluators": 5}, "at most one for each of those 4"),
        ({"subpopulations": 1, "evaluators": 2}, "must be left out with subpopulations=1"),
        ({"evaluators": 2.5}, "evaluators must be a whole number"),
        ({"evaluate_every": 0}, "evaluate_every must be a whole number"),
        ({"smoother": "smooth"}, "smoother must be a function of a curve"),
        ({"p_stat": "low"}, "p_stat must lie in"),
        ({"subpopulations": 0}, "subpopulations must be a whole number"),
        ({"quantile": 0.6}, "quantile must lie in"),
        ({"p_stat": 0}, "p_stat must lie in"),
        ({"max_eval_steps": 0}, "max_eval_steps must be a whole number"),
        ({"min_steps_before_eval": (1, 2)}, "one for each of the 1 sub-populations"),
        ({"min_steps_before_eval": -1}, "min_steps_before_eval must be a whole number"),
        ({"explore": Perturb}, "^explore must be a rule"),
        ({"greedy_explore": Perturb}, r"greedy_explore must be a rule such as Perturb\(\(0.8"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        fire(**settings)


def test_too_few_workers_are_refused() -> None:
    with pytest.raises(StrategyError, match="workers must be a whole number, at least 6"):
        FIRE.for_workers(5, turn_steps=48, evaluate_every=4)


def test_a_threshold_that_no_evaluator_can_reach_is_warned_of() -> None:
    with pytest.warns(StrategyWarning, match=r"must win 7 .* there are 6 .* evaluate_every=6"):
        FIRE(turn_steps=48, evaluate_every=24)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FIRE(turn_steps=48, evaluate_every=16)


def test_scores_must_be_evenly_spaced() -> None:
    with pytest.raises(StrategyError, match="steps must be a multiple of evaluate_every"):
        FIRE(turn_steps=48, evaluate_every=4).births(SPACE, 1_001, np.random.default_rng(0))
    member = Member(id=3, hparams={"lr": 1.0}, group=1, curve=Curve((1, 2, 3, 5), (0, 0, 0, 0)))
    population = Population(space=SPACE, steps=100, members=(member,))
    with pytest.raises(StrategyError, match="member 3 has them at steps … 2, 3, 5"):
        fire().decide(population, (0,), np.random.default_rng(0))


def test_a_split_that_is_given_twice_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"must follow from workers, but got \['size'\]"):
        FIRE.for_workers(22, turn_steps=48, evaluate_every=4, size=4)


def test_a_description_makes_the_strategy_again() -> None:
    strategy = fire(
        initial=[{"lr": 0.1}], min_steps_before_eval=[20], greedy_explore=Perturb((0.8, 1.25))
    )
    assert from_description(describe(strategy)) == strategy
    assert hash(fire()) == hash(fire())


def test_enough_turns_are_remembered_for_both_rules() -> None:
    wide, narrow = GaussianProcess(rows=1_000), GaussianProcess(rows=100)
    remembered = fire(explore=wide).remember
    assert fire(explore=wide, greedy_explore=narrow).remember == remembered
    assert fire(greedy_explore=wide).remember == remembered
    assert fire(greedy_explore=Perturb()).remember == 0


@given(steps=st.integers(1, 10_000))
def test_what_a_budget_gives_divides_it_into_turns_with_enough_scores(steps: int) -> None:
    try:
        fitted = FIRE().fit(steps)
    except StrategyError as refused:
        steps = int(str(refused).partition("use steps=")[2].partition(",")[0])
        fitted = FIRE().fit(steps)
    assert fitted.turn_steps is not None
    assert fitted.evaluate_every is not None
    assert steps % fitted.evaluate_every == 0
    assert fitted.turn_steps % fitted.evaluate_every == 0
    assert 8 <= fitted.turn_steps // fitted.evaluate_every <= 12
    assert fitted.turn_steps == 8 or 10 <= steps / fitted.turn_steps <= 40


@given(steps=st.integers(1, 10_000), turn_steps=st.integers(7, 500))
def test_turns_that_are_given_get_enough_scores_or_are_refused(steps: int, turn_steps: int) -> None:
    try:
        every = FIRE(turn_steps=turn_steps).fit(steps).evaluate_every
    except StrategyError:
        shared = math.gcd(steps, turn_steps)
        possible = [n for n in range(8, 25) if turn_steps % n == 0 and shared * n % turn_steps == 0]
        assert possible == []
        return
    assert every is not None
    assert turn_steps % every == 0
    assert steps % every == 0
    assert 7 <= turn_steps // every <= 24


def test_scores_that_are_given_are_at_least_eight_a_turn() -> None:
    assert FIRE(evaluate_every=10).fit(4_000).turn_steps == 200
    assert FIRE(evaluate_every=100).fit(4_000).turn_steps == 800


def test_a_strategy_without_a_budget_says_that_it_needs_one() -> None:
    population = Population(space=SPACE, steps=100, members=(Member(id=0, hparams={"lr": 1.0}),))
    with pytest.raises(StrategyError, match=r"FIRE must know its turn_steps .* call its fit"):
        FIRE().decide(population, (0,), np.random.default_rng(0))


def test_without_rounds_no_member_rests() -> None:
    assert fire().synchronous
    births = fire(synchronous=False).births(SPACE, 1_000, np.random.default_rng(0))
    assert [birth.group for birth in births] == [1] * 4 + [2] * 4 + [0] * 2
    assert not any(birth.rests for birth in births)
    with_rounds = fire().births(SPACE, 1_000, np.random.default_rng(0))
    assert [birth.hparams for birth in births] == [birth.hparams for birth in with_rounds]
    assert not FIRE.for_workers(22, synchronous=False).fit(960).synchronous
