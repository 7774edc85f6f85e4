"""The same seed gives the same run, whoever trains it in whichever order."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ramet
from ramet.events import Explored, canonical
from tests.engine.loops import SPACE, Descent, by_hand, pbt

EXPLOITS = [ramet.Truncation(0.25), ramet.BinaryTournament(), ramet.TTest(window=3, alpha=0.4)]


@pytest.mark.parametrize("exploit", EXPLOITS, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("synchronous", [False, True])
def test_two_runs_with_one_seed_have_the_same_log(
    exploit: ramet.Truncation, *, synchronous: bool
) -> None:
    strategy = pbt(exploit=exploit, synchronous=synchronous, evaluate_every=2)
    one, other = (
        ramet.run(Descent(), SPACE, strategy, steps=40, mode="max", seed=5) for _ in range(2)
    )
    assert one.events == other.events
    assert one.population == other.population


def test_every_turn_and_every_round_draws_anew() -> None:
    drawn: list[float] = []

    class Draws(Descent):
        def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
            drawn.append(float(rng.random()))
            return super().step(state, hparams, steps, rng)

    for synchronous in (False, True):
        strategy = pbt(exploit=None, explore=ramet.Resample(), synchronous=synchronous)
        result = ramet.run(Draws(), SPACE, strategy, steps=24, mode="max", seed=0)
        moves = [event.hparams["decay"] for event in result.events if isinstance(event, Explored)]
        assert len(set(moves)) == len(moves) == 30
    assert len(set(drawn)) == len(drawn) / 2


def test_another_seed_gives_another_run() -> None:
    one, other = (
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=seed) for seed in (0, 1)
    )
    assert one.best.score != other.best.score


def test_a_run_without_a_seed_names_the_one_it_drew() -> None:
    drawn = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max")
    again = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=drawn.seed)
    assert again.events == drawn.events


@settings(max_examples=15, deadline=None)
@given(shuffle=st.randoms(use_true_random=False), exploit=st.sampled_from(EXPLOITS))
def test_the_order_in_which_turns_are_trained_changes_nothing(
    shuffle: random.Random, exploit: ramet.Truncation
) -> None:
    def shuffled(turns: Sequence[ramet.Turn]) -> Sequence[ramet.Turn]:
        return shuffle.sample(turns, len(turns))

    strategy = pbt(exploit=exploit, synchronous=True, evaluate_every=2)
    straight, mixed = by_hand(list, strategy).result(), by_hand(shuffled, strategy).result()
    assert canonical(mixed.events) == canonical(straight.events)
    assert mixed.population == straight.population
    assert list(mixed.schedule()) == list(straight.schedule())
