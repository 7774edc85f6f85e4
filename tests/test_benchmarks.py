"""Benchmarks answer options that cannot be with what they take."""

import sys

import pytest

from benchmarks import crash, long_logs, overhead, quadratic, uneven
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
        benchmark.main()  # type: ignore[attr-defined]  # each has one

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
