"""Turns without a score: an episode may outlast a turn."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest

import ramet
from ramet.errors import MissingScore, ScoreError
from ramet.events import Copied, TurnEnded
from ramet.strategies import Exploit
from tests.engine.loops import SPACE, Descent

# Has no score in its odd turns, and otherwise the worst, or the best.
SILENT = 0
RULES = [ramet.Truncation(), ramet.BinaryTournament(), ramet.TTest()]


def train_silent(score: float) -> Callable[[ramet.Session], None]:
    """Return a loop in which members score by their number, and one of them not always."""

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            if turn.member != SILENT:
                turn.report(turn.member + turn.stop / 1_000)
            else:
                turn.report(None if turn.number % 2 else score)

    return train


def run(score: float, exploit: Exploit, *, synchronous: bool) -> ramet.Result:
    strategy = ramet.PBT(population=5, turn_steps=2, exploit=exploit, synchronous=synchronous)
    return ramet.run(
        train_silent(score),
        SPACE,
        strategy,
        steps=40,
        seed=1,
        mode="max",
        store=ramet.Storage(keep="all"),
    )


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("exploit", RULES)
@pytest.mark.parametrize("score", [-100.0, 100.0])
def test_a_member_without_a_score_neither_copies_nor_is_copied(
    score: float, exploit: Exploit, *, synchronous: bool
) -> None:
    result = run(score, exploit, synchronous=synchronous)
    scored = True
    copies = 0
    for event in result.events:
        if isinstance(event, TurnEnded) and event.member == SILENT:
            scored = bool(event.points)
            assert scored == (event.turn % 2 == 0)
        elif isinstance(event, Copied):
            copies += 1
            assert scored or SILENT not in {event.member, event.source}
    assert copies


def test_it_keeps_the_score_that_it_had_for_people_to_see() -> None:
    result = run(100.0, ramet.TTest(), synchronous=True)
    silent = result.population[SILENT]
    assert (silent.score, silent.weights_score, silent.turn) == (None, 100.0, 20)
    assert result.rows("members")[SILENT]["score"] == 100.0


def test_the_best_is_of_weights_that_were_scored() -> None:
    result = run(100.0, ramet.TTest(), synchronous=True)
    assert result.best.score == 100.0
    assert (result.best.member, result.best.checkpoint.turn % 2) == (SILENT, 0)


def test_a_score_in_the_middle_of_a_turn_does_not_stand_for_its_end() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn.stretches():
                turn.report(None if turn.step == turn.stop else turn.step)

    strategy = ramet.PBT(population=5, turn_steps=4, evaluate_every=2)
    result = ramet.run(train, SPACE, strategy, steps=8, seed=0, mode="max")
    assert result.population.best is None
    assert result.population[0].curve.steps == (2, 6)
    assert result.population[0].score is None
    assert result.population.copies == 0


def test_a_run_in_which_no_turn_has_a_score_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(None)

    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(
            train, SPACE, ramet.PBT(population=5, turn_steps=2), steps=8, mode="max", seed=0
        )
    assert "some turn must end with a finite score" in caplog.text
    assert (result.population.best, result.population.turns) == (None, 20)


def test_a_run_in_which_most_turns_have_no_score_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(None if turn.number % 4 else turn.hparams["lr"])

    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.run(train, SPACE, ramet.PBT(population=5, turn_steps=2), steps=40, mode="max", seed=0)
    (said,) = [record.message for record in caplog.records if "without one" in record.message]
    assert "15 of the first 20 here" in said


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_the_first_turn_that_ends_without_a_finite_score_is_told_once(
    score: float, caplog: pytest.LogCaptureFixture
) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(score if turn.member == 2 else turn.hparams["lr"])

    strategy = ramet.PBT(population=5, turn_steps=2, exploit=None)
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(train, SPACE, strategy, steps=8, mode="max", seed=0)
    (said,) = [it.message for it in caplog.records if "finite score" in it.message]
    lr = result.opening.births[2].hparams["lr"]
    assert f"turn 0 of member 2 ended with inf or nan, with lr={lr:.4g}" in said


def test_it_is_recorded_as_it_is_reported() -> None:
    run = ramet.open(
        space=SPACE,
        strategy=ramet.RandomSearch(population=5, turn_steps=2),
        steps=2,
        mode="max",
        seed=0,
    )
    while (turn := run.ask()) is not None:
        list(turn)
        run.tell(turn, None if turn.member else 0.5, state={"w": 0.0})
    assert [member.score for member in run.population] == [0.5, None, None, None, None]
    assert all(member.checkpoint for member in run.population)


def test_a_score_forgotten_is_not_a_score_that_is_not_there() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            turn.report(None)
            for _ in turn:
                pass

    with pytest.raises(MissingScore, match=r"turn.report\(None\) if there is no score yet"):
        ramet.run(train, SPACE, ramet.PBT(population=5, turn_steps=2), steps=8, mode="max", seed=0)


def test_an_evaluation_that_returns_nothing_is_a_mistake() -> None:
    class Forgetful(Descent):
        def evaluate(self, state: object) -> float:
            return None

    with pytest.raises(ScoreError, match="evaluate must return the score, but it returned None"):
        ramet.run(
            Forgetful(), SPACE, ramet.PBT(population=5, turn_steps=2), steps=8, mode="max", seed=0
        )


def test_fire_needs_every_score() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn.stretches():
                turn.report(None if turn.step == 6 else 0.5)

    fire = ramet.FIRE(turn_steps=8, evaluate_every=2, size=2, p_stat=0.2)
    with pytest.raises(ScoreError, match=r"a score every 2 steps, but turn 0 .* ramet\.PBT"):
        ramet.run(train, SPACE, fire, steps=16, mode="max", seed=0)


def test_a_run_goes_on_from_a_turn_without_a_score(tmp_path: Path) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(None if turn.number == 1 else turn.member + turn.number)

    strategy = ramet.PBT(population=5, turn_steps=2)
    whole = ramet.run(train, SPACE, strategy, steps=8, seed=0, mode="max")
    for steps in (4, 8):
        resumed = ramet.run(
            train,
            SPACE,
            strategy,
            steps=steps,
            seed=0,
            mode="max",
            store=tmp_path / "runs.db",
            name="rl",
            existing="extend",
        )
    assert [member.weights_score for member in resumed.population] == [
        member.weights_score for member in whole.population
    ]
