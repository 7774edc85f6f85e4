"""A gap: copies are left out unless the donor leads by enough, and nothing else changes."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet import Gap, Truncation, TTest
from ramet.errors import StrategyError, StrategyWarning
from ramet.noise import estimate_noise
from ramet.points import Curve
from ramet.population import Member
from ramet.strategies import Exploit
from tests import values
from tests.engine.loops import SPACE, Descent


def member(id_: int, *scores: float, inherited: int = 0, step: int | None = None) -> Member:
    """Return a member with these scores, one a step."""
    steps = tuple(range(1, len(scores) + 1))
    last = len(scores) if step is None else step
    curve = Curve(steps, scores)
    return Member(id=id_, hparams={}, curve=curve, step=last, turn=last, inherited=inherited)


def losers(rule: Exploit, *members: Member) -> list[int]:
    ready = [member.id for member in members]
    return [loser for loser, _ in rule.pairs(members, ready, np.random.default_rng(0))]


HALF = Truncation(0.5)


@pytest.mark.parametrize(
    ("gap", "copies"),
    [
        (Gap(HALF, absolute=0.19), True),
        (Gap(HALF, absolute=0.21), False),
        (Gap(HALF, relative=0.24), True),
        (Gap(HALF, relative=0.26), False),
        (Gap(HALF, absolute=0.1, relative=0.26), False),
        (Gap(HALF, absolute=0.21, relative=0.1), False),
    ],
)
def test_a_member_copies_only_one_that_leads_by_more_than_each_gap(
    gap: Gap, *, copies: bool
) -> None:
    assert losers(gap, member(0, 1.0), member(1, 0.8)) == ([1] if copies else [])
    # Of negative scores, a relative gap is a part of the absolute value.
    assert losers(gap, member(0, -0.6), member(1, -0.8)) == ([1] if copies else [])


def test_a_gap_in_deviations_is_one_of_the_noise_of_a_difference() -> None:
    # Each score is 0.1 from the middle of its neighbours, so that the bends are 0.2.
    zigzag = [0.0, 0.1, 0.0, 0.1, 0.0, 0.1]
    noise = 0.2 / math.sqrt(6) / 0.6745
    ahead = [score + 0.5 for score in zigzag]
    deviations = 0.5 / (math.sqrt(2) * noise)

    for factor, copies in ((0.99, True), (1.01, False)):
        gap = Gap(HALF, deviations=factor * deviations)
        assert losers(gap, member(0, *ahead), member(1, *zigzag)) == ([1] if copies else [])


def test_while_there_is_no_estimate_of_the_noise_only_failed_members_copy() -> None:
    gap = Gap(HALF, deviations=0.1)

    assert losers(gap, member(0, 0.5, 1.0), member(1, 0.0, 0.0)) == []
    assert losers(gap, member(0, 0.5, 1.0), member(1, 0.0, math.nan)) == [1]
    # Scores that came with a copy are no scores of its own.
    copied = member(0, 0.1, 0.2, 0.2, 0.9, inherited=3)
    assert losers(gap, copied, member(1, 0.0, 0.0)) == []


def test_a_copy_is_left_alone_for_its_grace() -> None:
    gap = Gap(HALF, grace_steps=3)
    best = member(0, 1.0)

    for trained, loses in ((1, False), (2, False), (3, True)):
        scores = [0.9, 0.9, *[0.1] * trained]
        assert losers(gap, best, member(1, *scores, inherited=2)) == ([1] if loses else [])
    # A member that has never copied has none, and one that failed needs none.
    assert losers(gap, best, member(1, 0.1)) == [1]
    assert losers(gap, best, member(1, 0.9, math.nan, inherited=1)) == [1]


@given(
    noise=st.sampled_from([0.01, 1.0, 30.0]),
    slope=st.sampled_from([0.0, 5.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_estimate_is_the_noise_whatever_the_trend(
    noise: float, slope: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    curves = [[slope * step + rng.normal(0, noise) for step in range(12)] for _ in range(60)]

    assert estimate_noise(curves) == pytest.approx(noise, rel=0.25)


@given(latest=values.score_vectors, rng=values.rngs)
def test_a_gap_only_leaves_copies_out(
    latest: Sequence[float | None], rng: np.random.Generator
) -> None:
    members, ready = values.with_scores(latest), range(len(latest))
    state = rng.bit_generator.state
    all_pairs = list(HALF.pairs(members, ready, rng))
    rng.bit_generator.state = state

    assert set(Gap(HALF, absolute=1.0).pairs(members, ready, rng)) <= set(all_pairs)


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan, math.inf, True, "1"])
@pytest.mark.parametrize("name", ["absolute", "relative", "deviations"])
def test_a_gap_that_is_no_positive_number_is_refused(name: str, wrong: object) -> None:
    with pytest.raises(StrategyError, match=f"{name} must be a number above 0, or None, but got"):
        Gap(**{name: wrong})


def test_scores_that_hardly_move_are_noisy_all_the_same() -> None:
    still = [0.0] * 11
    rare = [*still[:5], 1.0, *still[6:]]
    assert estimate_noise([still]) == 0
    assert estimate_noise([rare, *[still] * 5]) == pytest.approx(math.sqrt(1 / 60), rel=0.2)


def test_a_grace_after_copies_of_weights_needs_some() -> None:
    with pytest.raises(StrategyError, match="with copies='hparams' there are none; leave it out"):
        ramet.PBT(population=8, exploit=Gap(grace_steps=4), copies="hparams")


def test_a_gap_without_a_gap_or_a_rule_is_refused() -> None:
    with pytest.raises(StrategyError, match="a gap must be given, or the rule alone does the same"):
        Gap()
    with pytest.raises(StrategyError, match=r"exploit must be a rule such as Truncation\(0.2\)"):
        Gap(Truncation, absolute=1.0)
    with pytest.raises(StrategyError, match="truncation must leave at least one member"):
        ramet.PBT(population=3, exploit=Gap(absolute=1.0))


def test_a_gap_needs_the_scores_of_its_rule_and_of_its_estimate() -> None:
    assert Gap(absolute=1.0).least_scores == 1
    assert Gap(TTest(), absolute=1.0).least_scores == 2
    assert Gap(TTest(), deviations=1.0).least_scores == 3
    pbt = ramet.PBT(population=5, turn_steps=6, exploit=Gap(deviations=2.0))
    with pytest.warns(StrategyWarning, match="the 3 scores that Gap needs"):
        ramet.run(Descent(), SPACE, pbt, steps=18, mode="max", seed=0)


def test_a_run_with_a_gap_copies_less_and_can_be_joined_by_its_record() -> None:
    def copies(exploit: Exploit) -> int:
        pbt = ramet.PBT(population=8, turn_steps=2, exploit=exploit, synchronous=True)
        return ramet.run(Descent(), SPACE, pbt, steps=40, mode="max", seed=1).population.copies

    everyone, clear = copies(Truncation(0.25)), copies(Gap(Truncation(0.25), relative=0.5))
    assert 0 < clear < everyone

    gap = Gap(Truncation(0.25), deviations=1.5, grace_steps=4)
    pbt = ramet.PBT(population=8, turn_steps=2, exploit=gap)
    result = ramet.run(Descent(), SPACE, pbt, steps=12, mode="max", seed=1)
    assert ramet.strategies.from_description(result.opening.strategy) == pbt


def test_noise_alone_hardly_copies_with_two_deviations() -> None:
    rng = np.random.default_rng(7)
    members = [member(id_, *rng.normal(0, 1, 10)) for id_ in range(40)]
    copied = len(losers(Gap(ramet.BinaryTournament(), deviations=2.0), *members))

    assert statistics.NormalDist().cdf(-2) * 40 < 5
    assert copied <= 5 < len(losers(ramet.BinaryTournament(), *members))
