"""Strategies as pure values: what members start with, and what they decide."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet import (
    PBT,
    Cosine,
    Grid,
    HandTuned,
    Integer,
    Perturb,
    RandomSearch,
    Space,
    Strategy,
    Truncation,
    Uniform,
)
from ramet.errors import SpaceError, StrategyError
from ramet.strategies import Change, Copy, product
from tests import values
from tests.values import STEPS, TURN_STEPS

PACE: dict[str, Any] = {"population": 5, "turn_steps": TURN_STEPS}
STRATEGIES = [
    PBT(**PACE),
    PBT(**PACE, exploit=None),
    RandomSearch(**PACE),
    Grid([{"lr": 0.5}], turn_steps=TURN_STEPS),
    HandTuned(**PACE, shapes={"lr": Cosine()}),
]
copies = st.sampled_from(["both", "weights", "hparams"])
# Members 0 and 4 are the worst and the best; by lr / 10, each can be told from the others.
RISING = values.population(values.with_scores([0.0, 1.0, 2.0, 3.0, 4.0]))


def test_a_loser_copies_a_winner_and_explores_from_there() -> None:
    actions = values.decided(PBT(**PACE, explore=Perturb((0.5,))), RISING)

    assert actions == [
        Copy(member=0, source=4),
        Change(member=0, hparams={"lr": 0.0}),  # 0.4 - half the width of [0, 1]
    ]


def test_exploit_only_copies_and_leaves_the_values() -> None:
    assert values.decided(PBT(**PACE, explore=None), RISING) == [Copy(member=0, source=4)]


def test_explore_only_moves_every_member_from_where_it_is() -> None:
    actions = values.decided(PBT(**PACE, exploit=None, explore=Perturb((1.2,))), RISING)

    assert actions == [
        Change(member=id_, hparams={"lr": pytest.approx(id_ / 10 + 0.2)}) for id_ in range(5)
    ]


def test_neither_does_nothing() -> None:
    assert not values.decided(PBT(**PACE, exploit=None, explore=None), RISING)


@pytest.mark.parametrize(
    ("taken", "weights", "hparams", "explored"),
    [("both", True, True, 0.6), ("weights", True, False, 0.2), ("hparams", False, True, 0.6)],
)
def test_a_loser_takes_what_the_ablation_says(
    taken: Literal["both", "weights", "hparams"],
    weights: bool,  # noqa: FBT001 - parametrized by name - a case of the table
    hparams: bool,  # noqa: FBT001 - parametrized by name
    explored: float,
) -> None:
    actions = values.decided(PBT(**PACE, copies=taken, explore=Perturb((1.2,))), RISING)

    assert actions == [
        Copy(member=0, source=4, weights=weights, hparams=hparams),
        Change(member=0, hparams={"lr": pytest.approx(explored)}),
    ]


def test_in_an_asynchronous_run_a_member_decides_about_itself_only() -> None:
    pbt, rng = PBT(**PACE), np.random.default_rng(0)

    assert not list(pbt.decide(RISING, [3], rng))
    assert {action.member for action in pbt.decide(RISING, [0], rng)} == {0}


@given(latest=values.score_vectors, taken=copies, seed=st.integers(0, 99))
def test_explorations_start_from_sources_as_they_were_before_the_event(
    latest: list[float | None], taken: Literal["both", "weights", "hparams"], seed: int
) -> None:
    population = values.population(values.with_scores(latest))
    pbt = PBT(
        population=len(population),
        turn_steps=TURN_STEPS,
        exploit=Truncation(0.5),
        explore=Perturb((1.0,)),
        copies=taken,
    )

    actions = values.decided(pbt, population, seed=seed)

    origin = {
        copy.member: copy.source if copy.hparams else copy.member
        for copy in actions
        if isinstance(copy, Copy)
    }
    assert [action for action in actions if isinstance(action, Change)] == [
        Change(member=loser, hparams=population[source].hparams) for loser, source in origin.items()
    ]


@given(space=values.spaces, latest=values.score_vectors, taken=copies, seed=st.integers(0, 99))
def test_members_are_only_ever_given_values_of_the_space(
    space: Space,
    latest: list[float | None],
    taken: Literal["both", "weights", "hparams"],
    seed: int,
) -> None:
    pbt = PBT(population=len(latest), turn_steps=TURN_STEPS, exploit=Truncation(0.5), copies=taken)
    population = values.population(
        [
            values.member(id_, *([] if score is None else [score]), hparams=hparams)
            for id_, (score, hparams) in enumerate(
                zip(latest, values.born(pbt, space), strict=True)
            )
        ],
        space=space,
    )

    for action in values.decided(pbt, population, seed=seed):
        assert not isinstance(action, Change) or space.problem(action.hparams) is None


@given(latest=values.score_vectors, strategy=st.sampled_from(STRATEGIES), seed=st.integers(0, 99))
def test_deciding_is_a_function_of_its_arguments(
    latest: list[float | None], strategy: Strategy, seed: int
) -> None:
    first, second = (
        values.population(
            [
                values.member(id_, *([] if score is None else [score]), data={"lr": 0.5})
                for id_, score in enumerate(latest)
            ]
        )
        for _ in range(2)
    )

    assert values.decided(strategy, first, seed=seed) == values.decided(strategy, first, seed=seed)
    assert repr(first) == repr(second)


@pytest.mark.parametrize("strategy", [PBT(**PACE), PBT(**PACE, exploit=None), STRATEGIES[-1]])
def test_a_member_that_used_its_budget_is_left_alone(strategy: Strategy) -> None:
    finished = values.population(
        [values.member(id_, float(id_), trained=STEPS, data={"lr": 0.5}) for id_ in range(5)]
    )

    assert not values.decided(strategy, finished)


def test_a_member_that_used_its_budget_may_still_be_copied() -> None:
    members = [*RISING.members[:4], values.member(4, 4.0, trained=STEPS)]

    assert Copy(member=0, source=4) in values.decided(PBT(**PACE), values.population(members))


@pytest.mark.parametrize("strategy", [STRATEGIES[2], STRATEGIES[3]])
def test_a_baseline_never_decides_anything(strategy: Strategy) -> None:
    assert not values.decided(strategy, RISING)


@given(seed=st.integers(0, 99), space=values.spaces)
def test_members_are_born_in_the_space_and_alike_for_a_seed(seed: int, space: Space) -> None:
    first, again = (values.born(PBT(**PACE), space, seed) for _ in range(2))

    assert len(first) == 5
    assert all(space.contains(hparams) for hparams in first)
    assert first == again


@pytest.mark.parametrize("kind", [PBT, RandomSearch])
def test_the_first_members_start_at_the_points_that_were_given(
    kind: type[PBT | RandomSearch],
) -> None:
    strategy = kind(**PACE, initial=[{"lr": 1}, {"lr": 0.25}])

    assert values.born(strategy)[:2] == [{"lr": 1.0}, {"lr": 0.25}]
    assert len(values.born(strategy)) == 5


def test_more_starting_points_than_members_are_refused() -> None:
    with pytest.raises(SpaceError, match="got 6 points for population=5"):
        values.born(PBT(**PACE, initial=[{"lr": 0.5}] * 6))


def test_a_grid_has_a_member_for_each_point() -> None:
    space = Space(lr=Uniform(0.0, 1.0), augment=Space(n=Integer(1, 9)))
    grid = Grid(product({"lr": [0.1, 0.2], "augment.n": [1, 2]}), turn_steps=TURN_STEPS)

    assert values.born(grid, space) == [
        {"lr": 0.1, "augment.n": 1},
        {"lr": 0.1, "augment.n": 2},
        {"lr": 0.2, "augment.n": 1},
        {"lr": 0.2, "augment.n": 2},
    ]


def test_a_grid_outside_the_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="'lr' must be in"):
        values.born(Grid([{"lr": 0.1}, {"lr": 2.0}], turn_steps=TURN_STEPS))


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({"turn_steps": 0}, "turn_steps must be a whole number, at least 1, but got 0"),
        ({"turn_steps": -5}, "turn_steps must be .* but got -5"),
        ({"turn_steps": True}, "turn_steps must be .* but got True"),
        ({"turn_steps": 2.5}, r"turn_steps must be .* but got 2\.5"),
        ({"evaluate_every": 0}, "evaluate_every must be .* but got 0"),
        ({"evaluate_every": True}, "evaluate_every must be .* but got True"),
        ({"evaluate_every": 2}, "must divide turn_steps.*turn_steps=6 would do"),
        ({"evaluate_every": 10}, "must divide turn_steps.*turn_steps=10"),
        ({"population": 0}, "population must be .* but got 0"),
        ({"population": True}, "population must be .* but got True"),
        ({"population": 2}, r"0\.2 of 2 members is less than one.*Truncation\(1 / 2\)"),
        ({"copies": "all"}, "copies must be 'both', 'weights' or 'hparams', but got 'all'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], law: str) -> None:
    with pytest.raises(StrategyError, match=law):
        PBT(**{**PACE, **settings})


def test_half_of_two_members_is_one() -> None:
    assert PBT(population=2, turn_steps=TURN_STEPS, exploit=Truncation(0.5)).population == 2


@pytest.mark.parametrize("evaluate_every", [None, 1, TURN_STEPS])
def test_evaluations_that_divide_a_turn_are_accepted(evaluate_every: int | None) -> None:
    assert PBT(**PACE, evaluate_every=evaluate_every).evaluate_every == evaluate_every


def test_a_grid_without_points_is_refused() -> None:
    with pytest.raises(StrategyError, match="at least one point"):
        Grid([], turn_steps=TURN_STEPS)


def test_a_loser_without_a_finite_score_takes_weights_whatever_the_ablation() -> None:
    scores = [math.nan, 1.0, 2.0, 3.0, 4.0]
    actions = values.decided(
        PBT(**PACE, copies="hparams"), values.population(values.with_scores(scores))
    )

    assert [(a.member, a.weights) for a in actions if isinstance(a, Copy)] == [(0, True)]
