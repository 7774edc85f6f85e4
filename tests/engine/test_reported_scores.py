"""Scores are shown as they were reported, wherever they are shown."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.events import AnyEvent, Copied, RunOpened, TargetSet, TurnEnded, fold
from tests.cli.shell import ramet as ramet_command
from tests.engine.loops import SPACE, Descent, pbt

TARGET = 1e-9


class Loss(Descent):
    """The same training, scored by its loss."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)


def train(task: Descent, mode: Any, store: Path | None = None) -> ramet.Result:
    return ramet.run(
        task,
        SPACE,
        pbt(synchronous=True, exploit=ramet.Truncation(0.4)),
        steps=40,
        seed=3,
        mode=mode,
        target=TARGET if mode == "min" else -TARGET,
        store=store,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "low.db"


@pytest.fixture(scope="module")
def low(store: Path) -> ramet.Result:
    return train(Loss(), "min", store)


@pytest.fixture(scope="module")
def high(store: Path) -> ramet.Result:
    return train(Descent(), "max", store.with_name("high.db"))


def scores_of(event: AnyEvent) -> list[float | None]:
    match event:
        case TurnEnded(points=points):
            return [score for _, score in points]
        case Copied(weights=weights) if weights is not None:
            return [score for _, score in weights.points]
        case TargetSet(target=target):
            return [target]
    return []


def negated(scores: list[float | None]) -> list[float | None]:
    return [None if score is None else -score for score in scores]


def test_events_have_the_scores_that_the_loop_reported(
    low: ramet.Result, high: ramet.Result
) -> None:
    scores = [scores_of(event) for event in low.events]
    assert scores == [negated(scores_of(event)) for event in high.events]
    assert any(isinstance(event, Copied) and scores_of(event) for event in low.events)
    last = low.best
    assert Loss().evaluate(last.load()) == last.score
    assert [event.points[-1][1] for event in low.events if is_turn(event, last.checkpoint)] == [
        last.score
    ]


def is_turn(event: AnyEvent, checkpoint: Any) -> bool:
    return isinstance(event, TurnEnded) and event.checkpoint == checkpoint


def numbers_of(member: ramet.Member) -> list[float]:
    score, weights_score = member.score, member.weights_score
    named = [math.nan if one is None else one for one in (score, weights_score)]
    return [*named, *member.own_scores, *member.curve.scores]


def test_a_population_has_the_scores_that_the_loop_reported(
    low: ramet.Result, high: ramet.Result
) -> None:
    assert low.population.best is not None
    assert high.population.best is not None
    assert low.population.best.score == -high.population.best.score == low.best.score > 0
    assert low.population.target == TARGET
    assert low.population.at_target is False
    assert f"best {low.best.score:.6g}" in repr(low.population)
    for member, other in zip(low.population, high.population, strict=True):
        np.testing.assert_array_equal(numbers_of(member), np.negative(numbers_of(other)))


def test_a_population_at_its_target_says_so() -> None:
    at_once = {"steps": 40, "seed": 3, "target": 5.0}
    result = ramet.run(Loss(), SPACE, pbt(), mode="min", **at_once)
    assert result.population.at_target
    assert result.population.stopped


def test_folding_public_events_gives_the_public_population(low: ramet.Result) -> None:
    assert fold(low.events) == low.population
    assert isinstance(low.events[0], RunOpened)
    kept = [logged.event for logged in low.store.events("run")]
    assert fold(kept) != low.population
    assert fold(kept).best is not None


def test_a_result_without_its_log_has_the_same_scores(low: ramet.Result) -> None:
    lean = ramet.Result.without_log(store=low.store, blobs=low.blobs, name="run")
    assert lean.population == low.population
    assert lean.events == low.events
    assert list(lean.lineage().turns.values()) == list(low.lineage().turns.values())


def test_the_best_the_final_and_all_members_are_the_same_ones(
    low: ramet.Result, high: ramet.Result
) -> None:
    for mine, other in zip(
        (low.best, low.final, *low.members), (high.best, high.final, *high.members), strict=True
    ):
        assert mine.score == -other.score
        assert (mine.member, mine.step) == (other.member, other.step)
    source = low.schedule().source
    assert source is not None
    assert source.score == low.best.score


@pytest.mark.parametrize("table", ["turns", "copies", "members", "scores"])
def test_tables_have_the_scores_that_the_loop_reported(
    low: ramet.Result, high: ramet.Result, table: Any
) -> None:
    clocks = dict.fromkeys(("worker", "ended_at", "took_s"))
    mine, others = low.rows(table), high.rows(table)
    assert mine
    for row, other in zip(mine, others, strict=True):
        score = {} if "score" not in row else {"score": -other["score"]}
        assert row | clocks == other | score | clocks


def test_lineage_has_reported_scores_and_gains_that_are_positive_for_the_better(
    low: ramet.Result, high: ramet.Result
) -> None:
    mine, other = low.lineage(), high.lineage()
    assert [turn.score for turn in mine.turns.values()] == [
        -turn.score for turn in other.turns.values() if turn.score is not None
    ]
    assert list(mine.effects()) == list(other.effects()) != []
    first, second = low.lineage().ancestors(0)[:2]
    gains = {(it.member, it.turn): it.gain for it in mine.effects()}
    if second.key in gains:
        assert first.score is not None
        assert second.score is not None
        assert gains[second.key] == first.score - second.score


def heights(axes: Any) -> Iterator[Any]:
    """Yield the heights of all that a picture shows by its scores."""
    for line in axes.get_lines():
        yield np.asarray(line.get_ydata(), float)
    for lines in axes.collections:
        if hasattr(lines, "get_segments"):
            yield from (segment[:, 1] for segment in lines.get_segments())


@pytest.mark.parametrize("draw", ["scores", "best_so_far"])
def test_plots_show_the_scores_that_the_loop_reported(
    low: ramet.Result, high: ramet.Result, draw: str
) -> None:
    plots = pytest.importorskip("ramet.plots")
    mine, other = (
        plots.scores(run) if draw == "scores" else plots.best_so_far([run]) for run in (low, high)
    )
    for heights_, others in zip(heights(mine), heights(other), strict=True):
        np.testing.assert_array_equal(heights_, -others)


def test_a_run_that_is_open_has_the_scores_that_were_told() -> None:
    run = ramet.open(
        space=SPACE, strategy=pbt(population=5), steps=8, seed=0, mode="min", target=0.1
    )
    while (turn := run.ask()) is not None:
        assert turn.steps == 4
        run.tell(turn, scores=float(turn.member + 2), state={"w": np.ones(1)})
    assert run.population.best is not None
    assert run.population.best.score == 2.0
    assert run.population.target == 0.1
    scores = [score for member in run.population for score in member.curve.scores]
    assert set(scores) <= {2.0, 3.0, 4.0, 5.0, 6.0}


class Watching:
    """A strategy that keeps what it is given to decide by."""

    def __init__(self) -> None:
        self.strategy = pbt(population=5, synchronous=True)
        self.seen: list[ramet.Population] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.strategy, name)

    def decide(self, population: ramet.Population, ready: Any, rng: Any) -> Any:
        self.seen.append(population)
        return self.strategy.decide(population, ready, rng)


