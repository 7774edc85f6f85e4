"""Exploring moves a member's values and never takes them out of the space."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet import Choice, Constant, Integer, LogUniform, Perturb, Resample, Space, Uniform
from ramet.errors import StrategyError
from ramet.population import Member, Population
from ramet.space import Hparams
from ramet.strategies.explore import (
    BY_ARRAYS_FROM,
    EachByItself,
    explore_from,
    explorer_of,
    move_all,
)
from ramet.testing import Drift
from tests import values

perturbs = st.builds(
    Perturb,
    factors=st.lists(values.factors, min_size=1, max_size=4),
    redraw=st.floats(0.0, 1.0),
)
explores = perturbs | st.builds(Resample, st.floats(0.0, 1.0), st.none() | perturbs)


@given(space=values.spaces, explore=explores, rng=values.rngs)
def test_a_space_is_closed_under_exploring(
    space: Space, explore: Perturb | Resample, rng: np.random.Generator
) -> None:
    hparams = space.sample(rng)
    for _ in range(3):
        hparams = explore_from(space, hparams, explore, rng)

        assert space.problem(hparams) is None


@given(explore=explores, rng=values.rngs)
def test_a_space_with_where_is_closed_under_exploring(
    explore: Perturb | Resample, rng: np.random.Generator
) -> None:
    space = Space(
        heads=Choice([1, 2, 4, 8], ordered=True),
        width=Integer(8, 64),
        where=lambda h: h["width"] % h["heads"] == 0,
    )
    hparams = space.sample(rng)
    for _ in range(3):
        hparams = explore_from(space, hparams, explore, rng)

        assert space.problem(hparams) is None


NUMBERS = Space(
    lr=LogUniform(1e-3, 1.0),
    p=Uniform(0.0, 1.0),
    huge=Uniform(1e300, 1.7e308),
    n=Integer(1, 9),
    size=Choice([1, 2, 4], ordered=True),
    kept=Constant(3),
)


@given(
    space=st.just(NUMBERS) | values.spaces,
    explore=perturbs | st.sampled_from([Perturb((1, 2)), Perturb((3.0,))]) | explores,
    seed=st.integers(0, 2**32),
    origins=st.lists(st.integers(0, 3), min_size=BY_ARRAYS_FROM, max_size=3 * BY_ARRAYS_FROM),
)
def test_many_members_move_as_they_do_one_by_one(
    space: Space, explore: Perturb | Resample, seed: int, origins: list[int]
) -> None:
    births = np.random.default_rng(seed)
    members = tuple(Member(id=id_, hparams=space.sample(births)) for id_ in range(4))
    explorer = explorer_of(explore, Population(space=space, steps=1, members=members))
    pairs = [(0, origin) for origin in origins]
    rng, other = (np.random.default_rng(seed) for _ in range(2))
    together = move_all(explorer, pairs, rng)

    one_by_one = [explorer.move(member, origin, other) for member, origin in pairs]
    assert [repr(hparams) for hparams in together] == [repr(hparams) for hparams in one_by_one]
    assert rng.random() == other.random()


def test_numbers_that_move_by_a_factor_move_by_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [Member(id=0, hparams=NUMBERS.sample(np.random.default_rng(0)))]
    population = Population(space=NUMBERS, steps=1, members=tuple(members))
    monkeypatch.delattr(EachByItself, "move")
    pairs = [(0, 0)] * BY_ARRAYS_FROM
    moved = move_all(explorer_of(Perturb(), population), pairs, np.random.default_rng(0))
    assert len({repr(hparams) for hparams in moved}) > 1


def test_nothing_moves_where_every_move_is_rejected() -> None:
    space = Space(lr=Uniform(1.0, 2.0), n=Integer(1, 9), where=lambda h: h["lr"] == 1.5)
    here: Hparams = {"lr": 1.5, "n": 3}

    assert explore_from(space, here, Perturb(), np.random.default_rng(0)) == here


def test_exploring_leaves_the_values_it_was_given_alone() -> None:
    here: Hparams = {"lr": 0.5}

    explore_from(values.UNIT, here, Perturb(), np.random.default_rng(0))

    assert here == {"lr": 0.5}


def test_each_factor_is_drawn_as_often_as_the_others() -> None:
    rng = np.random.default_rng(0)

    moved = Counter(Perturb((0.5, 0.8, 1.25, 2.0)).move(FAR, 1.0, rng) for _ in range(4_000))

    assert sorted(moved) == [0.5, 0.8, 1.25, 2.0]
    assert list(moved.values()) == pytest.approx([1_000] * 4, rel=0.1)


def test_hyperparameters_move_independently() -> None:
    space = Space(a=FAR, b=FAR)
    rng = np.random.default_rng(0)

    moved = {
        tuple(explore_from(space, {"a": 1.0, "b": 1.0}, Perturb(), rng).values()) for _ in range(50)
    }

    assert moved == {(0.8, 0.8), (0.8, 1.2), (1.2, 0.8), (1.2, 1.2)}


@pytest.mark.parametrize(("redraw", "kept"), [(0.0, 1.0), (0.25, 0.75 + 0.25 / 4), (1.0, 0.25)])
def test_an_unordered_choice_is_redrawn_with_the_given_probability(
    redraw: float, kept: float
) -> None:
    domain, rng = Choice(["a", "b", "c", "d"]), np.random.default_rng(0)

    moved = [Perturb(redraw=redraw).move(domain, "a", rng) for _ in range(4_000)]

    assert moved.count("a") / len(moved) == pytest.approx(kept, abs=0.03)


def test_an_ordered_choice_moves_every_time() -> None:
    domain, rng = Choice([1, 2, 3], ordered=True), np.random.default_rng(0)

    assert {Perturb(redraw=0.0).move(domain, 2, rng) for _ in range(50)} == {1, 3}


def test_resampling_draws_from_where_members_start() -> None:
    domain, rng = Uniform(0.0, 1.0, start=(0.4, 0.6)), np.random.default_rng(0)

    drawn = [Resample().move(domain, 0.0, rng) for _ in range(100)]

    assert 0.4 <= min(drawn) < max(drawn) <= 0.6


@pytest.mark.parametrize(("otherwise", "elsewhere"), [(None, 1.0), (Perturb((2.0,)), 2.0)])
def test_resampling_leaves_the_others_to_the_other_rule(
    otherwise: Perturb | None, elsewhere: float
) -> None:
    rng = np.random.default_rng(0)

    moved = [Resample(0.25, otherwise).move(FAR, 1.0, rng) for _ in range(4_000)]

    assert moved.count(elsewhere) / len(moved) == pytest.approx(0.75, abs=0.03)


def test_a_hyperparameter_may_explore_by_a_rule_of_its_own() -> None:
    space = Space(a=Uniform(0.1, 10.0, explore=Perturb((3.0,))), b=FAR, c=Constant(7))

    moved = explore_from(
        space, {"a": 1.0, "b": 1.0, "c": 7}, Perturb((2.0,)), np.random.default_rng(0)
    )

    assert moved == {"a": 3.0, "b": 2.0, "c": 7}


def test_anybody_may_write_a_rule() -> None:
    space = Space(h=Uniform(0.0, 10.0))

    moved = explore_from(space, {"h": 0.0}, Drift(deviation=0.1), np.random.default_rng(2))

    assert space.contains(moved)


@given(seed=st.integers(0, 2**32), explore=explores)
def test_the_same_generator_explores_alike(seed: int, explore: Perturb | Resample) -> None:
    space = Space(a=FAR, b=Integer(0, 9), c=Choice(["x", "y", "z"]))
    here: Hparams = {"a": 1.0, "b": 3, "c": "x"}

    twice = [explore_from(space, here, explore, np.random.default_rng(seed)) for _ in range(2)]

    assert twice[0] == twice[1]


@pytest.mark.parametrize(
    "factors", [(), (0.0,), (-0.8, 1.2), (math.nan,), (1.2, math.inf), 0.8, ("0.8",)]
)
def test_bad_factors_are_refused(factors: Any) -> None:
    with pytest.raises(StrategyError, match="factors must be positive finite numbers"):
        Perturb(factors)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_bad_probabilities_are_refused(probability: float) -> None:
    with pytest.raises(StrategyError, match="probability must be a probability"):
        Resample(probability)
    with pytest.raises(StrategyError, match="redraw must be a probability"):
        Perturb(redraw=probability)


# Far from both bounds, and without 0.
FAR = Uniform(0.01, 100.0)
