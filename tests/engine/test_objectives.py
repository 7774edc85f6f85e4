"""Runs with several objectives: what turns must report, the front, and what is kept of it."""

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from msgspec.structs import replace

import ramet
from ramet.cli.train import outcome
from ramet.errors import (
    CheckpointMissing,
    CorruptLog,
    MetricError,
    NoBest,
    StrategyError,
    UsageError,
)
from ramet.events import TurnEnded, canonical, decode, encode, fold
from ramet.fronts import dominates
from ramet.goals import Goal
from ramet.history.loading import open_without_log
from ramet.history.reported import report_population
from ramet.replica import Replica
from ramet.series import pack
from ramet.store import summary
from tests import values
from tests.engine.loops import SPACE, Descent
from tests.engine.scripts import findings_in

# What a network aims at, between what is best for the score (0) and for the cost (1).
AIMS = ramet.Space(aim=ramet.Uniform(-0.5, 1.5), lr=ramet.LogUniform(1e-3, 0.5))


def trade(session: ramet.Session) -> None:
    """Move a weight to the aim; the score wants it at 0, the cost at 1."""
    state = {"w": session.rng.uniform(-2.0, 3.0, size=1)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"] * (turn.hparams["aim"] - state["w"])
        w = float(state["w"][0])
        turn.report(-(w**2), cost=(w - 1) ** 2, other=w)


def trade_losses(session: ramet.Session) -> None:
    """Do as ``trade``, with a loss for a score."""
    state = {"w": session.rng.uniform(-2.0, 3.0, size=1)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"] * (turn.hparams["aim"] - state["w"])
        w = float(state["w"][0])
        turn.report(w**2, cost=(w - 1) ** 2)


def pareto(rule: ramet.Pareto | None = None, **settings: Any) -> ramet.PBT:
    rule = ramet.Pareto({"cost": "min"}) if rule is None else rule
    settings = {"population": 8, "turn_steps": 4, "synchronous": True, **settings}
    return ramet.PBT(exploit=rule, **settings)


def trained(
    rule: ramet.Pareto | None = None,
    train: Callable[[ramet.Session], None] = trade,
    *,
    mode: Literal["max", "min"] = "max",
    steps: int = 40,
    strategy: dict[str, Any] | None = None,
    **settings: Any,
) -> ramet.Result:
    made = pareto(rule, **(strategy or {}))
    return ramet.run(train, AIMS, made, steps=steps, mode=mode, seed=3, **settings)


def ends(result: ramet.Result) -> list[tuple[float, float]]:
    """Return the score and the negated cost of each turn."""
    return [(row["score"], -row["metrics.cost"]) for row in result.rows()]


def test_the_front_is_what_no_turn_dominates() -> None:
    result = trained(steps=8)
    every = ends(result)
    expected = {one for one in every if not any(dominates(other, one) for other in every)}
    found = [(each.score, -each.metrics["cost"]) for each in result.front()]
    assert set(found) == expected
    assert found == sorted(found, reverse=True)
    assert result.front()[0].checkpoint == result.best.checkpoint


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_long_front_lacks_crowded_turns_and_has_its_ends(*, synchronous: bool) -> None:
    result = trained(steps=160, strategy={"synchronous": synchronous})
    every = ends(result)
    found = [(each.score, -each.metrics["cost"]) for each in result.front()]
    exact = {one for one in every if not any(dominates(other, one) for other in every)}
    assert len(exact) > 16
    assert 4 <= len(found) <= (8 if synchronous else 16)
    assert set(found) <= exact
    assert {max(exact), min(exact)} <= set(found)


@pytest.mark.parametrize("keep", ["lineage", "best", "all"])
def test_all_of_the_front_can_be_loaded(keep: Any, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = trained(steps=80, store=ramet.Storage(store, keep=keep))
    assert len(result.front()) > 4
    for each in result.front():
        w = float(each.load()["w"][0])
        assert (each.score, each.metrics["cost"]) == (-(w**2), (w - 1) ** 2)
        assert each.hparams == result.schedule(each).pieces[-1].hparams
    assert findings_in(store) == []
    kept = len(result.blobs.sizes("run"))
    front = {each.checkpoint for each in result.front()}
    live = {each.checkpoint for each in result.members}
    if keep == "best":
        assert kept <= 8 + 1
    elif keep == "lineage":
        assert len(front | live) <= kept <= 2 * 8 + 1
    again = ramet.history.load(store)
    assert [each.checkpoint for each in again.front()] == [it.checkpoint for it in result.front()]


def test_a_run_that_keeps_what_is_live_says_why_a_turn_cannot_be_loaded(tmp_path: Path) -> None:
    result = trained(steps=80, store=ramet.Storage(tmp_path / "runs.db", keep="live"))
    with pytest.raises(CheckpointMissing, match="keep='live'"):
        [each.load() for each in result.front()]


def test_losses_have_the_same_front_as_scores() -> None:
    rule = ramet.Pareto({"cost": "min"}, at_most={"score": 0.5})
    losses = trained(rule, trade_losses, mode="min", steps=60)
    rule = ramet.Pareto({"cost": "min"}, at_least={"score": -0.5})
    scores = trained(rule, steps=60)
    assert [-each.score for each in losses.front()] == [each.score for each in scores.front()]
    assert max(each.score for each in losses.front()) <= 0.5
    assert losses.opening.goals[0].better == "min"
    assert fold(losses.events) == losses.population
    maximised = fold(logged.event for logged in losses.store.events("run"))
    assert report_population(maximised, "min") == losses.population
    assert losses.best.score == min(row["score"] for row in losses.rows())


@pytest.mark.parametrize("synchronous", [True, False])
def test_two_runs_with_one_seed_are_the_same(*, synchronous: bool) -> None:
    one, other = (trained(strategy={"synchronous": synchronous}) for _ in range(2))
    assert one.events == other.events
    assert one.population == other.population
    assert one.population.copies > 0


def test_two_processes_train_the_same_run_as_one(tmp_path: Path) -> None:
    alone = trained(steps=60)
    together = trained(steps=60, store=tmp_path / "runs.db", workers=2)
    assert canonical(together.events) == canonical(alone.events)
    assert together.population == alone.population
    assert together.front() == alone.front()


def dying(session: ramet.Session) -> None:
    """Do as ``trade``, in a process that is killed once."""
    state = {"w": session.rng.uniform(-2.0, 3.0, size=1)}
    for turn in session.turns(state):
        marker = Path(os.environ["RAMET_TEST_KILLED"])
        if (turn.member, turn.number) == (2, 5) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in turn:
            state["w"] += turn.hparams["lr"] * (turn.hparams["aim"] - state["w"])
        w = float(state["w"][0])
        turn.report(-(w**2), cost=(w - 1) ** 2, other=w)


def test_a_killed_worker_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMET_TEST_KILLED", str(tmp_path / "killed"))
    killed = trained(None, dying, steps=60, store=tmp_path / "runs.db", workers=1)
    assert (tmp_path / "killed").exists()
    whole = trained(steps=60)
    assert canonical(killed.events) == canonical(whole.events)
    assert killed.population == whole.population


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    def stops(session: ramet.Session) -> None:
        state = {"w": session.rng.uniform(-2.0, 3.0, size=1)}
        for turn in session.turns(state):
            if turn.number == 4 and turn.member == 3:
                raise KeyboardInterrupt
            for _ in turn:
                state["w"] += turn.hparams["lr"] * (turn.hparams["aim"] - state["w"])
            w = float(state["w"][0])
            turn.report(-(w**2), cost=(w - 1) ** 2, other=w)

    store = tmp_path / "runs.db"
    with pytest.raises(KeyboardInterrupt):
        trained(None, stops, store=store)
    resumed = trained(store=store)
    assert canonical(resumed.events) == canonical(trained().events)


def test_a_metric_that_a_strategy_needs_must_be_reported() -> None:
    def forgets(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            turn.hparams.peek()
            for _ in turn:
                turn.log(cost=1.0) if turn.step < turn.stop else None
            turn.report(1.0)

    why = r"must end with the metrics .* \['cost'\], but turn 0 of member \d has no 'cost' at its"
    with pytest.raises(MetricError, match=why):
        trained(None, forgets)


def test_a_turn_without_a_score_needs_no_metrics() -> None:
    def rarely(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            turn.hparams.peek()
            for _ in turn:
                pass
            if turn.number % 2:
                turn.report(None if turn.member % 2 else math.nan)
            else:
                turn.report(turn.hparams["aim"], cost=turn.hparams["lr"])

    result = trained(None, rarely)
    assert result.front()
    assert {len(it.metrics) for it in result.population} == {0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_counts_as_such_a_score(value: float) -> None:
    def odd(session: ramet.Session) -> None:
        state = {"w": session.rng.uniform(size=1)}
        for turn in session.turns(state):
            turn.hparams.peek()
            for _ in turn:
                pass
            bad = turn.member == 1 and turn.number == 2
            turn.report(float(state["w"][0]), cost=value if bad else 1.0)

    result = trained(None, odd, steps=12, strategy={"explore": None})
    assert result.population.copies
    assert result.population[1].metrics == {"cost": None}
    assert all(each.metrics["cost"] == 1.0 for each in result.front())
    result = trained(None, odd, steps=16, strategy={"explore": None})
    assert any(copy.member == 1 and copy.trained == 12 for copy in result.lineage().copies)
    events = [decode(encode(event)) for event in result.events]
    assert fold(events) == result.population


@pytest.mark.parametrize("value", ["3", None, [1.0, 2.0], 10**400])
def test_a_metric_that_is_no_number_is_refused(value: object) -> None:
    def odd(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            for _ in turn:
                pass
            turn.report(1.0, cost=value)

    with pytest.raises(MetricError, match="'cost' is"):
        trained(None, odd)


def test_what_is_beyond_a_bound_is_neither_the_best_nor_on_the_front() -> None:
    rule = ramet.Pareto({}, at_most={"cost": 0.25})
    result = trained(rule, steps=80)
    assert result.best.metrics["cost"] <= 0.25
    assert result.final.metrics["cost"] <= 0.25
    assert result.best.score < max(row["score"] for row in result.rows())
    [only] = result.front()
    assert only.checkpoint == result.best.checkpoint


def score_only(session: ramet.Session) -> None:
    """Train for a score, and log no metric."""
    state = {"w": session.rng.uniform(-2.0, 3.0, size=1)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"] * (turn.hparams["aim"] - state["w"])
        turn.report(-float(state["w"][0] ** 2))


def test_a_bound_of_the_score_alone_needs_no_metrics() -> None:
    result = trained(ramet.Pareto(at_least={"score": -1.0}), score_only)
    assert result.final.score == max(each.score for each in result.members)
    [only] = result.front()
    assert only.score == result.best.score == max(row["score"] for row in result.rows())
    with pytest.raises(NoBest, match=r"score at least 1, but .* the nearest was turn"):
        trained(ramet.Pareto(at_least={"score": 1.0}), score_only).front()


def test_accurate_enough_and_then_cheap_is_one_rule() -> None:
    rule = ramet.Pareto({"cost": "min"}, score=False, at_least={"score": -0.25})
    result = trained(rule, steps=120)
    within = [row for row in result.rows() if row["score"] >= -0.25]
    cheapest = min(row["metrics.cost"] for row in within)
    assert [each.metrics["cost"] for each in result.front()] == [cheapest]
    assert result.best.metrics["cost"] == cheapest
    assert cheapest == pytest.approx(0.25, abs=0.05)  # At w = 0.5, which is on the bound.


def test_a_run_without_a_turn_within_bounds_says_which_was_nearest() -> None:
    result = trained(ramet.Pareto({"cost": "min"}, at_least={"score": 0.5}), steps=8)
    for ask in (lambda: result.best, result.front):
        with pytest.raises(NoBest, match=r"score at least 0\.5, but none of 16 turns ended"):
            ask()
    with pytest.raises(NoBest, match="within the bounds of the run"):
        assert result.final
    assert result.population.best is None
    assert all(member.violation > 1 for member in result.population if not member.untried)


def test_a_run_by_its_score_has_no_front() -> None:
    result = ramet.run(Descent(), SPACE, ramet.RandomSearch(population=2), steps=4, mode="max")
    with pytest.raises(UsageError, match="a front needs a run with several objectives"):
        result.front()


def test_a_task_is_refused_before_it_trains() -> None:
    with pytest.raises(UsageError, match=r"\['cost'\], but a task of three functions reports"):
        ramet.run(Descent(), SPACE, pareto(), steps=8, mode="max")


def test_a_bound_of_the_score_must_fit_the_mode() -> None:
    rule = ramet.Pareto({"cost": "min"}, at_least={"score": 0.5})
    with pytest.raises(StrategyError, match=r"low scores are good, and got at_least=.* write at_"):
        trained(rule, trade_losses, mode="min")


def test_a_target_takes_scores_as_an_objective() -> None:
    rule = ramet.Pareto({"cost": "min"}, score=False, at_least={"score": -0.5})
    with pytest.raises(StrategyError, match="leave target out"):
        trained(rule, target=0.0)


class Rule:
    """A rule that compares by these goals, and copies nothing."""

    def __init__(self, *goals: Goal) -> None:
        self.goals = goals

    def check(self, population: int) -> None:
        pass

    def pairs(self, *_: object) -> tuple[()]:
        return ()


def by_rule(*goals: Goal, **settings: Any) -> ramet.Result:
    strategy = ramet.PBT(population=8, turn_steps=4, exploit=Rule(*goals), synchronous=True)
    return ramet.run(trade, AIMS, strategy, steps=8, mode="max", seed=3, **settings)


def test_the_score_is_the_first_objective_in_whatever_order_a_strategy_names_it() -> None:
    result = by_rule(Goal(name="cost", better="min"), Goal(name="score", better="max"))
    assert result.best.score == max(row["score"] for row in result.rows())
    scores = [each.score for each in result.front()]
    assert scores == sorted(scores, reverse=True)


def test_a_target_is_refused_by_a_strategy_that_compares_by_a_metric_alone() -> None:
    with pytest.raises(StrategyError, match=r"compares by \['cost'\] alone"):
        by_rule(Goal(name="cost", better="min"), target=-0.1)
    assert by_rule(Goal(name="cost", at_most=9.0), target=-0.5).best.score >= -0.5


def test_a_verdict_by_the_score_alone_is_refused() -> None:
    strategy = ramet.Controlled(pareto(), {"aim": 0.0, "lr": 0.1})
    result = ramet.run(trade, AIMS, strategy, steps=8, mode="max", seed=3)
    with pytest.raises(UsageError, match=r"several objectives, \['score', 'cost'\]; .* member 8"):
        result.verdict()


def test_a_target_is_reached_within_the_bounds_only() -> None:
    result = trained(ramet.Pareto({}, at_most={"cost": 0.3}), steps=200, target=-0.4)
    assert result.population.why_stopped == "target"
    assert result.best.score >= -0.4
    assert result.best.metrics["cost"] <= 0.3


def test_ask_and_tell_take_objectives_as_metrics() -> None:
    run = ramet.open(space=AIMS, strategy=pareto(), steps=8, mode="max", seed=0)
    while (turn := run.ask()) is not None:
        w = turn.load(default=np.zeros(1)) + turn.hparams["lr"] * turn.steps
        run.tell(turn, scores=float(w[0]), state=w, metrics={"cost": float(w[0]) ** 2})
    assert run.result().front()


def test_a_log_without_the_metrics_that_it_needs_is_corrupt() -> None:
    events = trained(steps=8).events
    nth = next(nth for nth, event in enumerate(events) if isinstance(event, TurnEnded))
    bare = Replica()
    with pytest.raises(CorruptLog, match=r"must end with the metrics \['cost'\], but lacks"):
        bare.fold([*events[:nth], replace(events[nth], metrics=())])


def test_a_summary_holds_the_front_and_is_checked(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = trained(store=store)
    log = result.store.events("run")
    made = summary.summarize(log, "run")
    read = summary.decode(summary.encode(made))
    assert read == made
    assert read.population.front == result.population.front
    opening = log[0].event
    summary.check(read, opening, head=log[-1].number, steps=40)
    forged = replace(read, population=replace(read.population, goals=()))
    with pytest.raises(CorruptLog, match="the goals of the run"):
        summary.check(forged, opening, head=log[-1].number, steps=40)
    front = tuple(replace(each, metrics={}) for each in read.population.front)
    forged = replace(read, population=replace(read.population, front=front))
    with pytest.raises(CorruptLog, match="a front of finite values"):
        summary.check(forged, opening, head=log[-1].number, steps=40)


def test_an_undone_attempt_leaves_the_front_as_it_was() -> None:
    result = trained(steps=8)
    replica = Replica()
    replica.fold(result.events[:8])
    before = replica.population
    with replica.attempt():
        replica.fold(result.events[8:])
    assert replica.population == before


def test_tables_have_the_objectives_and_not_other_metrics() -> None:
    result = trained(steps=8)
    assert "metrics.cost" in result.rows()[0]
    assert "metrics.other" not in result.rows()[0]
    assert list(result.to_pandas().columns) == list(result.rows()[0])


def test_a_result_without_its_log_has_the_same_front(tmp_path: Path) -> None:
    result = trained(store=tmp_path / "runs.db")
    bare = open_without_log(tmp_path / "runs.db")
    assert bare.front() == result.front()


def test_what_a_turn_that_was_left_out_dominates_is_not_on_the_front() -> None:
    def noisy(session: ramet.Session) -> None:
        state = {"w": session.rng.uniform(0.0, 1.0, size=1)}
        for turn in session.turns(state):
            for _ in turn:
                state["w"] += 0.1 * (turn.hparams["aim"] - state["w"]) * turn.hparams["lr"]
            w = float(state["w"][0])
            score, cost = turn.rng.normal(scale=0.01, size=2).tolist()
            turn.report(score - w**2, cost=cost + (w - 1) ** 2)

    result = trained(None, noisy, steps=240)
    every = ends(result)
    found = {(each.score, -each.metrics["cost"]) for each in result.front()}
    exact = {one for one in every if not any(dominates(other, one) for other in every)}
    assert found <= exact
    # Or this would test nothing.
    assert len(found) < len(result.population.front)
    assert not result.front_is_whole


def test_a_member_without_a_score_of_its_own_has_no_metrics() -> None:
    opened = replace(values.opening(), goals=values.GOALS)
    before = fold([opened])
    ended = [
        replace(values.turn_ended(member, 0.5), metrics=pack({"cost": [(5, 150.0)]}))
        for member in before
    ]
    trained = fold(ended, before)
    assert trained[0].metrics == {"cost": 150.0}
    assert trained[0].violation == 0.5
    lost = values.turn_lost(trained[0])
    copied = values.copied(1, trained[2], weights=True, hparams=True, whole_curve=False)
    after = fold([lost, copied], trained)
    assert [it.metrics for it in after] == [{}, {}, {"cost": 150.0}]
    assert [it.violation for it in after] == [0.0, 0.0, 0.5]
    kept = values.copied(1, trained[2], weights=False, hparams=True, whole_curve=False)
    assert fold([kept], trained)[1].metrics == {"cost": 150.0}


def test_a_run_without_a_turn_within_bounds_is_not_said_to_have_no_score() -> None:
    result = trained(ramet.Pareto({"cost": "min"}, at_least={"score": 0.5}), steps=8)
    assert "none within bounds yet" in repr(result)
    assert "none within bounds yet" in repr(result.population)
    assert "no turn within its bounds yet" in outcome(result)


def test_a_run_with_several_objectives_is_not_confirmed_by_its_score_alone() -> None:
    result = trained()
    with pytest.raises(UsageError, match=r"by the score alone, .* objectives, \['score', 'cost'\]"):
        ramet.confirm(lambda state, rng: 0.0, result)
    assert result.best.confirmed is None
