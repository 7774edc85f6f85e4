"""Runs that FIRE decides in."""

import dataclasses
import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StrategyError, UsageError
from ramet.events import Copied, Rested, RoundEnded, TurnEnded, TurnLost, canonical, fold
from ramet.faults import VARIABLE
from ramet.history.doctor import examine
from ramet.history.fire import evaluations, notes
from ramet.store import MemoryStore
from ramet.strategies import Rating
from ramet.testing import QUADRATIC_SPACE, FakeClock, Quadratic
from ramet.testing.quadratic_optimum import final_loss
from tests.engine.scripts import findings_in, seats_in

TASK = Quadratic(dim=20)
STRATEGY = ramet.FIRE(turn_steps=12, evaluate_every=1, subpopulations=3, size=4)
STEPS = 12 * 16
RUN: dict[str, Any] = {"steps": STEPS, "mode": "max", "seed": 3}


@pytest.fixture(scope="module")
def whole() -> ramet.Result:
    return ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN)


def test_much_happens(whole: ramet.Result) -> None:
    """What the other tests here would be worth little without."""
    outcomes = Counter(evaluation.outcome for _, evaluation in evaluations(whole.events))
    assert (
        min(outcomes[kind] for kind in ("success", "parent lost", "reference lost", "no better"))
        > 0
    )
    kinds = Counter(event.kind for event in whole.events if isinstance(event, Copied))
    assert set(kinds) == {"exploit", "evaluation", "success"}
    assert any(isinstance(event, Rested) for event in whole.events)


def test_every_member_spends_every_round_training_or_resting(whole: ramet.Result) -> None:
    spent: Counter[int] = Counter()
    rounds = 0
    for event in whole.events:
        match event:
            case TurnEnded(member=member):
                spent[member] += 1
                assert event.turn == rounds
            case Rested(member=member):
                assert event.turn == rounds
            case RoundEnded():
                rounds += 1
    assert rounds == STEPS // 12
    assert {member.trained for member in whole.population} == {STEPS}
    assert all(spent[member] == rounds for member in range(12))
    # Nobody is evaluated in the first round.
    assert all(0 < spent[member] < rounds for member in range(12, 18))


def test_the_best_is_the_best_score_that_p1_ever_had(whole: ramet.Result) -> None:
    p1 = [member.id for member in whole.population if member.group == 1]
    scores: list[float] = []
    for event in whole.events:
        match event:
            case TurnEnded(member=member, points=points) if member in p1:
                scores.append(points[-1][1] or -math.inf)
            case Copied(member=member, weights=weights) if member in p1 and weights:
                scores.append(weights.points[-1][1] or -math.inf)
    assert whole.best.score == max(scores)


def test_the_schedule_goes_through_evaluators_and_leads_to_the_best_weights(
    whole: ramet.Result,
) -> None:
    schedule = whole.schedule()
    rates = [values["lr"] for step in range(0, whole.best.step, 12) for values in [schedule(step)]]
    assert len(set(rates)) > 3
    assert final_loss(TASK, np.array(rates), turn_steps=12) == pytest.approx(
        TASK.loss(whole.best.load()), rel=1e-12
    )


def test_the_best_of_p1_may_have_come_from_an_evaluator() -> None:
    """And then its hyperparameters are those it was trained with there."""
    for seed in range(40):
        result = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, steps=12 * 4, mode="max", seed=seed)
        if result.population[result.best.member].group == 0:
            assert list(result.schedule())[-1][1] == result.best.hparams
            return
    pytest.fail("no seed has a best that was a success just now")


def test_a_log_read_back_says_what_each_member_was_rated(whole: ramet.Result) -> None:
    rated = {
        note.member: note.what for note in notes(whole.events) if isinstance(note.what, Rating)
    }
    assert set(rated) <= set(range(4, 12))
    for member, rating in rated.items():
        data = fold(whole.events)[member].data
        assert (data["fitness"], data["seen"]) == (rating.fitness, rating.seen)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_log_is_the_same_for_any_number_of_processes(
    workers: int, whole: ramet.Result, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    together = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, store=store, workers=workers)
    assert canonical(together.events) == canonical(whole.events)
    assert together.population == whole.population
    assert list(together.schedule()) == list(whole.schedule())
    assert findings_in(store) == []


