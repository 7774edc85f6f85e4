"""The deceptive task, against its formula; and what strategies make of it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ramet
from benchmarks.strategies import PACES, STRATEGIES, mean_ranks, run_deceptive
from ramet.testing import DECEPTIVE_SPACE, Deceptive

RNG = np.random.default_rng(0)


def score(task: Deceptive, schedule: Callable[[int], float]) -> float:
    """Return the score after a whole budget, with an h for each round."""
    state: Any = task.init(RNG)
    for round_ in range(task.rounds):
        state = task.step(state, {"h": schedule(round_)}, task.round_steps, RNG)
    return task.evaluate(state)


def formula(penalty: float, schedule: Callable[[int], float]) -> float:
    """Return the same as a product over rounds."""
    weight, behind = 0.9, 0.0
    for round_ in range(50):
        h = schedule(round_)
        weight *= (1 - 0.002 * max(2 - h - behind, 0.0)) ** 20
        behind += penalty * abs(h - (1 - round_ / 50))
    return 1.2 - weight**2


def falling(round_: int) -> float:
    return 1 - round_ / 50


def lowest(_: int) -> float:
    return 1e-4


def waving(round_: int) -> float:
    return 0.6 + 0.4 * math.sin(round_)


@pytest.mark.parametrize("penalty", [0.0, 0.2])
@pytest.mark.parametrize("schedule", [falling, lowest, waving])
def test_scores_are_those_of_the_formula(penalty: float, schedule: Callable[[int], float]) -> None:
    found = score(Deceptive(penalty=penalty), schedule)

    assert found == pytest.approx(formula(penalty, schedule), rel=1e-12)


def test_the_lowest_h_is_best_for_a_round_and_the_line_for_the_whole() -> None:
    task = Deceptive()
    first = task.init(RNG)
    after = {h: task.evaluate(task.step(first, {"h": h}, 20, RNG)) for h in (1e-4, 0.5, 1.0)}

    assert max(after, key=lambda h: after[h]) == 1e-4
    assert score(task, falling) > 1.19
    assert score(task, lowest) < 0.9
    assert score(Deceptive(penalty=0.0), lowest) > score(Deceptive(penalty=0.0), falling)


def test_a_round_may_be_trained_in_parts() -> None:
    task = Deceptive()
    parts: Any = task.init(RNG)
    for _ in range(8):
        parts = task.step(parts, {"h": 0.5}, 5, RNG)

    assert parts == task.step(task.init(RNG), {"h": 0.5}, 40, RNG)


def test_the_penalty_travels_with_the_weights() -> None:
    strategy = ramet.PBT(population=8, turn_steps=20, synchronous=True)
    result = ramet.run(Deceptive(), DECEPTIVE_SPACE, strategy, steps=400, mode="max", seed=0)

    schedule = result.schedule()
    state = Deceptive().init(RNG)
    for step in range(0, result.best.step, 20):
        state = Deceptive().step(state, schedule(step), 20, RNG)
    assert Deceptive().evaluate(state) == pytest.approx(result.best.score, rel=1e-12)


def test_pbt_is_deceived_and_sub_populations_that_wait_are_not() -> None:
    """As MF-PBT's paper says of long horizons: PBT ends below random search, MF-PBT above."""
    pace = PACES["deceptive"]
    lost = {
        name: run_deceptive(STRATEGIES[name](pace), pace, 0) for name in ("random", "pbt", "mfpbt")
    }

    assert lost["mfpbt"] < lost["random"] / 2
    assert lost["pbt"] > lost["random"]


@pytest.mark.slow
def test_a_model_is_better_than_chance_where_a_turns_gain_is_what_counts_and_greedier() -> None:
    """As PB2's paper says of the first, and comparisons since of the second."""
    pace = PACES["plain"]
    lost = {
        (name, penalty): run_deceptive(STRATEGIES[name](pace), pace, 0, penalty)
        for name in ("mfpbt", "mfpbt-model")
        for penalty in (0.0, 0.2)
    }

    assert lost["mfpbt-model", 0.0] < lost["mfpbt", 0.0]
    assert lost["mfpbt-model", 0.2] > lost["mfpbt", 0.2]


def test_equal_losses_share_their_ranks() -> None:
    losses = np.array([[0.1, 0.3, 1.0], [0.2, 0.3, 1.0], [0.3, 0.1, 1.0]])

    assert mean_ranks(losses).tolist() == pytest.approx([5.5 / 3, 6.5 / 3, 6 / 3])
