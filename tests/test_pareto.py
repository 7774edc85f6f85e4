"""Who copies whom by several objectives, and what settings are refused."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet import Pareto
from ramet.description import describe
from ramet.errors import StrategyError
from ramet.fronts import rank_points
from ramet.goals import Goal, make_point, negate_score, sum_violations
from ramet.population import Member
from ramet.strategies import from_description
from tests import values

LATENCY = Pareto({"latency": "min"}, quantile=0.25)
FIFTH, HALF = (Pareto({"latency": "min"}, quantile=part) for part in (0.2, 0.5))
numbers = st.sampled_from([0.0, 1.0, 2.0, 3.0]) | st.floats(-1e6, 1e6)
ends = st.lists(st.tuples(numbers, numbers), min_size=4, max_size=12)


def members_of(
    ends: Sequence[tuple[float | None, float | None]], violations: Sequence[float] = ()
) -> list[Member]:
    """Return members with these scores and latencies."""
    found = values.with_scores([score for score, _ in ends])
    told = [*violations, *[0.0] * len(ends)]
    return [
        values.replace(
            member,
            metrics={} if score is None or not math.isfinite(score) else {"latency": latency},
            violation=violation,
        )
        for member, (score, latency), violation in zip(found, ends, told, strict=False)
    ]


def pairs(rule: Pareto, members: Sequence[Member], seed: int = 0) -> list[tuple[int, int]]:
    return list(rule.pairs(members, range(len(members)), np.random.default_rng(seed)))


def beats(one: Member, other: Member) -> bool:
    """Return whether one member dominates another within bounds."""
    (a, b), (c, d) = (
        (member.score or 0.0, -(member.metrics["latency"] or 0.0)) for member in (one, other)
    )
    return a >= c and b >= d and (a, b) != (c, d)


@given(ends=ends, seed=st.integers(0, 99))
def test_no_member_copies_one_that_it_dominates(ends: list[tuple[float, float]], seed: int) -> None:
    members = members_of(ends)
    for loser, donor in pairs(LATENCY, members, seed):
        assert not beats(members[loser], members[donor])
        assert loser != donor


@given(ends=ends, seed=st.integers(0, 99))
def test_a_quarter_copies(ends: list[tuple[float, float]], seed: int) -> None:
    assert len(pairs(LATENCY, members_of(ends), seed)) == len(ends) // 4


def test_both_ends_of_the_front_are_copied_and_what_all_dominate_copies() -> None:
    members = members_of([(1.0, 1.0), (2.0, 2.0), (2.1, 2.1), (4.0, 4.0), (0.5, 5.0), (0.0, 6.0)])
    rule = Pareto({"latency": "min"}, quantile=0.34)
    found = {pair for seed in range(40) for pair in pairs(rule, members, seed)}
    assert found == {(loser, donor) for loser in (4, 5) for donor in (0, 3)}


def test_of_equal_rank_those_with_near_neighbours_copy() -> None:
    members = members_of([(0.0, 0.0), (5.0, 5.0), (5.1, 5.1), (5.2, 5.2), (10.0, 10.0)])
    assert {
        loser for seed in range(20) for loser, _ in pairs(Pareto({"latency": "min"}), members, seed)
    } == {2}


def test_members_that_are_equal_in_everything_do_not_crowd_out_others() -> None:
    clones = [(1.0, 100.0)] * 10
    others = [(0.95, 80.0), (0.9, 50.0), (0.85, 35.0), (0.8, 20.0), (0.75, 15.0), (0.7, 10.0)]
    losers: set[int] = set()
    donors: set[int] = set()
    for seed in range(50):
        for loser, donor in pairs(FIFTH, members_of([*clones, *others]), seed):
            losers.add(loser)
            donors.add(min(donor, len(clones) - 1))
    # Any of the clones may lose, and any may be the one that is left with all their room.
    assert losers == set(range(10))
    assert 9 in donors


def test_among_equals_a_draw_decides_and_not_the_id() -> None:
    members = members_of([(1.0, 1.0)] * 8)
    found = [pair for seed in range(200) for pair in pairs(LATENCY, members, seed)]
    assert {loser for loser, _ in found} == {donor for _, donor in found} == set(range(8))


@given(ends=ends, data=st.data())
def test_who_may_lose_does_not_depend_on_ids(
    ends: list[tuple[float, float]], data: st.DataObject
) -> None:
    distinct = list(dict.fromkeys(ends))
    order = data.draw(st.permutations(range(len(distinct))))

    def losers(places: Sequence[int]) -> set[tuple[float, float]]:
        members = members_of([distinct[place] for place in places])
        all_ = [
            p for its in range(30) for p in pairs(Pareto({"latency": "min"}, 0.5), members, its)
        ]
        return {distinct[places[loser]] for loser, _ in all_}

    ranks = rank_points([(score, -latency) for score, latency in distinct])
    # Whole ranks are better than others, so only within one may draws decide.
    if len(set(ranks)) == len(ranks):
        assert losers(range(len(distinct))) == losers(order)


def test_a_member_within_bounds_is_better_than_any_beyond() -> None:
    ends = [(9.0, 1.0), (8.0, 1.0), (0.2, 7.0), (0.1, 8.0)]
    members = members_of(ends, [0.5, 0.25, 0.0, 0.0])
    rule = Pareto({"latency": "min"}, quantile=0.25, at_most={"size": 1.0})
    members = [values.replace(it, metrics={**it.metrics, "size": 0.0}) for it in members]
    found = {pair for seed in range(40) for pair in pairs(rule, members, seed)}
    assert found == {(0, 2)}  # Of those beyond, the further; member 2 dominates member 3.


def test_what_is_not_finite_copies_and_is_never_copied() -> None:
    members = members_of([(1.0, 1.0), (math.nan, 0.0), (2.0, None), (None, 0.5), (0.0, 3.0)])
    found = {
        pair for seed in range(40) for pair in pairs(Pareto({"latency": "min"}), members, seed)
    }
    # Member 3 reported no score, which leaves it alone.
    assert {loser for loser, _ in found} == {1, 2}
    assert {donor for _, donor in found} == {0}


def test_without_a_score_that_is_finite_none_copies() -> None:
    assert pairs(LATENCY, members_of([(math.nan, 1.0), (None, 1.0), (1.0, None)])) == []


def test_a_member_that_was_just_replaced_still_counts_as_a_loser() -> None:
    members = members_of([(float(nth), 1.0) for nth in range(8)])
    members = [values.replace(member, turn=3) for member in members]
    assert {loser for loser, _ in pairs(LATENCY, members)} == {0, 1}
    replaced = [values.replace(members[7], untried=True), *members[1:]]
    replaced[0] = values.replace(replaced[0], id=0, metrics={})
    assert {loser for loser, _ in pairs(LATENCY, replaced)} == {1}


def test_a_strategy_that_does_not_say_what_its_rule_needs_is_refused() -> None:
    with pytest.raises(StrategyError, match="members have no 'latency'; give it a property goals"):
        pairs(LATENCY, values.with_scores([1.0, 2.0, 3.0, 4.0]))


def test_goals_are_the_score_the_objectives_and_the_bounds() -> None:
    rule = Pareto({"latency": "min"}, at_least={"score": 0.9}, at_most={"size": 10})
    assert rule.goals == (
        Goal(name="score", better="max", at_least=0.9),
        Goal(name="latency", better="min"),
        Goal(name="size", at_most=10.0),
    )
    assert ramet.PBT(population=8, exploit=rule).goals == rule.goals
    assert ramet.PBT(population=8).goals == ()
    beside = ramet.Controlled(ramet.PBT(population=8, exploit=rule), {"lr": 0.1})
    assert beside.goals == rule.goals
    assert ramet.Controlled(ramet.RandomSearch(population=8), {"lr": 0.1}).goals == ()


def test_a_rule_is_rebuilt_from_its_description() -> None:
    rule = Pareto({"latency": "min"}, 0.25, score=False, at_least={"score": 0.9})
    strategy = ramet.PBT(population=8, turn_steps=5, exploit=rule)
    assert from_description(describe(strategy)) == strategy


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"objectives": {"latency": "low"}}, "must be 'min' or 'max', but got {'latency': 'low'}"),
        ({"objectives": {"score": "max"}}, "the run's mode says"),
        ({"objectives": "latency"}, "a mapping such as {'latency': 'min'}, but got 'latency'"),
        ({"objectives": {1: "min"}}, "a mapping such as"),
        ({}, "an objective besides the score, or a bound"),
        ({"objectives": {"latency": "min"}, "score": False}, "a bound of the score"),
        ({"score": False, "at_least": {"score": 0.9}}, "there must be another"),
        ({"objectives": {"latency": "min"}, "score": "min"}, "score must be True or False"),
        ({"at_least": {"score": math.nan}}, "a finite number, but got {'score': nan}"),
        ({"at_least": {"score": True}}, "a finite number"),
        ({"at_most": {"size": 10**400}}, "a finite number"),
        ({"at_least": {"x": 2.0}, "at_most": {"x": 1.0}}, "at_least <= at_most must hold"),
        ({"objectives": {"latency": "min"}, "quantile": 0.6}, "quantile must lie in"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(StrategyError, match=why):
        Pareto(**settings)


def test_a_population_that_is_too_small_is_refused() -> None:
    with pytest.raises(StrategyError, match="at least one member at each end"):
        ramet.PBT(population=3, exploit=Pareto({"latency": "min"}))


def test_a_gap_of_scores_takes_no_rule_of_several_objectives() -> None:
    with pytest.raises(StrategyError, match="a gap is a lead in scores, but Pareto copies by"):
        ramet.Gap(LATENCY, absolute=0.1)


goals = st.builds(
    Goal,
    name=st.just("score"),
    better=st.sampled_from(["max", "min", None]),
    at_least=st.none() | numbers,
    at_most=st.none() | numbers,
)


@given(goal=goals, score=numbers)
def test_goals_of_negated_scores_say_the_same(goal: Goal, score: float) -> None:
    negated = negate_score([goal])
    assert make_point([goal], score, {}) == make_point(negated, 0.0 - score, {})
    assert sum_violations([goal], score, {}) == sum_violations(negated, 0.0 - score, {})


def test_violations_are_parts_of_the_bounds_and_are_added() -> None:
    both = [Goal(name="score", at_least=0.8), Goal(name="size", at_most=100.0)]
    assert sum_violations(both, 0.6, {"size": 150.0}) == pytest.approx(0.25 + 0.5)
    assert sum_violations(both, 0.8, {"size": 100.0}) == 0.0
    assert sum_violations([Goal(name="score", at_least=0.0)], -3.0, {}) == 3.0
    assert math.isfinite(sum_violations([Goal(name="score", at_least=1e-300)], -1e300, {}))