@pytest.mark.slow
# The latest before anything is written, before and after the turn is on record. A process passes
# the others as with any strategy, which the tests of kills are about.
@pytest.mark.parametrize("point", ["trained", "committing", "committed"])
def test_workers_killed_at_any_point_of_a_turn_change_nothing(
    point: str, whole: ramet.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    # The fiftieth time, evaluators are at work.
    monkeypatch.setenv(VARIABLE, f"{point}:50")
    killed = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, store=store, workers=2)
    assert canonical(killed.events) == canonical(whole.events)
    assert findings_in(store) == []


@pytest.mark.parametrize("stop_after", [1, 12, 13, 29, 100])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(
    stop_after: int, whole: ramet.Result
) -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    run = ramet.open(**place, space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN)
    for _ in range(stop_after):
        turn = run.ask()
        assert turn is not None
        state = turn.load(default=TASK.init)
        for count in turn.stretches():
            state = TASK.step(state, turn.hparams, count, turn.rng)
            turn.report(TASK.evaluate(state))
        run.tell(turn, state=state)
    resumed = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, **place)
    assert canonical(resumed.events) == canonical(whole.events)
    assert examine(place["store"].store, place["store"].blobs, "run") == []


def test_a_run_that_is_given_more_steps_has_its_evaluators_go_on() -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), "seed": 3}
    short = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS // 2, mode="max", **place)
    longer = ramet.run(
        TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS, mode="max", existing="extend", **place
    )
    assert longer.best.score >= short.best.score
    assert {member.trained for member in longer.population} == {STEPS}
    # No evaluator trains what it was not given.
    evaluated = {evaluation.since for _, evaluation in evaluations(longer.events)}
    assert STEPS // 2 in evaluated
    assert examine(place["store"].store, place["store"].blobs, "run") == []


def test_a_budget_that_evaluations_do_not_divide_is_refused_before_it_is_written() -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), "seed": 3}
    strategy = dataclasses.replace(STRATEGY, evaluate_every=4, smoother=abs)
    run = ramet.run(TASK, QUADRATIC_SPACE, strategy, steps=48, mode="max", **place)
    with pytest.raises(StrategyError, match="steps must be a multiple of evaluate_every"):
        ramet.run(
            TASK, QUADRATIC_SPACE, strategy, steps=102, mode="max", existing="extend", **place
        )
    assert place["store"].store.events("run") == run.log


@pytest.mark.parametrize("member", [0, 5, 13])
def test_a_member_whose_checkpoint_is_lost_goes_on_with_other_weights(
    member: int, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS // 2, mode="max", seed=3, store=store)
    before = {seat.standing.member: seat.standing.checkpoint for seat in seats_in(store)}
    for found in tmp_path.rglob(f"{before[member]}*"):
        found.write_bytes(b"damaged")
    result = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, store=store, existing="extend")
    kinds = Counter(event.kind for event in result.events if isinstance(event, Copied))
    assert kinds["rebirth"] + kinds["fallback"] > 0
    for event in result.events:
        # What evaluators go on with is given up in any case.
        if isinstance(event, Copied) and event.kind == "rebirth" and event.member < 12:
            groups = {result.population[id_].group for id_ in (event.member, event.source)}
            assert len(groups) == 1
    assert "failed" in {ended.outcome for _, ended in evaluations(result.events)} or member == 0
    assert findings_in(store) == []


def test_members_whose_training_diverges_are_replaced() -> None:
    class Breaks(Quadratic):
        def evaluate(self, state: Any) -> float:
            loss = self.loss(state)
            return super().evaluate(state) if loss < 1.0 else math.nan

    result = ramet.run(
        Breaks(dim=20),
        QUADRATIC_SPACE,
        STRATEGY,
        **RUN,
        engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0)),
    )
    assert result.population.done
    assert math.isfinite(result.best.score)


@pytest.mark.parametrize("group", [1, 2, 0])
def test_a_member_that_fails_has_others_go_on(group: int) -> None:
    def train(session: ramet.Session) -> None:
        state = TASK.init(session.rng)
        for turn in session.turns(state):
            if turn.number == 5 and turn.member in {1: (0,), 2: (5, 6), 0: (13,)}[group]:
                raise OSError("the disk is gone")
            for count in turn.stretches():
                state.update(TASK.step(state, turn.hparams, count, turn.rng))
                turn.report(TASK.evaluate(state))

    result = ramet.run(train, QUADRATIC_SPACE, STRATEGY, **RUN)
    assert result.population.done
    assert not any(member.lost for member in result.population)
    if group == 0:
        assert "failed" in {evaluation.outcome for _, evaluation in evaluations(result.events)}