def test_a_strategy_decides_by_maximised_scores() -> None:
    watching = Watching()
    ramet.run(Loss(), SPACE, watching, steps=8, seed=0, mode="min")
    assert watching.seen
    for population in watching.seen:
        assert population.best is not None
        assert population.best.score == max(score for it in population for score in it.own_scores)
        assert all(score < 0 for member in population for score in member.own_scores)
        assert population.better == "higher"


def said(*words: str) -> str:
    found = ramet_command(*words)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_commands_say_the_scores_that_the_loop_reported(low: ramet.Result, store: Path) -> None:
    status = json.loads(said("status", str(store), "--json"))
    assert status["best"] == low.best.score
    assert {row["member"]: row["score"] for row in status["population"]} == {
        member.id: member.weights_score for member in low.population
    }
    turns = [json.loads(line) for line in said("lineage", str(store), "--json").splitlines()]
    assert turns[-1]["score"] == low.best.score
    assert f"{low.best.score:.6g}" in said("status", str(store))


def test_a_turn_has_the_scores_that_were_reported_and_the_store_those_that_are_maximised() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="min", seed=0)
    turn = run.ask()
    assert turn is not None
    for _ in turn:
        pass
    turn.report(0.25)
    assert turn.points() == ((4, 0.25),)
    run.tell(turn, state={"w": 0.0})
    [stored] = [it.event for it in run.result().store.events("run") if hasattr(it.event, "points")]
    assert stored.points == ((4, -0.25),)
    assert run.population[turn.member].score == 0.25


@pytest.mark.parametrize(("mode", "better"), [("max", "higher"), ("min", "lower")])
def test_the_opening_of_a_run_says_which_reported_scores_are_better(mode: Any, better: str) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode=mode, seed=0)

    assert run.opening.better == better
    assert run.opening == run.result().opening
