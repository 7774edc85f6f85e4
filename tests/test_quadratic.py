"""The noisy quadratic: what training does to it, and what would be best."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import ramet
from ramet.testing import QUADRATIC_SPACE, Quadratic, SampledQuadratic
from ramet.testing.quadratic import Floats
from ramet.testing.quadratic_optimum import (
    best_constant,
    best_cosine,
    best_schedule,
    final_loss,
    greedy,
    sensitivity,
)

Task: TypeAlias = Quadratic | SampledQuadratic

RANDOM_SEARCH = ramet.RandomSearch(population=3, turn_steps=48, synchronous=True, evaluate_every=4)

AVERAGED = SampledQuadratic(average=ramet.PolynomialAverage(power=4))

both = pytest.mark.parametrize("task", [Quadratic(), SampledQuadratic()], ids=["exact", "sampled"])


def trained(task: Task, *, seed: int = 0) -> ramet.Result:
    return ramet.run(
        task,
        QUADRATIC_SPACE,
        RANDOM_SEARCH,
        steps=3 * 48,
        mode="max",
        seed=seed,
        engine=ramet.Inline(progress=False),
    )


@pytest.mark.parametrize("rate", [1e-9, 1e-4, 0.3, 1.0, 1.9, 2.0 - 1e-12, 2.0, 2.0 + 1e-12, 2.5])
def test_many_steps_at_once_are_those_steps_one_by_one(rate: float) -> None:
    task, steps = Quadratic(dim=5, noise=0.7), 48
    curvatures = 1 / np.arange(1, 6)
    moments = np.ones(5)
    for _ in range(steps):
        moments = (1 - rate * curvatures) ** 2 * moments + rate**2 * 0.7 * curvatures
    kept, added = task.effect(rate, steps)
    np.testing.assert_allclose(kept + added, moments, rtol=1e-12)


def test_several_rates_have_the_effects_that_each_has() -> None:
    task = Quadratic(dim=3)
    kept, added = task.effect([0.1, 1.0], 4)
    np.testing.assert_array_equal(kept[1], task.effect(1.0, 4)[0])
    np.testing.assert_array_equal(added[1], task.effect(1.0, 4)[1])


def test_squared_weights_are_on_average_the_moments() -> None:
    rng, samples = np.random.default_rng(0), 2_000
    exact, sampled = Quadratic(dim=3), SampledQuadratic(dim=3)
    squares = np.empty((samples, 3))
    for sample in range(samples):
        state = sampled.step(sampled.init(rng), {"lr": 0.6}, 5, rng)
        squares[sample] = sampled.step(state, {"lr": 0.2}, 5, rng)["weights"] ** 2
    moments = exact.step(exact.init(rng), {"lr": 0.6}, 5, rng)
    moments = exact.step(moments, {"lr": 0.2}, 5, rng)["moments"]
    errors = squares.std(axis=0) / math.sqrt(samples)
    assert (abs(squares.mean(axis=0) - moments) < 4 * errors).all()


@both
def test_the_loss_starts_at_half_the_sum_of_curvatures(task: Task) -> None:
    state = task.init(np.random.default_rng(0))
    assert task.loss(state) == pytest.approx(sum(1 / i for i in range(1, 101)) / 2)


@both
def test_a_state_has_one_score_which_errs(task: Task) -> None:
    rng = np.random.default_rng(0)
    states = [task.step(task.init(rng), {"lr": 0.1}, 4, rng) for _ in range(1_000)]
    errors = [task.evaluate(state) + math.log(task.loss(state)) for state in states]
    assert task.evaluate(states[0]) == task.evaluate(states[0])
    assert np.mean(errors) == pytest.approx(0.0, abs=0.003)
    assert np.std(errors) == pytest.approx(0.02, rel=0.1)


@both
@pytest.mark.parametrize("steps", [1_000, 10_000])
def test_divergence_is_a_score_that_is_not_finite(task: Task, steps: int) -> None:
    rng = np.random.default_rng(0)
    state = task.step(task.init(rng), {"lr": 2.5}, steps, rng)
    assert not math.isfinite(task.evaluate(state))


@both
def test_a_seed_gives_the_same_run(task: Task) -> None:
    assert trained(task).events == trained(task).events
    assert trained(task).events != trained(task, seed=1).events


@both
def test_training_lowers_the_loss(task: Task) -> None:
    best = trained(task).best.load()
    assert task.loss(best) < task.loss(task.init(np.random.default_rng(0))) / 2


def test_the_loss_of_a_schedule_is_that_of_training_with_it() -> None:
    task, rng = Quadratic(dim=7), np.random.default_rng(0)
    schedule = np.array([0.9, 0.3, 0.05])
    state = task.init(rng)
    for rate in schedule:
        state = task.step(state, {"lr": rate}, 10, rng)
    assert final_loss(task, schedule, turn_steps=10) == pytest.approx(task.loss(state), rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
def test_derivatives_are_what_small_changes_make(noise: float) -> None:
    task, size = Quadratic(dim=20, noise=noise), 1e-5
    schedule = np.array([1.9, 1.0, 0.3, 1.5, 1e-4, 0.02])
    loss, slopes = sensitivity(task, schedule, turn_steps=6)
    changed = [
        [final_loss(task, schedule * np.exp(size * sign * unit), turn_steps=6) for sign in (1, -1)]
        for unit in np.eye(len(schedule))
    ]
    assert loss == pytest.approx(final_loss(task, schedule, turn_steps=6), rel=1e-12)
    np.testing.assert_allclose(
        slopes, [(up - down) / (2 * size) for up, down in changed], rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize(
    ("schedule", "loss"),
    [
        (best_schedule, 0.03655),
        (best_cosine, 0.04092),
        (lambda task: best_cosine(task, last=0.0), 0.04408),
        (best_constant, 0.09222),
        (greedy, 0.1312),
    ],
    ids=["limit", "cosine", "cosine to zero", "constant", "greedy"],
)
def test_the_headline_figures(schedule: Callable[[Quadratic], Floats], loss: float) -> None:
    task = Quadratic()
    assert final_loss(task, schedule(task)) == pytest.approx(loss, rel=1e-3)


def test_looking_ahead_a_single_step_is_worse_still() -> None:
    task = Quadratic()
    schedule = greedy(task, rounds=40 * 48, turn_steps=1)
    assert final_loss(task, schedule, turn_steps=1) == pytest.approx(0.1784, rel=1e-3)


def test_a_step_ahead_the_best_rate_is_that_of_a_parabola() -> None:
    task = Quadratic(dim=10)
    h = task.curvatures
    assert greedy(task, rounds=1, turn_steps=1)[0] == pytest.approx(sum(h**2) / sum(h**3 + h**2))


def test_no_change_of_the_best_schedule_is_an_improvement() -> None:
    task, rng = Quadratic(dim=10), np.random.default_rng(0)
    best = best_schedule(task, rounds=8, turn_steps=6)
    for size in (1e-3, 0.1, 1.0):
        changed = np.clip(best * np.exp(size * rng.normal(size=8)), 1e-4, 1.9)
        assert final_loss(task, changed, turn_steps=6) > final_loss(task, best, turn_steps=6)


def test_the_best_cosine_is_one_that_members_can_follow() -> None:
    task = Quadratic(dim=10)
    rates = best_cosine(task, rounds=4, turn_steps=6, last=0.1)
    shape = ramet.Cosine(last=0.1)
    peak = rates[0] / shape(1 / 8)
    np.testing.assert_allclose(rates, [peak * shape((turn + 0.5) / 4) for turn in range(4)])


def test_averaging_changes_no_weights_and_scores_the_average() -> None:
    plain, averaged = SampledQuadratic(dim=5), SampledQuadratic(dim=5, average=AVERAGED.average)
    states = []
    for task in (plain, averaged):
        rng = np.random.default_rng(0)
        states.append(task.step(task.init(rng), {"lr": 0.5}, 30, rng))
    np.testing.assert_array_equal(states[0]["weights"], states[1]["weights"])
    assert states[1]["updates"] == 30
    loss = averaged.loss({"average": states[1]["average"]})
    assert loss == averaged.loss(states[1]) != plain.loss(states[0])
    assert averaged.evaluate(states[1]) == states[1]["error"] - math.log(loss)


def test_updates_of_the_average_are_counted_from_call_to_call() -> None:
    task = SampledQuadratic(dim=2, noise=0.0, average=ramet.PolynomialAverage(power=0))
    rng = np.random.default_rng(0)
    state, weights = task.init(rng), []
    for _ in range(4):
        state = task.step(state, {"lr": 0.5}, 1, rng)
        weights.append(state["weights"])
    np.testing.assert_allclose(state["average"], np.mean(weights, axis=0))


def test_pbt_on_averages_ends_below_pbt_on_weights() -> None:
    strategy = ramet.PBT(population=8, turn_steps=48, synchronous=True)
    losses = []
    for task in (SampledQuadratic(), AVERAGED):
        found = [
            ramet.run(
                task,
                QUADRATIC_SPACE,
                strategy,
                steps=10 * 48,
                mode="max",
                seed=seed,
                engine=ramet.Inline(progress=False),
            ).best.load()
            for seed in range(3)
        ]
        losses.append(np.median([task.loss(state) for state in found]))
    assert losses[1] < 0.9 * losses[0]


def benchmarked(*options: str) -> list[dict[str, Any]]:
    """Return the lines that the benchmark prints on a small quadratic."""
    small = ["--dim", "5", "--rounds", "4", "--seeds", "3", "--jobs", "1", "--json"]
    command = [sys.executable, "-m", "benchmarks.quadratic", *small, *options]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.mark.slow
def test_the_benchmark_compares_methods_with_the_limit() -> None:
    lines = benchmarked("--methods", "random", "hand", "pbt22", "pbt22-mild", "greedy")
    assert [(line["method"], line["workers"]) for line in lines] == [
        *(("random", workers) for workers in (22, 36, 50)),
        *(("hand", workers) for workers in (22, 36, 50)),
        ("pbt22", 22),
        ("pbt22-mild", 22),
        ("greedy", None),
    ]
    assert all(line["limit"] <= line["q25"] <= line["median"] <= line["q75"] for line in lines)


@pytest.mark.slow
def test_the_benchmark_repeats_itself_whatever_its_processes() -> None:
    options = ("--methods", "pbt22", "--sampled")
    assert benchmarked(*options) == benchmarked(*options, "--jobs", "2")


@pytest.mark.slow
def test_the_benchmark_averages_sampled_weights_only() -> None:
    lines = benchmarked("--methods", "pbt22", "pbt22-averaged", "--sampled", "--power", "4")
    assert [line["method"] for line in lines] == ["pbt22", "pbt22-averaged"]
    assert lines[0]["median"] != lines[1]["median"]
    with pytest.raises(subprocess.CalledProcessError) as error:
        benchmarked("--methods", "pbt22-averaged")
    assert "only --sampled has any" in error.value.stderr


@pytest.mark.slow
def test_the_benchmark_draws_what_was_found(tmp_path: Path) -> None:
    out = tmp_path / "quadratic.png"
    benchmarked("--methods", "random", "pbt22", "--figure", str(out))
    assert out.read_bytes().startswith(b"\x89PNG")