def test_scores_at_other_steps_are_refused_with_what_to_do() -> None:
    def train(session: ramet.Session) -> None:
        state = TASK.init(session.rng)
        for turn in session.turns(state):
            state.update(TASK.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(TASK.evaluate(state))

    with pytest.raises(StrategyError, match=r"every evaluate_every=1 steps, .* at steps 12, 24"):
        ramet.run(train, QUADRATIC_SPACE, STRATEGY, **RUN)


def test_minimising_is_one_sign(whole: ramet.Result) -> None:
    class Loss(Quadratic):
        def evaluate(self, state: Any) -> float:
            return -super().evaluate(state)

    loss = ramet.run(Loss(dim=20), QUADRATIC_SPACE, STRATEGY, **{**RUN, "mode": "min"})
    assert loss.best.score == -whole.best.score
    assert dataclasses.replace(loss.best, score=0.0) == dataclasses.replace(whole.best, score=0.0)


@pytest.mark.parametrize(
    "strategy",
    [
        ramet.FIRE(turn_steps=12, evaluate_every=1, subpopulations=1),
        ramet.FIRE(turn_steps=12, evaluate_every=1, size=2),
        ramet.FIRE(turn_steps=12, evaluate_every=1, size=4, min_steps_before_eval=60),
        ramet.FIRE(turn_steps=12, evaluate_every=1, size=4, initial=[{"lr": 0.1}], smoother=abs),
    ],
    ids=["greedy", "smallest", "patient", "own smoother"],
)
def test_settings_at_their_ends_run_to_the_end(strategy: ramet.FIRE) -> None:
    result = ramet.run(TASK, QUADRATIC_SPACE, strategy, **RUN)
    assert result.population.done


def test_workers_for_evaluators_leave_the_other_members_to_others(whole: ramet.Result) -> None:
    kept = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    run = ramet.open(kept, space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN)
    run.ask_only([member.id for member in run.population if member.group != 0])
    engine = ramet.Inline(only="evaluators", progress=False)
    evaluates = threading.Thread(target=ramet.join, args=(TASK, kept), kwargs={"engine": engine})
    evaluates.start()
    while (turn := run.ask()) is not None:
        state = turn.load(default=TASK.init)
        for steps in turn.stretches():
            state = TASK.step(state, turn.hparams, steps, turn.rng)
            turn.report(TASK.evaluate(state))
        run.tell(turn, state=state)
    evaluates.join()
    result = run.result()
    assert canonical(result.events) == canonical(whole.events)
    trained = [logged for logged in result.log if isinstance(logged.event, TurnEnded)]
    for logged in trained:
        group = result.population[logged.event.member].group
        assert (group == 0) == (logged.worker != run.worker)


def test_a_worker_for_evaluators_closes_no_round_that_others_have_not_begun() -> None:
    kept = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    failures = ramet.Failures(straggler_timeout_s=0.001)
    clock = FakeClock()
    run = ramet.open(
        kept, space=QUADRATIC_SPACE, strategy=STRATEGY, failures=failures, clock=clock, **RUN
    )
    # Evaluators rest in the first round, so there is nothing to do for them.
    run.ask_only([member.id for member in run.population if member.group == 0])
    stop = threading.Timer(
        0.2, ramet.open(kept, space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN).stop
    )
    stop.start()
    assert run.ask() is None
    stop.join()
    assert not [event for event in run.result().events if isinstance(event, TurnLost)]


def test_members_that_there_are_not_are_not_asked_for() -> None:
    run = ramet.open(space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN)
    last = len(run.population) - 1
    with pytest.raises(UsageError, match=rf"from 0 to {last}, but these are not: -1, {last + 1};"):
        run.ask_only([0, -1, last + 1])
    for none in ([], iter([])):
        with pytest.raises(UsageError, match="but there are none; ask would wait"):
            run.ask_only(none)


def test_a_worker_for_evaluators_needs_a_run_that_has_some() -> None:
    with pytest.raises(UsageError, match="run 'run' has none; leave out only='evaluators'"):
        ramet.run(
            TASK, QUADRATIC_SPACE, ramet.PBT(population=5, turn_steps=12),
            engine=ramet.Inline(only="evaluators"), **RUN,
        )  # fmt: skip
    with pytest.raises(StrategyError, match="only must be 'evaluators' or None"):
        ramet.Inline(only="parents")
