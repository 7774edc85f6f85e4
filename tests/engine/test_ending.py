"""Runs that end before their budget: at a target, or because a loop asks for it."""

import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.errors import RunFailed, StrategyError, TurnInterrupted
from ramet.events import AnyEvent, Resumed, Stopped, TargetSet, canonical
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.engine.scripts import ended, findings_in, result_in, seats_in

TOGETHER, EACH = pbt(population=5, synchronous=True), pbt(population=5)
STEPS = 40
TARGET, HIGHER = -0.008, -0.0004


def settings(strategy: ramet.Strategy = TOGETHER, **changes: Any) -> dict[str, Any]:
    return {
        "space": SPACE,
        "strategy": strategy,
        "steps": STEPS,
        "mode": "max",
        "seed": 3,
        **changes,
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture(scope="module")
def whole() -> ramet.Result:
    return ramet.run(Descent(), **settings())


def rounds_to(result: ramet.Result, target: float) -> int:
    """Return how many rounds a whole run has until the first of its turns reaches a target."""
    turns = result.rows("turns")
    return 1 + min(row["turn"] for row in turns if row["score"] >= target)


def decisions(result: ramet.Result) -> list[AnyEvent]:
    """Return what a store has of a run behind its settings; scores are maximised there."""
    return canonical(logged.event for logged in result.store.events("run"))[1:]


def stops(result: ramet.Result) -> list[str]:
    return [event.why for event in result.events if isinstance(event, Stopped)]


class Costs(Descent):
    """The same, to be minimised."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)


def test_a_synchronous_run_ends_with_the_round_in_which_its_target_is_reached(
    whole: ramet.Result,
) -> None:
    result = ramet.run(Descent(), **settings(target=TARGET))
    rounds = rounds_to(whole, TARGET)
    assert 1 < rounds < STEPS // 4
    assert ended(result) == [(member, turn) for member in range(5) for turn in range(rounds)]
    assert result.population.stopped
    assert not result.population.done
    assert result.best.score >= TARGET
    assert stops(result) == ["target"]
    # All that was trained is as it would have been.
    written = canonical(result.events)
    assert written == canonical(whole.events)[: len(written)]


def test_an_asynchronous_run_ends_with_the_turn_that_reaches_its_target() -> None:
    whole = ramet.run(Descent(), **settings(EACH))
    result = ramet.run(Descent(), **settings(EACH, target=TARGET))
    assert result.population.stopped
    assert not result.population.done
    *before, last = [row["score"] for row in result.rows("turns")]
    assert last >= TARGET > max(before)
    written = [event for event in result.events if not isinstance(event, TargetSet | Stopped)]
    assert written == whole.events[: len(written)]


@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_a_target_is_of_scores_as_they_are_reported(strategy: ramet.Strategy) -> None:
    result = ramet.run(Costs(), **settings(strategy, target=-TARGET, mode="min"))
    highest = ramet.run(Descent(), **settings(strategy, target=TARGET))
    assert result.population.target == -TARGET
    assert result.population.at_target
    assert result.best.score <= -TARGET
    assert decisions(result) == decisions(highest)


@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_a_users_loop_ends_at_the_target_of_its_run(strategy: ramet.Strategy) -> None:
    task = Descent()
    run, passes = ramet.open(**settings(strategy, target=TARGET)), 0
    while not run.over:  # As README has it.
        assert (passes := passes + 1) < STEPS // 4
        out = []
        while (turn := run.ask()) is not None:
            out.append(turn)
        for turn in out:
            w = task.step(turn.load(default=task.init), turn.hparams, turn.steps, turn.rng)
            run.tell(turn, scores=task.evaluate(w), state=w)
    assert run.result().population.why_stopped == "target"
    assert not run.done


@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_who_joins_without_a_target_leaves_that_of_a_run_at_work_as_it_is(
    strategy: ramet.Strategy, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    joined = []

    def train(session: ramet.Session) -> None:
        if not joined:
            joined.append(ramet.open(store, **settings(strategy)))
        descent_loop(session)

    result = ramet.run(train, **settings(strategy, target=TARGET), store=store)
    assert joined
    assert stops(result) == ["target"]
    assert not result.population.done
    assert "target of" not in caplog.text


def test_a_run_that_was_stopped_short_of_its_target_keeps_the_target(
    store: Path,
) -> None:
    ramet.open(store, **settings(target=TARGET)).stop()
    result = ramet.run(Descent(), **settings(), store=store)
    assert stops(result) == ["asked", "target"]


def test_another_target_for_a_run_on_record_is_logged_with_both(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramet.open(store, **settings(target=0.25, mode="min"))
    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.open(store, **settings(target=0.125, mode="min"))
    assert "'run' had a target of 0.25; from now on it has one of 0.125" in caplog.text


@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_a_stopped_run_that_has_passed_a_new_target_says_that_it_stopped_at_it(
    strategy: ramet.Strategy, store: Path
) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(1.0)
            turn.stop_run()

    before = ramet.run(train, **settings(strategy), store=store)
    assert before.population.why_stopped == "loop"
    result = ramet.run(train, **settings(strategy, target=0.5), store=store)
    assert result.population.turns == before.population.turns
    assert result.population.why_stopped == "target"
    assert findings_in(store) == []
    # And so it goes on without it.
    assert not ramet.open(store, **settings(strategy)).stopped


def test_a_run_that_has_used_its_budget_is_over() -> None:
    run = ramet.open(**settings(steps=8))
    task = Descent()
    while (turn := run.ask()) is not None:
        assert not run.over
        w = task.step(turn.load(default=task.init), turn.hparams, turn.steps, turn.rng)
        run.tell(turn, scores=task.evaluate(w), state=w)
    assert run.over
    assert run.done


def test_only_the_score_that_a_turn_ends_with_reaches_a_target() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for step in turn:
                turn.report(1.0 if step % 4 == 1 else 0.0)

    assert ramet.run(train, **settings(target=1.0)).population.done


def test_a_run_of_fire_ends_with_the_scores_that_count_for_its_best() -> None:
    fire = ramet.FIRE(turn_steps=14, evaluate_every=2, size=2)
    whole = ramet.run(Descent(), SPACE, fire, steps=112, mode="max", seed=0)
    result = ramet.run(Descent(), SPACE, fire, steps=112, mode="max", seed=0, target=-0.01)
    assert result.best.score >= -0.01
    assert result.population.round < whole.population.round
    written = canonical(result.events)
    assert written == canonical(whole.events)[: len(written)]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_at_its_target_is_not_trained_by_the_same_call(
    workers: int, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = ramet.run(Descent(), **settings(target=TARGET), store=store, workers=workers)
    with caplog.at_level(logging.WARNING, "ramet"):
        again = ramet.run(Descent(), **settings(target=TARGET), store=store, workers=workers)
    assert again.log == before.log
    assert "has reached its target of -0.008 already" in caplog.text


@pytest.mark.parametrize("target", [None, 0.5, HIGHER], ids=["none", "out of reach", "higher"])
@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_a_run_at_its_target_goes_on_with_a_higher_one_or_none(
    strategy: ramet.Strategy, target: float | None, store: Path
) -> None:
    whole = ramet.run(Descent(), **settings(strategy, target=target))
    ramet.run(Descent(), **settings(strategy, target=TARGET), store=store)
    result = ramet.run(Descent(), **settings(strategy, target=target), store=store)
    assert canonical(result.events) == canonical(whole.events)
    assert result.population.stopped is whole.population.stopped
    targets = [event.target for event in result.events if isinstance(event, TargetSet)]
    assert targets == [TARGET, target]
    assert findings_in(store) == []


def test_a_target_that_was_passed_already_ends_a_run_without_another_turn(store: Path) -> None:
    ramet.run(Descent(), **settings(target=TARGET), store=store)
    before = ramet.run(Descent(), **settings(), store=store)
    result = ramet.run(
        Descent(), **settings(steps=80, target=TARGET), existing="extend", store=store
    )
    assert result.population.turns == before.population.turns
    assert result.population.stopped
    more = ramet.run(Descent(), **settings(steps=80), existing="extend", store=store)
    assert more.population.done
    assert [member.trained for member in more.population] == [80] * 5


def test_a_round_that_was_cut_off_after_the_target_was_reached_is_trained_to_its_end(
    store: Path,
) -> None:
    ends = ramet.run(Descent(), **settings(target=TARGET))
    task = Descent()
    run = ramet.open(store, **settings(target=TARGET))
    while not run.population.at_target:
        turn = run.ask()
        assert turn is not None
        state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
        run.tell(turn, task.evaluate(state), state=state)
    assert not run.stopped
    run.stop()
    result = ramet.run(task, **settings(target=TARGET), store=store)
    assert canonical(result.events) == canonical(ends.events)
    assert result.population.why_stopped == "target"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [TOGETHER, EACH], ids=["together", "each"])
def test_worker_processes_end_at_the_target(strategy: ramet.Strategy, store: Path) -> None:
    alone = ramet.run(Descent(), **settings(strategy, target=TARGET))
    result = ramet.run(Descent(), **settings(strategy, target=TARGET), workers=2, store=store)
    assert result.population.stopped
    assert result.best.score >= TARGET
    assert findings_in(store) == []
    if strategy is TOGETHER:
        assert canonical(result.events) == canonical(alone.events)


@pytest.mark.parametrize("target", ["0.9", True, math.nan, math.inf, [0.9]], ids=repr)
def test_a_target_that_no_score_can_reach_is_refused(target: Any) -> None:
    with pytest.raises(StrategyError, match="target must be the score that ends the run"):
        ramet.run(Descent(), **settings(target=target))


def asking(when: Callable[[ramet.Turn], bool]) -> Callable[[ramet.Session], None]:
    """Return the loop of `Descent`, which asks for the run to stop in some turns."""

    def train(session: ramet.Session) -> None:
        task = Descent()
        state = task.init(session.rng)
        for turn in session.turns(state):
            for step in turn:
                state.update(task.step(state, turn.hparams, 1, turn.rng))
                if when(turn) and step % 4 == 1:
                    turn.stop_run()
            turn.report(task.evaluate(state))

    return train


def third_of_member_1(turn: ramet.Turn) -> bool:
    return (turn.member, turn.number) == (1, 2)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loop_can_stop_a_synchronous_run_at_the_rounds_end(
    workers: int, store: Path, whole: ramet.Result
) -> None:
    train = asking(third_of_member_1)
    result = ramet.run(train, **settings(), store=store, workers=workers)
    assert ended(result) == [(member, turn) for member in range(5) for turn in range(3)]
    assert stops(result) == ["loop"]
    assert not result.population.failures
    went_on = ramet.run(train, **settings(), store=store, workers=workers)
    assert went_on.population.done
    assert canonical(went_on.events) == canonical(whole.events)
    assert [type(event) for event in went_on.events if isinstance(event, Stopped | Resumed)] == [
        Stopped,
        Resumed,
    ]
    assert findings_in(store) == []


def test_a_loop_can_stop_an_asynchronous_run_with_its_turn(store: Path) -> None:
    result = ramet.run(asking(third_of_member_1), **settings(EACH), store=store)
    assert ended(result)[-1] == (4, 1)
    assert (1, 2) in ended(result)
    assert (2, 2) not in ended(result)
    went_on = ramet.run(asking(third_of_member_1), **settings(EACH), store=store)
    whole = ramet.run(descent_loop, **settings(EACH))
    assert canonical(went_on.events) == canonical(whole.events)


def test_a_stop_that_a_loop_asked_for_outlives_its_process(store: Path) -> None:
    run = ramet.open(store, **settings())
    turn = run.ask()
    assert turn is not None
    task = Descent()
    turn.stop_run()
    state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, task.evaluate(state), state=state)
    assert not run.stopped
    result = ramet.run(task, **settings(), store=store)
    assert ended(result) == [(member, 0) for member in range(5)]
    assert result_in(store).population.stopped


def test_a_loop_that_leaves_its_turn_after_having_asked_for_a_stop_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(0.0)
            turn.stop_run()
            break

    with pytest.raises(TurnInterrupted, match=r"and let the loop go on: it ends by"):
        ramet.run(train, **settings())


def leaving(session: ramet.Session) -> None:
    for turn in session.turns({"w": 0.0}):
        list(turn)
        turn.report(0.0)
        if turn.number == 1:
            sys.exit(0)


def test_a_loop_that_ends_its_process_says_how_to_stop_a_run(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ramet"), pytest.raises(SystemExit) as leaves:
        ramet.run(leaving, **settings(), store=store)
    assert leaves.value.code == 0
    where = f"{__file__}:{leaving.__code__.co_firstlineno + 5}"
    assert f"sys.exit(0) was called at {where}: run 'run' is left as it is" in caplog.text
    assert "call turn.stop_run()" in caplog.text
    assert {seat.worker for seat in seats_in(store)} == {None}


@pytest.mark.slow
def test_a_loop_that_ends_its_worker_process_ends_the_run_with_an_error(store: Path) -> None:
    with pytest.raises(RunFailed, match=r"ended with SystemExit: 0; to stop .* turn\.stop_run"):
        ramet.run(leaving, **settings(), store=store, workers=2)
    assert {seat.worker for seat in seats_in(store)} == {None}
