"""Runs that FIRE decides in without rounds: what holds as in a run with rounds, in any order."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.curves import smooth
from ramet.errors import StrategyError
from ramet.events import Annotated, Copied, TurnEnded
from ramet.faults import POINTS, VARIABLE
from ramet.history.doctor import examine
from ramet.history.fire import evaluations
from ramet.population import Population
from ramet.store import MemoryStore
from ramet.strategies import Evaluation, from_description
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.engine.fire_laws import check
from tests.engine.loops import SPACE
from tests.engine.scripts import findings_in
from tests.engine.stacked import Together

TASK = Quadratic(dim=20)
STRATEGY = ramet.FIRE(turn_steps=12, evaluate_every=1, subpopulations=3, size=4, synchronous=False)
STEPS = 12 * 16
RUN: dict[str, Any] = {"steps": STEPS, "mode": "max", "seed": 3}
SHORT: dict[str, Any] = {**RUN, "steps": STEPS // 2}


@pytest.fixture(scope="module")
def whole() -> ramet.Result:
    return ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN)


def end(run: ramet.Run, turn: ramet.Turn) -> None:
    """Train a turn and end it."""
    state = turn.load(default=TASK.init)
    for steps in turn.stretches():
        state = TASK.step(state, turn.hparams, steps, turn.rng)
        turn.report(TASK.evaluate(state))
    run.tell(turn, state=state)


Order = Callable[[Population], Iterator[int]]


def in_rounds(population: Population) -> Iterator[int]:
    """A turn of each member, one after the other."""
    for _ in range(population.steps // 12):
        yield from range(len(population))


def at_random(population: Population) -> Iterator[int]:
    """Any member next; every other one four times as often as the rest."""
    rng, left = np.random.default_rng(0), [population.steps // 12] * len(population)
    while any(left):
        going = [id_ for id_, turns in enumerate(left) if turns]
        pace = np.array([4.0 if id_ % 2 else 1.0 for id_ in going])
        member = int(rng.choice(going, p=pace / pace.sum()))
        left[member] -= 1
        yield member


def one_by_one(population: Population) -> Iterator[int]:
    """The whole budget of each member, one after the other; the last members first."""
    for member in reversed(range(len(population))):
        yield from [member] * (population.steps // 12)


def train(order: Order) -> ramet.Result:
    run = ramet.open(space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN)
    for member in order(run.population):
        run.ask_only([member])
        turn = run.ask()
        assert turn is not None
        end(run, turn)
    assert run.over
    return run.result()


def test_much_happens(whole: ramet.Result) -> None:
    """What the other tests here would be worth little without."""
    outcomes = Counter(evaluation.outcome for _, evaluation in evaluations(whole.events))
    assert min(outcomes[kind] for kind in ("success", "parent lost", "no better")) > 0
    kinds = Counter(event.kind for event in whole.events if isinstance(event, Copied))
    assert set(kinds) == {"exploit", "evaluation", "success"}
    assert outcomes["success"] == kinds["success"]


@pytest.mark.parametrize("order", [in_rounds, at_random, one_by_one])
def test_what_holds_with_rounds_holds_in_any_order(order: Order) -> None:
    result = train(order)
    check(result.events, STRATEGY)
    assert {member.trained for member in result.population} == {STEPS}
    successes = [each for _, each in evaluations(result.events) if each.outcome == "success"]
    copies = [e for e in result.events if isinstance(e, Copied) and e.kind == "success"]
    assert len(successes) == len(copies)
    assert order is one_by_one or copies


def test_one_member_after_the_other_is_a_run_without_evaluations() -> None:
    # There was nothing to evaluate while evaluators trained: no member had ended a turn.
    assert list(evaluations(train(one_by_one).events)) == []


def test_one_process_always_does_the_same(whole: ramet.Result) -> None:
    again = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN)
    assert again.events == whole.events


def test_curves_that_are_kept_smoothed_are_compared_as_if_smoothed_anew(
    whole: ramet.Result,
) -> None:
    def smooth_anew(curve: Any) -> Any:
        return smooth(curve)

    strategy = dataclasses.replace(STRATEGY, smoother=smooth_anew)
    again = ramet.run(TASK, QUADRATIC_SPACE, strategy, **RUN)
    assert again.events[1:] == whole.events[1:]


def test_evaluators_measure_nothing_in_their_first_turn(whole: ramet.Result) -> None:
    since = [evaluation.since for _, evaluation in evaluations(whole.events)]
    assert min(since) == 12
    assert whole.best.member in range(4) or whole.population[whole.best.member].group == 0


@pytest.mark.parametrize("stop_after", [1, 17, 18, 29, 100, 200])
def test_a_run_stopped_anywhere_goes_on(stop_after: int) -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    run = ramet.open(**place, space=QUADRATIC_SPACE, strategy=STRATEGY, **RUN)
    for _ in range(stop_after):
        turn = run.ask()
        assert turn is not None
        end(run, turn)
    before = run.result().events
    resumed = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, **place)
    assert resumed.events[: len(before)] == before
    assert resumed.population.done
    check(resumed.events, STRATEGY)
    assert examine(place["store"].store, place["store"].blobs, "run") == []


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_run_goes_on_when_workers_are_killed_at_any_point_of_a_turn(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs.db"
    # By then, evaluators are at work. Pruning comes once in eight turns.
    time = 5 if point == "pruning" else 20
    monkeypatch.setenv(VARIABLE, f"{point}:{time}")
    killed = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **SHORT, store=store, workers=1)
    assert "was killed by SIGKILL" in caplog.text
    assert killed.population.done
    check(killed.events, STRATEGY)
    ended = Counter((e.member, e.turn) for e in killed.events if isinstance(e, TurnEnded))
    assert set(ended.values()) == {1}
    assert len(ended) == 18 * 8
    assert findings_in(store) == []


@pytest.mark.slow
def test_worker_processes_that_decide_at_the_same_time_keep_to_what_holds(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, store=store, workers=2)
    check(result.events, STRATEGY, alone=False)
    assert result.population.done
    assert {event.kind for event in result.events if isinstance(event, Copied)} >= {"evaluation"}
    assert findings_in(store) == []


def test_members_that_are_trained_as_one_program_decide_one_after_the_other() -> None:
    strategy = dataclasses.replace(STRATEGY, turn_steps=8)
    settings: dict[str, Any] = {"steps": 8 * 8, "mode": "max", "seed": 0}
    result = ramet.run(Together(), SPACE, strategy, **settings, engine=ramet.Vectorized())
    assert result.population.done
    check(result.events, strategy)
    assert {event.kind for event in result.events if isinstance(event, Copied)} >= {"evaluation"}


def test_a_control_beside_it_takes_no_part() -> None:
    strategy = ramet.Controlled(STRATEGY, {"lr": 0.1})
    result = ramet.run(TASK, QUADRATIC_SPACE, strategy, **{**RUN, "steps": 12 * 6})
    copies = [event for event in result.events if isinstance(event, Copied)]
    assert copies
    assert 18 not in {id_ for copy in copies for id_ in (copy.member, copy.source)}


def test_it_is_rebuilt_from_the_log_for_workers_that_join(whole: ramet.Result) -> None:
    assert from_description(whole.opening.strategy) == STRATEGY


def test_a_run_that_is_given_more_steps_goes_on() -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), "seed": 3}
    short = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS // 2, mode="max", **place)
    longer = ramet.run(
        TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS, mode="max", existing="extend", **place
    )
    assert longer.best.score >= short.best.score
    assert {member.trained for member in longer.population} == {STEPS}
    # A parent of an evaluator that was finished may have got another one.
    check(longer.events, STRATEGY, alone=False)
    with pytest.raises(StrategyError, match="steps must be a multiple of evaluate_every"):
        ramet.FIRE(turn_steps=12, evaluate_every=4, synchronous=False).births(
            QUADRATIC_SPACE, 102, np.random.default_rng(0)
        )


@pytest.mark.parametrize("member", [0, 5, 13])
def test_a_member_whose_checkpoint_is_lost_goes_on_with_other_weights(
    member: int, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    short = ramet.run(
        TASK, QUADRATIC_SPACE, STRATEGY, steps=STEPS // 2, mode="max", seed=3, store=store
    )
    kept = short.population[member].checkpoint
    assert kept is not None
    for found in tmp_path.rglob(f"{kept.key}*"):
        found.write_bytes(b"damaged")
    result = ramet.run(TASK, QUADRATIC_SPACE, STRATEGY, **RUN, store=store, existing="extend")
    kinds = Counter(event.kind for event in result.events if isinstance(event, Copied))
    assert kinds["rebirth"] + kinds["fallback"] > 0
    assert result.population.done
    assert findings_in(store) == []


@pytest.mark.parametrize("group", [1, 2, 0])
def test_a_member_that_fails_has_others_go_on(group: int) -> None:
    def loop(session: ramet.Session) -> None:
        state = TASK.init(session.rng)
        for turn in session.turns(state):
            if turn.number == 5 and turn.member in {1: (0,), 2: (5, 6), 0: (13,)}[group]:
                raise OSError("the disk is gone")
            for count in turn.stretches():
                state.update(TASK.step(state, turn.hparams, count, turn.rng))
                turn.report(TASK.evaluate(state))

    result = ramet.run(loop, QUADRATIC_SPACE, STRATEGY, **RUN)
    assert result.population.done
    assert not any(member.lost for member in result.population)
    if group == 0:
        assert "failed" in {evaluation.outcome for _, evaluation in evaluations(result.events)}


def test_members_whose_training_diverges_are_replaced() -> None:
    class Breaks(Quadratic):
        def evaluate(self, state: Any) -> float:
            loss = self.loss(state)
            return super().evaluate(state) if loss < 1.0 else math.nan

    result = ramet.run(Breaks(dim=20), QUADRATIC_SPACE, STRATEGY, **RUN)
    assert result.population.done
    assert math.isfinite(result.best.score)


def test_scores_at_other_steps_are_refused_with_what_to_do() -> None:
    def loop(session: ramet.Session) -> None:
        state = TASK.init(session.rng)
        for turn in session.turns(state):
            state.update(TASK.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(TASK.evaluate(state))

    with pytest.raises(StrategyError, match=r"every evaluate_every=1 steps, .* at steps 12, 24"):
        ramet.run(loop, QUADRATIC_SPACE, STRATEGY, **RUN)


@pytest.mark.parametrize(
    "settings",
    [
        {"subpopulations": 1},
        {"size": 2, "subpopulations": 2},
        {"min_steps_before_eval": 60},
        {"initial": [{"lr": 0.1}], "smoother": abs},
    ],
    ids=["greedy", "smallest", "patient", "own smoother"],
)
def test_settings_at_their_ends_run_to_the_end(settings: dict[str, Any]) -> None:
    strategy = dataclasses.replace(STRATEGY, **settings)
    assert ramet.run(TASK, QUADRATIC_SPACE, strategy, **RUN).population.done


def test_a_success_that_its_evaluator_does_not_note_is_read_all_the_same(
    whole: ramet.Result,
) -> None:
    notes = [
        event
        for event in whole.events
        if not (isinstance(event, Annotated) and event.data.get("outcome") == "success")
    ]
    assert list(evaluations(notes)) == list(evaluations(whole.events))
    first = next(each for _, each in evaluations(whole.events) if each.outcome == "success")
    assert type(first) is Evaluation
    assert first.lead is not None
    assert first.lead > 0


def test_pages_and_pictures_show_it(whole: ramet.Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ramet.report import write  # noqa: PLC0415 - takes an extra

    page = tmp_path / "report.html"
    write(whole, page)
    text = page.read_text()
    assert "evaluators" in text
    assert "P1" in text
