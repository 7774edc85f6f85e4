"""The network of the experiment with alternatives, and the ways to train it."""

import numpy as np
import pytest

import ramet
from experiments import descent
from experiments.descent import (
    BATCH,
    INPUTS,
    WEIGHTS,
    Averaged,
    Momentum,
    Prodigy,
    ScheduleFree,
    find_slopes,
)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, INPUTS)), rng.integers(0, 10, BATCH)


def find_loss(weights: np.ndarray, pixels: np.ndarray, labels: np.ndarray) -> float:
    inner, inner_bias, outer, outer_bias = descent.split(weights)
    outputs = np.maximum(pixels @ inner + inner_bias, 0) @ outer + outer_bias
    odds = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    return float(-odds[np.arange(len(labels)), labels].mean())


def test_slopes_are_those_of_the_loss(batch: tuple[np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 0.2, WEIGHTS)
    slopes = find_slopes(weights, *batch)
    for at in rng.integers(0, WEIGHTS, 20):
        beside = np.zeros(WEIGHTS)
        beside[at] = 1e-6
        rise = find_loss(weights + beside, *batch) - find_loss(weights - beside, *batch)
        assert slopes[at] == pytest.approx(rise / 2e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("task", "lr"),
    [(Momentum(), 0.03), (Averaged(), 0.03), (ScheduleFree(), 1.0), (Prodigy(), 1.0)],
)
def test_each_way_to_descend_learns_a_batch(
    batch: tuple[np.ndarray, np.ndarray], task: Momentum, lr: float
) -> None:
    state = dict(task.init(np.random.default_rng(2)))
    before = find_loss(state["weights"], *batch)
    for _ in range(400):
        task.descend(state, lr, 0.0, *batch)
    assert find_loss(state["weights"], *batch) < before / 4


def test_what_is_averaged_takes_the_steps_of_momentum_and_scores_their_mean(
    batch: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Averaged, "AVERAGE", ramet.PolynomialAverage(power=0))
    averaged, plain, iterates = Averaged(), Momentum(), []
    state = dict(averaged.init(np.random.default_rng(3)))
    beside = dict(plain.init(np.random.default_rng(3)))
    for _ in range(5):
        averaged.descend(state, 0.1, 1e-3, *batch)
        plain.descend(beside, 0.1, 1e-3, *batch)
        iterates.append(np.copy(beside["weights"]))
    assert np.array_equal(state["latest"], beside["weights"])
    assert state["weights"] == pytest.approx(np.mean(iterates, axis=0), abs=1e-6)


def test_what_schedule_free_scores_is_the_mean_of_its_iterates(
    batch: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScheduleFree, "WARMUP_STEPS", 1)
    task = ScheduleFree()
    state, iterates = dict(task.init(np.random.default_rng(3))), []
    for _ in range(5):
        task.descend(state, 0.1, 0.0, *batch)
        iterates.append(np.copy(state["latest"]))
    assert state["weights"] == pytest.approx(np.mean(iterates, axis=0), abs=1e-6)


def test_prodigy_finds_a_rate_that_is_far_above_its_first(
    batch: tuple[np.ndarray, np.ndarray],
) -> None:
    task = Prodigy()
    state = dict(task.init(np.random.default_rng(4)))
    found = []
    for _ in range(100):
        task.descend(state, 1.0, 0.0, *batch)
        found.append(float(state["distance"]))
    assert found == sorted(found)
    assert found[-1] > 100 * Prodigy.FIRST
