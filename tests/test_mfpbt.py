"""MF-PBT's decisions, sentence by sentence as the paper has them.

A scene is what a round left: sub-population 1 is members 0 to 7, sub-population 2 members 8 to 15,
and so on. The rate of a member tells it from the others: 2 to the power of its id.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import ramet
from ramet import MFPBT, LogUniform, Perturb, Population, Space
from ramet.errors import StrategyError, StrategyWarning
from ramet.population import Member
from ramet.space import Hparams
from ramet.strategies import Action, Change, Copy
from tests import values
from tests.engine.loops import SPACE as LOOP_SPACE
from tests.engine.loops import Descent

SPACE = Space(lr=LogUniform(2.0**-90, 2.0**90))
# Steps in a turn, and the rounds of a budget.
TURN_STEPS, ROUNDS = values.TURN_STEPS, 100
SIZE = 8


def mfpbt(intervals: Sequence[int], size: int = SIZE, **settings: Any) -> MFPBT:
    return MFPBT(
        population=size * len(intervals),
        turn_steps=TURN_STEPS,
        intervals=intervals,
        **{"explore": Perturb((1.0,)), **settings},
    )


def scene(*groups: Sequence[float | None], round_: int = 99) -> Population:
    """Return what a round left of sub-populations with these scores."""
    members: list[Member] = []
    for number, scores in enumerate(groups, start=1):
        for score in scores:
            id_ = len(members)
            curve = [] if score is None else [score]
            hparams: Hparams = {"lr": 2.0**id_}
            members.append(values.member(id_, *curve, group=number, hparams=hparams))
    steps = ROUNDS * 10 * TURN_STEPS
    population = values.population(members, space=SPACE, steps=steps)
    return replace(population, round=round_)


def falling(top: float, size: int = SIZE) -> list[float]:
    """Scores of members of which the first is the best."""
    return [top - place for place in range(size)]


def decided(strategy: MFPBT, population: Population, seed: int = 0) -> list[Action]:
    return values.decided(strategy, population, seed=seed)


def copies(actions: Sequence[Action], kind: str) -> list[tuple[int, int]]:
    """Who copied whom."""
    return [(a.member, a.source) for a in actions if isinstance(a, Copy) and a.kind == kind]


def outcome(population: Population, actions: Sequence[Action]) -> dict[int, tuple[int, int]]:
    """For each member that was acted on, whose weights and whose hyperparameters it then has."""
    weights: dict[int, int] = {}
    rates = {member.id: member.hparams["lr"] for member in population}
    before = dict(rates)
    for action in actions:
        match action:
            case Copy(member=member, source=source):
                weights[member] = source if action.weights else member
                rates[member] = before[source] if action.hparams else rates[member]
            case Change(member=member, hparams=hparams):
                rates[member] = hparams["lr"]
    return {
        id_: (source, round(math.log2(float(rates[id_] or 0)))) for id_, source in weights.items()
    }


def test_members_are_in_equal_sub_populations_and_all_count_for_the_best() -> None:
    births = mfpbt((1, 5, 10)).births(SPACE, ROUNDS * TURN_STEPS, np.random.default_rng(0))

    assert [birth.group for birth in births] == [1] * 8 + [2] * 8 + [3] * 8
    assert all(birth.ranked and not birth.rests for birth in births)


def test_starting_points_are_those_of_each_sub_population() -> None:
    strategy = mfpbt((1, 5), initial=[{"lr": 0.5}])

    births = strategy.births(SPACE, ROUNDS * TURN_STEPS, np.random.default_rng(0))

    assert [birth.hparams["lr"] == 0.5 for birth in births] == [i % 8 == 0 for i in range(16)]


@pytest.mark.parametrize(
    ("round_", "due"),
    [(0, {1}), (3, {1, 2}), (4, {1}), (9, {1, 3}), (19, {1, 2, 3}), (18, {1})],
)
def test_a_sub_population_decides_after_the_rounds_that_its_interval_divides(
    round_: int, due: set[int]
) -> None:
    population = scene(*[falling(9)] * 3, round_=round_)

    actions = decided(mfpbt((1, 4, 10)), population)

    assert {population[action.member].group for action in actions} == due


def test_each_of_the_worst_quarter_copies_its_counterpart_in_the_best() -> None:
    population = scene(falling(9))

    actions = decided(mfpbt((1,)), population)

    assert outcome(population, actions) == {6: (0, 0), 7: (1, 1)}


def test_ranks_are_local() -> None:
    low, high = falling(9), falling(109)

    actions = decided(mfpbt((1, 2)), scene(low, high))

    assert copies(actions, "exploit") == [(6, 0), (7, 1), (14, 8), (15, 9)]


def test_then_it_explores_with_either_factor() -> None:
    strategy = mfpbt((1,), explore=MFPBT(population=16).explore)
    found = set()
    for seed in range(40):
        [lr, _] = [
            a.hparams["lr"]
            for a in decided(strategy, scene(falling(9)), seed)
            if isinstance(a, Change)
        ]
        found.add(lr)

    assert found == {0.8, 1.25}


def test_the_first_and_second_quarter_stay() -> None:
    actions = decided(mfpbt((1, 2)), scene(falling(9), falling(109)))

    assert {action.member for action in actions}.isdisjoint({0, 1, 2, 3, 8, 9, 10, 11})


def test_the_third_quarter_takes_better_weights_from_outside_best_first() -> None:
    actions = decided(mfpbt((1, 2)), scene(falling(9), falling(109)))

    assert copies(actions, "migration") == [(4, 8), (5, 9)]


def test_no_member_of_the_outside_is_used_twice() -> None:
    # Only one outside is better than both.
    outside = [50.0, *falling(0, 7)]

    actions = decided(mfpbt((1, 2)), scene(falling(9), outside))

    # Member 4 (score 5) takes member 8; member 5 (score 4) would take member 9, but that has 0.
    assert [pair for pair in copies(actions, "migration") if pair[0] < 8] == [(4, 8)]


def test_weights_that_are_not_better_are_not_taken() -> None:
    actions = decided(mfpbt((1, 2)), scene(falling(9), [5.0] * 8))

    # Members 4 and 5 have scores of 5 and 4: an equal score is not better.
    assert copies(actions, "migration") == [(5, 8), (12, 0), (13, 1)]


def test_all_other_sub_populations_are_the_outside() -> None:
    second, third = [20.0, 18.0, *[-9.0] * 6], [19.0, 17.0, *[-9.0] * 6]

    actions = decided(mfpbt((1, 2, 4)), scene(falling(9), second, third))

    assert copies(actions, "migration")[:2] == [(4, 8), (5, 16)]


def test_a_greedy_sub_population_takes_hyperparameters_of_a_steady_one_as_well() -> None:
    population = scene(falling(9), falling(109))

    actions = decided(mfpbt((1, 2)), population)

    assert {id_: outcome(population, actions)[id_] for id_ in (4, 5)} == {4: (8, 8), 5: (9, 9)}


def test_a_steady_one_takes_weights_only_and_the_hyperparameters_of_its_own_best() -> None:
    population = scene(falling(109), falling(9))

    actions = decided(mfpbt((1, 2)), population)

    # Members 8 to 15 decide every second round; member 8 is their best.
    assert {id_: outcome(population, actions)[id_] for id_ in (12, 13)} == {
        12: (0, 8),
        13: (1, 8),
    }


def test_what_migrated_does_not_explore() -> None:
    population = scene(falling(9), falling(109))

    actions = decided(mfpbt((1, 2), explore=Perturb((2.0,))), population)

    assert {id_: outcome(population, actions)[id_][1] for id_ in (4, 5)} == {4: 8, 5: 9}


def test_all_copies_come_from_the_state_before_the_event() -> None:
    """Members 12 and 6 are copied by others, and copy others themselves."""
    population = scene([9, 8, 7, 6, 5, 4, 30, 2], falling(9))
    # Member 6 is now the best of sub-population 1.
    actions = decided(mfpbt((1, 2)), population)

    assert copies(actions, "exploit")[:2] == [(5, 6), (7, 0)]
    changed = {action.member for action in actions}
    for action in actions:
        if isinstance(action, Copy) and action.kind == "exploit":
            assert action.source not in changed
            [change] = [a for a in actions if isinstance(a, Change) and a.member == action.member]
            assert change.hparams == population[action.source].hparams


def test_one_sub_population_has_no_outside() -> None:
    assert copies(decided(mfpbt((1,)), scene(falling(9))), "migration") == []


# What the paper does not say


def test_a_failed_member_is_replaced_after_any_round() -> None:
    second = falling(9)
    second[3] = math.nan

    actions = decided(mfpbt((1, 50)), scene(falling(9), second, round_=0))

    assert copies(actions, "exploit") == [(6, 0), (7, 1), (11, 8)]


def test_failed_members_are_the_worst_when_quarters_are_made() -> None:
    scores = [math.nan, *falling(9, 7)]

    actions = decided(mfpbt((1,)), scene(scores))

    # Member 7 is the one other member of the worst quarter.
    assert copies(actions, "exploit") == [(7, 1), (0, 2)]


def test_a_failed_sub_population_goes_on_from_the_best_of_another() -> None:
    population = scene(falling(9), [math.nan] * 8, round_=0)

    actions = decided(mfpbt((1, 50)), population)

    assert copies(actions, "exploit")[2:] == [(id_, 0) for id_ in range(8, 16)]


def test_nothing_is_copied_where_no_member_has_a_score() -> None:
    assert not decided(mfpbt((1, 2)), scene([math.nan] * 8, [math.nan] * 8))


def test_a_member_without_a_score_is_left_alone() -> None:
    scores: list[float | None] = [None, *falling(9, 7)]

    actions = decided(mfpbt((1,)), scene(scores))

    # Of seven members a quarter is one.
    assert copies(actions, "exploit") == [(7, 1)]


def test_the_last_round_changes_nothing() -> None:
    population = scene(falling(9))
    over = replace(population, steps=TURN_STEPS)

    assert over.done
    assert not decided(mfpbt((1,)), over)


# Laws

SCORES = st.lists(values.scores, min_size=16, max_size=16)


@given(scores=SCORES, round_=st.integers(0, 19), seed=st.integers(0, 99))
def test_members_are_only_given_values_of_the_space_and_weights_with_a_score(
    scores: list[float | None], round_: int, seed: int
) -> None:
    population = scene(scores[:8], scores[8:], round_=round_)

    actions = decided(mfpbt((1, 5), explore=Perturb((1e-30, 1e30))), population, seed)

    for action in actions:
        if isinstance(action, Change):
            assert SPACE.problem(action.hparams) is None
        if isinstance(action, Copy):
            source = population[action.source].score
            assert source is not None
            assert math.isfinite(source)
            assert action.source != action.member


@given(scores=SCORES, seed=st.integers(0, 99))
def test_every_failed_member_is_replaced_and_no_other_is_copied_twice_over(
    scores: list[float | None], seed: int
) -> None:
    population = scene(scores[:8], scores[8:])

    actions = decided(mfpbt((1, 5)), population, seed)

    taken = [action.member for action in actions if isinstance(action, Copy)]
    failed = {m.id for m in population if m.score is not None and not math.isfinite(m.score)}
    finite = [m for m in population if m.score is not None and math.isfinite(m.score)]
    assert len(set(taken)) == len(taken)
    assert not finite or failed <= set(taken)


@given(scores=SCORES, seed=st.integers(0, 99))
def test_the_same_population_is_decided_about_alike(scores: list[float | None], seed: int) -> None:
    population = scene(scores[:8], scores[8:])
    strategy = mfpbt((1, 5), explore=Perturb())

    assert decided(strategy, population, seed) == decided(strategy, population, seed)


# Settings


@pytest.mark.parametrize(
    ("population", "remedy"), [(18, "use 12 or 24"), (4, "use 12$"), (25, "use 24 or 36")]
)
def test_a_population_that_does_not_divide_is_refused(population: int, remedy: str) -> None:
    with pytest.raises(StrategyError, match=f"a multiple of 12.*{remedy}"):
        MFPBT(population=population, intervals=(1, 5, 10))


@pytest.mark.parametrize("intervals", [(5, 1), (1, 1), (1, 10, 5)])
def test_intervals_that_do_not_ascend_are_refused(intervals: tuple[int, ...]) -> None:
    ascending = tuple(sorted(set(intervals)))
    with pytest.raises(StrategyError, match="intervals must ascend") as caught:
        MFPBT(population=24, intervals=intervals)
    assert str(caught.value).endswith(f"use {ascending}")


@pytest.mark.parametrize("intervals", [(), 5, "fast"])
def test_intervals_must_be_a_list(intervals: Any) -> None:
    with pytest.raises(StrategyError, match="intervals must be a list of numbers of rounds"):
        MFPBT(population=24, intervals=intervals)


@pytest.mark.parametrize("interval", [0, 1.5, True])
def test_an_interval_is_a_whole_number_of_rounds(interval: Any) -> None:
    with pytest.raises(StrategyError, match="an interval must be a whole number, at least 1"):
        MFPBT(population=8, intervals=(interval,))


def test_a_budget_that_ends_before_the_longest_interval_warns() -> None:
    strategy = MFPBT(population=16, turn_steps=5, intervals=(1, 10))
    with pytest.warns(StrategyWarning, match=r"intervals=\(10,\) never decide"):
        strategy.births(SPACE, 50, np.random.default_rng(0))
    with warnings.catch_warnings():
        strategy.births(SPACE, 55, np.random.default_rng(0))


@pytest.mark.parametrize("steps", [80, 200, 81, 1001])
def test_turns_are_chosen_so_that_the_slowest_decides_three_times(steps: int) -> None:
    strategy = MFPBT(population=8, intervals=(1, 5))
    run = ramet.run(Descent(), LOOP_SPACE, strategy, steps=steps, mode="max", seed=0)
    slow = {copy.turn for copy in run.lineage().copies if copy.member >= 4}

    assert len(slow) == 3
