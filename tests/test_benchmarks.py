"""Benchmarks answer options that cannot be with what they take."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ramet
from benchmarks import crash, host, long_logs, overhead, quadratic, strategies, uneven, victims
from benchmarks.digits import Digits
from ramet.engine.workers import vectorized
from ramet.events import canonical
from ramet.testing import Quadratic


@pytest.mark.parametrize(
    ("benchmark", "turns", "least"),
    [(overhead, "5", "8 for 8 members"), (long_logs, "200", "1,000 for 1,000 members")],
)
def test_fewer_turns_than_members_are_refused_with_how_many_it_takes(
    benchmark: object,
    turns: str,
    least: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--turns", turns])

    with pytest.raises(SystemExit):
        benchmark.main()

    assert f"it must be at least {least}, but got {turns}" in capsys.readouterr().err


def test_a_population_of_one_needs_two_turns_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--turns", "1", "--members", "1"])

    with pytest.raises(SystemExit):
        overhead.main()

    assert "at least 2 for 1 members" in capsys.readouterr().err


def test_faults_need_a_server_that_can_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--faults"])

    with pytest.raises(SystemExit):
        crash.main()

    assert "--store postgresql or --blobs s3" in capsys.readouterr().err


def test_simulated_workers_train_what_one_process_trains() -> None:
    def run(*, synchronous: bool) -> uneven.Outcome:
        return uneven.Trial(
            method="pbt",
            synchronous=synchronous,
            fleet="22 of 1:2:4",
            rounds=4,
            jitter=0.1,
            task=Quadratic(),
        ).run(seed=1)

    rounds, free = run(synchronous=True), run(synchronous=False)
    plain = quadratic.Trial(method="pbt22", workers=22, task=Quadratic(), rounds=4)
    assert rounds.loss == rounds.within == plain.loss(seed=1)
    # Some of the workers take four times as long.
    assert rounds.time == pytest.approx(4 * 4, rel=0.3)
    assert free.time < rounds.time
    assert rounds.busy < free.busy < 1


def test_a_comparison_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, trained = tmp_path / "results.jsonl", list[int]()

    def measure(strategy: object, pace: object, seed: int) -> float:
        del strategy, pace
        trained.append(seed)
        return seed / 10

    monkeypatch.setitem(strategies.MEASURES, "plain", measure)
    trials = [strategies.Trial("plain", "pbt", seed) for seed in range(4)]
    first = list(strategies.compare(trials[:2], jobs=1, results=results))
    with results.open("ab") as lines:
        lines.write(b'{"task":"plain","str')  # It was killed.
    every = list(strategies.compare(trials, jobs=1, results=results))
    again = list(strategies.compare(trials, jobs=1, results=results))

    assert trained == [0, 1, 2, 3]
    assert every[:2] == first
    assert [outcome.loss for outcome in again] == [0.0, 0.1, 0.2, 0.3]


def test_a_run_with_other_settings_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, trained = tmp_path / "results.jsonl", list[str]()

    def measure(strategy: object, pace: object, seed: int) -> float:
        del pace, seed
        trained.append(type(strategy).__name__)
        return 0.0

    monkeypatch.setitem(strategies.MEASURES, "plain", measure)
    trial = strategies.Trial("plain", "pbt", 0)
    list(strategies.compare([trial], jobs=1, results=results))
    monkeypatch.setitem(strategies.STRATEGIES, "pbt", strategies.random)
    list(strategies.compare([trial], jobs=1, results=results))

    assert trained == ["PBT", "RandomSearch"]


def test_strategies_are_compared_over_the_seeds_that_all_of_them_have() -> None:
    def outcome(strategy: str, seed: int, loss: float) -> strategies.Outcome:
        return strategies.Outcome(
            task="plain", strategy=strategy, settings="", seed=seed, loss=loss, wall_s=1.0
        )

    outcomes = [outcome("a", 0, 1.0), outcome("b", 0, 2.0), outcome("a", 1, 9.0)]
    one, other = strategies.summarize(outcomes, ["a", "b"])

    assert (one["seeds"], one["median"], one["mean_rank"]) == (1, 1.0, 1.0)
    assert (other["median"], other["mean_rank"]) == (2.0, 2.0)


def test_the_network_of_digits_learns_and_renews_its_weights() -> None:
    pytest.importorskip("sklearn")
    task, rng = Digits(0), np.random.default_rng(0)
    state = task.init(rng)
    before, wrong = task.evaluate(state), task.count_wrong(state)
    after = task.step(state, {"lr": 0.05}, 200, rng)

    assert task.evaluate(after) > before + 0.5
    assert task.count_wrong(after) < wrong / 2
    renewed = task.renew(after, state)
    np.testing.assert_allclose(
        renewed["weights"], 0.2 * after["weights"] + 0.1 * state["weights"], rtol=1e-5
    )
    assert not renewed["momentum"].any()


@pytest.mark.parametrize("name", victims.STRATEGIES)
def test_what_is_killed_trains_all_members_at_once_as_it_trains_each(name: str) -> None:
    strategy, same = victims.STRATEGIES[name], {"steps": 40, "mode": "max", "seed": 0}
    together, one_by_one = (
        ramet.run(victims.Descent(None, 0.0), victims.SPACE, strategy, engine=engine, **same)
        for engine in (ramet.Vectorized(), ramet.Inline())
    )
    assert canonical(together.events) == canonical(one_by_one.events)


def test_a_round_is_timed_with_and_without_another_that_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The benchmark sets it.
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", 0.0)
    figures = host.measure(8, rounds=4, durability="process", synchronous=True, memory=False)
    assert figures["turns"] == 32
    assert figures["state_bytes"] == 20_000
