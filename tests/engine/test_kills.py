"""Worker processes that die, and what the run makes of it."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.errors import MissingScore, RunFailed
from ramet.events import Copied, TurnLost, canonical
from ramet.faults import POINTS, VARIABLE
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import alive, ended, findings_in, result_in, seats_in, wait_for

STRATEGY = pbt(population=5, synchronous=True)
When = Callable[[ramet.Turn], bool]


def dies(when: When, how: Callable[[], Any] = lambda: os.kill(os.getpid(), signal.SIGKILL)) -> Any:
    """Return a loop as `Descent` has it, whose process dies in some turns."""

    def train(session: ramet.Session) -> None:
        task, state = Descent(), Descent().init(session.rng)
        for turn in session.turns(state):
            if when(turn):
                how()
            state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(task.evaluate(state))

    return train


@pytest.fixture(scope="module")
def whole() -> ramet.Result:
    return ramet.run(Descent(), SPACE, STRATEGY, steps=40, mode="max", seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_workers_killed_at_any_point_of_a_turn_change_nothing(
    point: str,
    whole: ramet.Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = tmp_path / "runs.db"
    monkeypatch.setenv(VARIABLE, f"{point}:2")
    with caplog.at_level(logging.WARNING, "ramet"):
        killed = ramet.run(
            Descent(), SPACE, STRATEGY, steps=40, mode="max", seed=0, store=store, workers=2
        )
    assert "was killed by SIGKILL; another takes its place" in caplog.text
    assert canonical(killed.events) == canonical(whole.events)
    assert killed.population == whole.population
    assert findings_in(store) == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_turn_that_kills_every_worker_is_given_up_and_the_run_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    train = dies(lambda turn: (turn.member, turn.number) == (2, 1))
    result = ramet.run(train, SPACE, STRATEGY, steps=16, mode="max", seed=0, store=store, workers=1)
    lost = [event for event in result.events if isinstance(event, TurnLost)]
    assert [(event.member, event.turn, event.why) for event in lost] == [(2, 1, "fatal")]
    copies = [event for event in result.events if isinstance(event, Copied) and event.member == 2]
    assert copies
    assert result.population.done
    assert not result.population[2].lost
    assert findings_in(store) == []


@pytest.mark.slow
def test_two_turns_that_kill_in_one_round_are_both_given_up() -> None:
    train = dies(lambda turn: turn.member in {1, 3} and turn.number == 1)
    result = ramet.run(train, SPACE, STRATEGY, steps=16, mode="max", seed=0, workers=1)
    lost = [event.member for event in result.events if isinstance(event, TurnLost)]
    assert lost == [1, 3]
    assert result.population.done


@pytest.mark.slow
def test_a_member_that_always_kills_fails_like_one_that_always_raises() -> None:
    train = dies(lambda turn: turn.member < 2 and turn.number > 0)
    strategy = ramet.RandomSearch(population=3, turn_steps=4)
    with pytest.raises(RunFailed, match=r"50%.* 2 of 3 gave up .* was killed by SIGKILL in turn 1"):
        ramet.run(train, SPACE, strategy, steps=16, mode="max", seed=0, workers=1)


@pytest.mark.slow
def test_a_run_whose_workers_all_die_at_once_stops_and_names_the_signal(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    place: dict[str, Any] = {"store": store, "steps": 8, "mode": "max", "seed": 0}
    with pytest.raises(RunFailed, match=r"6 in a row did not; the last was killed by SIGKILL"):
        ramet.run(dies(lambda turn: True), SPACE, pbt(), **place, workers=2)
    assert [seat.worker for seat in seats_in(store)] == [None] * 6
    assert ramet.run(Descent(), SPACE, pbt(), **place).population.done
    assert findings_in(store) == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_leaves_before_the_run_is_over_is_replaced(
    code: int, whole: ramet.Result, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / "left"

    def leave() -> None:
        left.touch()
        os._exit(code)

    train = dies(lambda turn: turn.number == 1 and not left.exists(), leave)
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(train, SPACE, STRATEGY, steps=40, mode="max", seed=0, workers=1)
    assert f"ended with exit code {code}; another takes its place" in caplog.text
    assert canonical(result.events) == canonical(whole.events)


def test_a_worker_that_is_replaced_goes_on_with_a_run_that_was_extended(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    extended = tmp_path / "extended"

    def extend() -> None:
        extended.touch()
        ramet.open(store, space=SPACE, strategy=STRATEGY, steps=24, mode="max", existing="extend")
        os.kill(os.getpid(), signal.SIGKILL)

    train = dies(lambda turn: not extended.exists(), extend)
    result = ramet.run(train, SPACE, STRATEGY, steps=16, mode="max", seed=0, store=store, workers=1)
    assert result.population.steps == 24
    assert result.population.done
    assert ended(result_in(store)) == [(member, turn) for member in range(5) for turn in range(6)]


@pytest.mark.parametrize("obeys", [True, False], ids=["ends", "is killed"])
def test_processes_that_a_worker_started_end_when_the_workers_are_stopped(
    *, obeys: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not obeys:
        monkeypatch.setattr("ramet.engine.processes.pool.GRACE_S", 0.1)
    started = tmp_path / "started"

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            if turn.member == 0:
                loader = subprocess.Popen(["/bin/sleep", "600"])
                if not obeys:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                started.with_suffix(".part").write_text(str(loader.pid))
                started.with_suffix(".part").rename(started)
                time.sleep(600)
            # Without a score, which ends the run.
            wait_for(started.exists)

    with pytest.raises(MissingScore):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0, workers=2)
    loader = int(started.read_text())
    wait_for(lambda: not alive(loader))
