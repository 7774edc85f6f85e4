"""Draws are counted, so that they never change."""

import itertools

import pytest

from ramet.randomness import Purpose, generator, pick

# A run written by one version must be gone on with by the next: these never change.
GOLDEN = {
    Purpose.BIRTHS: 0.9111991787610418,
    Purpose.INIT: 0.7650455009629785,
    Purpose.TURN: 0.05988079785426703,
    Purpose.DECISION: 0.8819981332899708,
    Purpose.ROUND: 0.4623747099050429,
}


@pytest.mark.parametrize(("purpose", "drawn"), GOLDEN.items())
def test_the_draws_of_a_purpose_are_the_same_in_every_version(
    purpose: Purpose, drawn: float
) -> None:
    assert generator(7, purpose, 3, 1).random() == drawn


def test_draws_differ_by_seed_purpose_member_and_turn() -> None:
    keys = itertools.product((0, 1), Purpose, (0, 1), (0, 1))
    drawn = [generator(seed, purpose, *key).random() for seed, purpose, *key in keys]
    assert len(set(drawn)) == len(drawn) == 2 * len(Purpose) * 4


def test_each_option_is_picked_as_often_as_any_other() -> None:
    rng = generator(0, Purpose.TURN)
    picked = [pick("abc", rng) for _ in range(3_000)]
    assert all(900 < picked.count(option) < 1_100 for option in "abc")
